"""Oracle: the library itself — a file counts exactly where another content of it gives other vectors, or may do so."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny_models import VARIETIES

from nestvec.models.find import find_model
from nestvec.models.load import quiet_libraries
from nestvec.models.model_hashes import describe_changes
from nestvec.models.prompts import Prompts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model with a product after its pooling, and one whose queries take another way than its documents."""
    root = tmp_path_factory.mktemp("hashed")
    with quiet_libraries():
        return {name: VARIETIES[name](root / name.replace(", ", "-")) for name in ("dense, smaller", "routed")}


@pytest.mark.parametrize("name", ["dense, smaller", "routed"])
def test_every_file_that_decides_a_vector_counts(name, made, tmp_path):
    before = find_model(str(made[name])).hashes
    written = {str(path.relative_to(made[name])) for path in made[name].rglob("*") if path.is_file()}
    assert set(before) == written | {"prompts"}
    for file in sorted(written):
        copy = shutil.copytree(made[name], tmp_path / file.replace("/", "-") / "model")
        path = copy / file
        if path.suffix == ".safetensors":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        else:
            path.write_text(path.read_text() + "\n")
        changed = find_model(str(copy)).hashes
        assert describe_changes(before, changed) == f"{file} has changed"


def test_what_decides_no_vector_does_not_count(made, tmp_path):
    copy = shutil.copytree(made["dense, smaller"], tmp_path / "model")
    before = find_model(str(copy)).hashes
    (copy / "onnx").mkdir()
    for name in ("README.md", ".gitattributes", "modeling.py", "nestvec.json", "codecs.safetensors", "onnx/model.onnx"):
        (copy / name).write_text("{}")
    assert find_model(str(copy)).hashes == before


def test_a_file_beside_the_others_counts_as_a_library_may_prefer_it(made, tmp_path):
    copy = shutil.copytree(made["dense, smaller"], tmp_path / "model")
    before = find_model(str(copy))
    (copy / "sentence_roberta_config.json").write_text(json.dumps({"max_seq_length": 4}))
    (copy / "tokenizer_config.json").unlink()
    said = describe_changes(before.hashes, find_model(str(copy)).hashes)
    assert said == "sentence_roberta_config.json is new, tokenizer_config.json is missing"


def test_many_changes_are_counted():
    stated = {str(number): "a" for number in range(6)}
    said = describe_changes(stated, stated | dict.fromkeys("012345", "b"))
    assert said == "0 has changed, 1 has changed, 2 has changed, 3 has changed, and 2 more"
    assert describe_changes(stated, dict(stated)) == ""
    assert describe_changes({"prompts": Prompts("q: ").sha256}, {"prompts": Prompts().sha256}) == "prompts has changed"
