"""A model, vectors or an index that are not what was measured: each command says so, and none answers with them.

Oracle: what was swapped is known, and has to be named.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from shared_runs import copy_run
from tables import write_csv

import nestvec
from nestvec.errors import ChangedError, InputError
from nestvec.indexing.index import build_index, open_index
from nestvec.models.model_files import CARD
from nestvec.stores.store import Batch

POINT = {"system": "tiny", "dimension": 96, "precision": "int8"}


@pytest.fixture
def run(two_models, tmp_path):
    """A copy of a run that measured a tiny model, and of that model's folder, where the copied run looks for it."""
    copy, model = copy_run(two_models, tmp_path / "run"), tmp_path / "tiny"
    shutil.copytree(two_models.parent / "tiny", model)
    config = copy / "config.toml"
    config.write_text(config.read_text().replace(str(two_models.parent / "tiny"), str(model)))
    return copy


@pytest.fixture
def model(run):
    return run.parent / "tiny"


def edit_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def forget_hashes(run):
    """Leave a run as nestvec wrote it before it stated what its figures were measured with."""
    results = json.loads((run / "results.json").read_text())
    del results["measured_with"]
    (run / "results.json").write_text(json.dumps(results))


def swap_pooling(model):
    edit_json(model / "1_Pooling/config.json", pooling_mode="max")


def swap_vocabulary(model):
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    letters = [word for word in words if word.strip("#").isalnum() and len(word.strip("#")) == 1]
    tokenizer["model"]["vocab"] = words | dict(zip(letters, reversed([words[word] for word in letters]), strict=True))
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))


def swap_weights(model):
    tensors = load_file(model / "model.safetensors")
    name = max(tensors, key=lambda name: tensors[name].size)
    save_file({**tensors, name: tensors[name][::-1].copy()}, model / "model.safetensors", metadata={"format": "pt"})


SWAPS = {
    "1_Pooling/config.json": swap_pooling,
    "tokenizer.json": swap_vocabulary,
    "config.json": lambda model: edit_json(model / "config.json", hidden_act="relu"),
    "sentence_bert_config.json": lambda model: edit_json(model / "sentence_bert_config.json", max_seq_length=5),
}


@pytest.mark.parametrize("file", SWAPS)
def test_a_swapped_file_is_named_by_all_that_would_answer_with_it(run, model, tmp_path, typed, file):
    build_index(run, **POINT).close()
    SWAPS[file](model)
    texts = write_csv(tmp_path / "texts.csv", [{"text": "claw hammer"}])
    said = f"{model}: is not the same model as when tiny was measured: {file} has changed"
    for code, *words in (
        (2, "search", run, "claw hammer"),
        (1, "index", run, "--verify"),
        (2, "index", run, "--system", "tiny"),
        (2, "export", run, "--system", "tiny", "--out", tmp_path / "export"),
        (2, "encode", run, texts, "--system", "tiny", "--out", tmp_path / "out.parquet"),
        (2, "serve", run, "--port", 0),
    ):
        ended, out, message = typed(*words)
        assert (ended, out) == (code, ""), (words, message)
        assert message.count("\n") == 1 and said in message
    assert not (tmp_path / "export").exists() and not (tmp_path / "out.parquet").exists()


def test_other_weights_are_refused_with_their_card(run, model):
    swap_weights(model)
    with pytest.raises(InputError, match="checksum mismatch"):
        build_index(run, **POINT)


def test_what_a_run_does_not_state_its_index_does(run, model):
    forget_hashes(run)
    build_index(run, **POINT).close()
    swap_vocabulary(model)
    with pytest.raises(ChangedError, match=r"when .*index was built: tokenizer\.json has changed"):
        open_index(run)


@pytest.mark.parametrize("swap", [swap_pooling, swap_vocabulary])
def test_a_model_swapped_before_an_old_run_is_indexed_is_found_by_verifying(run, model, typed, swap):
    forget_hashes(run)
    swap(model)
    build_index(run, **POINT).close()
    code, _, message = typed("index", run, "--verify")
    assert code == 1
    assert "an earlier nestvec made this run" in message
    assert f"{model}: the model's vectors differ from those in {run / 'embeddings/tiny.npy'}" in message


