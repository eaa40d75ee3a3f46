"""Numbers that no model can have: each is refused with its file before anything is loaded, and takes no memory."""

from __future__ import annotations

import json
import resource
import shutil

import pytest
from tiny_models import VARIETIES, save_transformer

from nestvec.errors import InputError
from nestvec.models.find import find_model
from nestvec.models.load import load_model, quiet_libraries


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model with a product after its pooling."""
    with quiet_libraries():
        return VARIETIES["dense, smaller"](tmp_path_factory.mktemp("absurd") / "model")


def state(folder, name, **values):
    """Write values into one of a model's configurations."""
    path = folder / name
    held = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(held | values))


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("sentence_bert_config.json", "max_seq_length", 10**9, "at most 64, as the model's weights show"),
        ("sentence_bert_config.json", "max_seq_length", 65, "at most 64"),
        ("config.json", "hidden_size", -5, "a whole number, 1 or more"),
        ("config.json", "hidden_size", True, "a whole number, 1 or more"),
        ("config.json", "hidden_size", 10**12, "at most 4,096"),
        ("config.json", "num_hidden_layers", 10**6, "at most 256"),
        ("config.json", "num_hidden_layers", "two", "a whole number, 1 or more"),
        ("config.json", "vocab_size", 10**15, "at most 4,096"),
        ("config.json", "type_vocab_size", 10**9, "at most 4,096"),
        ("config.json", "num_labels", 10**9, "at most 4,096"),
        ("config.json", "max_position_embeddings", 10**12, "at most 100,000,000"),
        ("2_Dense/config.json", "out_features", 4000, "8, as the module's weights show"),
        ("1_Pooling/config.json", "embedding_dimension", 10**9, "at most 4,096"),
    ],
)
def test_it_is_refused_before_anything_is_loaded(made, tmp_path, name, key, value, expected):
    copy = shutil.copytree(made, tmp_path / "model")
    state(copy, name, **{key: value})
    with pytest.raises(InputError, match=f"{key} is .*; expected {expected}") as caught:
        find_model(str(copy))
    assert str(caught.value).startswith(str(copy / name))


@pytest.mark.parametrize(
    "values",
    [{"hidden_size": 4096, "intermediate_size": 4096, "num_hidden_layers": 250}, {"max_position_embeddings": 10**7}],
)
def test_a_model_larger_than_its_files_takes_no_memory(tmp_path, values):
    """Each number is possible, but not all of them together."""
    save_transformer(tmp_path / "model")
    state(tmp_path / "model", "config.json", **values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"config\.json needs [0-9,]+ weights, but the model files hold"):
        load_model(find_model(str(tmp_path / "model")))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB
