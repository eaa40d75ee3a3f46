"""Oracles: PyTorch's float32 vectors of the same model; an encoder that is wrong on purpose; recall counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestvec.models.base_encoder import Encoder
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.models.torch_encoder import open_torch
from nestvec.pipeline import surface_encoder
from nestvec.pipeline.inputs import prepare
from nestvec.pipeline.surface_encoder import CHANGE, LEAST, encode_surface, has_passed, try_encoder
from nestvec.report.formatting import describe_encoder
from nestvec.runs.schema import EncodedBy, EncoderTrial
from nestvec.settings import Settings


@pytest.fixture(scope="module")
def prepared():
    """The sample's first records, with the beginnings of hundreds of documents: whole ones take four times as long."""
    made = prepare(Settings.from_flat({"source": "sample", "max_records": 1000, "epochs": 0, "compute": "float32"}))
    texts = tuple(" ".join(text.split()[:12]) for text in made.records.documents)
    return replace(made, records=replace(made.records, documents=texts))


@pytest.fixture(scope="module")
def exact(prepared):
    return open_torch(prepared.model, None, "float32")


@pytest.fixture(scope="module")
def queries(prepared, exact):
    return exact.encode(prepared.task.texts, QUERY)


class Disturbed(Encoder):
    """The vectors of another encoder, each moved by noise of some length."""

    def __init__(self, exact, noise):
        super().__init__(f"disturbed by {noise}", exact.dimension, exact.prompts)
        self._exact, self._noise = exact, noise

    def _encode_batches(self, texts, role):
        rng = np.random.default_rng(0)
        vectors = self._exact.encode(texts, role)
        moved = vectors + rng.standard_normal(vectors.shape) * self._noise / vectors.shape[1] ** 0.5
        yield np.arange(len(texts)), 1, moved.astype(np.float32)


@pytest.mark.parametrize(("noise", "passes"), [(0.0, True), (0.001, True), (0.1, False), (2.0, False)])
def test_a_trial_passes_rounding_and_refuses_more(prepared, exact, queries, noise, passes):
    trial = try_encoder(prepared, queries, exact, Disturbed(exact, noise))
    assert has_passed(trial) is passes
    task = prepared.task
    asked = {number for number, split in enumerate(task.splits) if split == "validation"}
    judged = zip(task.topic.tolist(), task.document.tolist(), task.gain.tolist(), strict=True)
    assert trial.documents == len({row for topic, row, gain in judged if topic in asked and gain >= task.relevant_from})
    if noise == 0:
        assert (trial.cosine, trial.change) == (pytest.approx(1, abs=1e-6), 0)
    if noise == 2:
        assert trial.change < -10 * CHANGE  # vectors turned by more than a right angle's half find less


def test_a_trial_that_ends_in_no_number_is_not_passed():
    assert not has_passed(EncoderTrial("x", 1, 1, float("nan"), 0.0))
    assert not has_passed(EncoderTrial("x", 1, 1, 1.0, float("nan")))
    assert not has_passed(EncoderTrial("x", 1, 1, LEAST - 1e-6, 0.0))
    assert has_passed(EncoderTrial("x", 1, 1, LEAST, CHANGE))


def test_only_documents_judged_for_validation_queries_are_tried(prepared, exact, queries):
    tested = replace(prepared.task, splits=np.full(len(prepared.task.ids), "test", dtype="<U10"))
    assert try_encoder(replace(prepared, task=tested), queries, exact, exact) is None


@pytest.mark.parametrize("noise", [0.0005, 0.5])
def test_documents_are_encoded_by_what_passed(prepared, exact, queries, noise, monkeypatch):
    faster = Disturbed(exact, noise)
    monkeypatch.setattr(surface_encoder, "_FEWEST", 10)
    monkeypatch.setattr(surface_encoder, "_open_faster", lambda model, compute: iter([faster]))
    done = []
    vectors, facts = encode_surface(prepared, prepared.model, done.append)
    assert sum(done) == len(vectors) == len(prepared.task.texts) + len(prepared.catalogue.ids)
    np.testing.assert_array_equal(vectors[: len(queries)], queries)
    chosen = faster if noise < 0.01 else exact
    assert (facts["queries"], facts["documents"]) == (exact.name, chosen.name)
    np.testing.assert_array_equal(vectors[len(queries) :], chosen.encode(prepared.catalogue.texts, DOCUMENT))
    assert facts["trial"]["encoder"] == faster.name


def test_the_next_candidate_is_tried_where_the_first_does_not_pass(prepared, exact, monkeypatch):
    monkeypatch.setattr(surface_encoder, "_FEWEST", 10)
    candidates = [Disturbed(exact, 0.5), Disturbed(exact, 0.0005)]
    monkeypatch.setattr(surface_encoder, "_open_faster", lambda model, compute: iter(candidates))
    _, facts = encode_surface(prepared, prepared.model, lambda _: None)
    assert facts["documents"] == facts["trial"]["encoder"] == candidates[1].name


def test_a_small_catalogue_is_encoded_in_float32_without_a_trial(prepared, exact):
    few = replace(prepared, task=replace(prepared.task, catalogue=prepared.task.catalogue[:40]))
    vectors, facts = encode_surface(few, few.model, lambda _: None)
    assert facts == {"queries": "torch float32", "documents": "torch float32"}
    np.testing.assert_array_equal(vectors, exact.encode_both(few.task.texts, few.catalogue.texts))


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_what_is_installed_here_passes_on_the_real_model(prepared, exact, queries, compute):
    faster = next(surface_encoder._open_faster(prepared.model, compute))
    trial = try_encoder(prepared, queries, exact, faster)
    assert compute in trial.encoder
    assert trial.cosine > 0.999
    assert abs(trial.change) <= 0.02  # three of the 154 validation queries
    if "openvino" in trial.encoder and compute == "float32":
        assert has_passed(trial)


def test_the_report_says_what_encoded():
    assert describe_encoder(EncodedBy("torch float32", "torch float32")) == (
        "queries: torch float32; documents: torch float32"
    )
    trial = EncoderTrial("openvino bfloat16", 250, 1500, 0.999971, -0.0004)
    assert describe_encoder(EncodedBy("torch float32", "openvino bfloat16", trial)) == (
        "queries: torch float32; documents: openvino bfloat16. openvino bfloat16 was compared with float32 on 250 "
        "documents and is used: lowest cosine 0.99997, change in recall@10 of 1,500 validation queries -0.0004"
    )
    failed = EncoderTrial("torch bfloat16", 250, 1500, 0.9998, 0.0)
    assert "float32. torch bfloat16 was compared with float32 on 250 documents and is not used: " in (
        describe_encoder(EncodedBy("torch float32", "torch float32", failed))
    )