def swap_vectors(run):
    path = run / "embeddings/tiny.npy"
    vectors = np.load(path)
    np.save(path, np.random.default_rng(1).permutation(vectors))


def test_other_vectors_are_refused_wherever_they_are_read(run, tmp_path, typed):
    build_index(run, **POINT).close()
    swap_vectors(run)
    said = f"{run / 'embeddings/tiny.npy'}: has changed since it was measured; expected the vectors of tiny"
    words = (2, "index", run, "--system", "tiny"), (2, "export", run, "--system", "tiny", "--out", tmp_path / "export")
    for code, *typing in (*words, (1, "index", run, "--verify")):
        ended, out, message = typed(*typing)
        assert (ended, out.count("recall@10")) == (code, 0), message
        assert said in message
    assert nestvec.search(run, "claw hammer", 3)  # the index that was built before holds the measured ones


def test_other_vectors_of_an_old_run_are_found_by_verifying(run, typed):
    forget_hashes(run)
    swap_vectors(run)
    build_index(run, **POINT).close()
    code, _, message = typed("index", run, "--verify")
    assert code == 1 and "vectors differ from those in" in message


def test_an_index_that_answers_otherwise_is_not_what_was_measured(run, typed):
    """The documents of two others changed places in the index, which its model and its files know nothing of."""
    with build_index(run, **POINT) as index:
        run_ids, vectors = index.selection.run.catalogue.ids, np.array(index.selection.document_vectors)
        texts = index.selection.run.catalogue.texts
        index.store.upsert([Batch(run_ids, texts, np.roll(vectors, 1, axis=0), [{} for _ in run_ids])])
        verified = index.verify()
        assert not verified.holds and verified.wrong > verified.queries // 2
    code, out, message = typed("index", run, "--verify")
    assert code == 1 and "recall@10" not in out
    assert "search results of the index differ from the run's" in message and "has a score of" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_enter_nowhere(run, value):
    forget_hashes(run)
    path = run / "embeddings/tiny.npy"
    vectors = np.load(path)
    vectors[-1, 5] = value
    np.save(path, vectors)
    with pytest.raises(InputError, match="holds NaN or infinit"):
        build_index(run, **POINT)
    with pytest.raises(InputError, match="the vector of document 'b' holds NaN"):
        Batch(["a", "b"], ["", ""], np.array([[1.0, 0.0], [value, 0.0]], dtype=np.float32), [{}, {}])


def test_a_model_that_gives_no_numbers_is_refused_with_the_text(run, model, tmp_path, typed):
    """Every weight is a finite number; their sums are not."""
    tensors = load_file(model / "model.safetensors")
    grown = {
        name: np.full_like(values, 3e38) if "word_embeddings" in name else values for name, values in tensors.items()
    }
    save_file(grown, model / "model.safetensors", metadata={"format": "pt"})
    texts = write_csv(tmp_path / "texts.csv", [{"text": "claw hammer"}])
    code, _, message = typed("encode", model, texts, "--out", tmp_path / "out.parquet", "--backend", "torch")
    assert code == 2 and "NaN or infinity" in message
    assert not (tmp_path / "out.parquet").exists()


def test_an_export_whose_card_was_edited_is_refused(run, tmp_path, typed):
    made = nestvec.export(run, tmp_path / "export", "onnx", **POINT)
    assert json.loads((made.folder / CARD).read_text())["model"]["1_Pooling/config.json"]
    edit_json(made.folder / CARD, query_prompt="query: ")
    texts = write_csv(tmp_path / "texts.csv", [{"text": "claw hammer"}])
    code, _, message = typed("encode", made.folder, texts, "--out", tmp_path / "out.parquet")
    assert code == 2 and f"{Path(made.folder) / CARD}: was changed" in message
