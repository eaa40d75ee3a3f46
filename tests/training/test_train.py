"""Oracles: the losses' formulas on the same batch; the processor's flags as Linux reports them; a learning rate that
must diverge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nestvec.errors import NestvecError
from nestvec.settings import TrainingSettings
from nestvec.training.losses import OBJECTIVES
from nestvec.training.pairs import Pairs
from nestvec.training.train import choose_compute, count_steps, train
from nestvec.vectors.models import find_model, load_model

PAIRS = Pairs(
    tuple(f"query number {row}" for row in range(12)), tuple(f"document {row} of the catalogue" for row in range(12))
)


@pytest.fixture
def model():
    return load_model(find_model("all-MiniLM-L6-v2"))


def test_training_moves_the_weights_and_reports_every_step(model):
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    seen: list[int] = []
    recipe = TrainingSettings(epochs=2, batch_size=4, compute="float32")
    trained = train(model, "matryoshka", PAIRS, recipe, (384, 48), seed=1, advance=seen.append)
    assert trained.steps == len(trained.losses) == sum(seen) == count_steps(PAIRS, recipe) == 6
    assert trained.compute == "float32"
    assert trained.losses[-1] < trained.losses[0]
    assert any(not torch.equal(before[name], weights) for name, weights in model.state_dict().items())


def test_a_loss_that_is_no_number_stops_training_and_says_where(model):
    recipe = TrainingSettings(epochs=3, batch_size=4, learning_rate=1e30, warmup=0.0, compute="float32")
    with pytest.raises(NestvecError, match=r"training mnr stopped at step \d+: its (loss|grad_norm) is (nan|inf)"):
        train(model, "mnr", PAIRS, recipe, (384,), seed=1)


@pytest.mark.parametrize("dimensions", [(384,), (384, 96)])
def test_matryoshka_sums_the_ranking_loss_over_its_prefixes(model, dimensions):
    batch = [model.preprocess(list(texts[:6])) for texts in (PAIRS.anchors, PAIRS.positives)]
    model.eval()
    with torch.no_grad():
        found = OBJECTIVES["matryoshka"](model, dimensions)([dict(features) for features in batch], None)
        anchors, positives = (model(dict(features))["sentence_embedding"] for features in batch)
        expected = torch.zeros(())
        for dimension in dimensions:
            a, b = (torch.nn.functional.normalize(side[:, :dimension]) for side in (anchors, positives))
            expected += torch.nn.functional.cross_entropy(20 * a @ b.T, torch.arange(6))  # the library's scale
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_bfloat16_is_chosen_exactly_where_the_processor_has_it():
    flags = Path("/proc/cpuinfo").read_text().split()
    has = torch.cuda.is_available() or bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))
    assert choose_compute("auto") == ("bfloat16" if has else "float32")
    assert choose_compute("float32") == "float32"


def test_pairs_are_the_texts_of_the_records_named():
    import numpy as np

    from nestvec.data.records import Records
    from nestvec.training.pairs import make_pairs

    records = Records(
        ("p", "q"), ("1", "2"), ("a", "b"), ("3", "4"), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.zeros(4)
    )
    assert make_pairs(records, np.array([0, 3])) == Pairs(("p", "q"), ("a", "b"))
