"""Oracles: hashlib on the weights; safetensors' own writer for well-made files; damage done on purpose."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from full_disk import full_from
from safetensors.numpy import load_file, save_file

from nestvec.errors import InputError, NestvecError
from nestvec.models.find import PINNED, find_model
from nestvec.models.load import load_model, read_width, save_model
from nestvec.models.model_files import CARD, SHARDS, WEIGHTS

PIN = next(iter(PINNED.values()))


@pytest.fixture
def copy(minilm_folder, tmp_path):
    """MiniLM's folder to damage, under a name that has no pin."""
    return shutil.copytree(minilm_folder.path, tmp_path / "model")


def refused(path, match, **options):
    with pytest.raises(InputError, match=match) as caught:
        find_model(str(path), **options)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_default_model_is_found_without_a_network(name):
    found = find_model(name)
    assert found.name == name
    assert read_width(found) == 384
    assert found.sha256 == hashlib.sha256((found.path / WEIGHTS).read_bytes()).hexdigest() == PIN.sha256


def test_the_width_is_that_of_what_it_encodes(minilm, minilm_folder):
    assert read_width(minilm_folder) == minilm.encode("x").shape[0] == minilm.get_embedding_dimension()


def test_a_folder_with_the_stated_hash_is_taken(copy):
    assert find_model(str(copy), expected_sha256=PIN.sha256.upper()).sha256 == PIN.sha256


def test_a_wrong_hash_is_refused_with_both(copy):
    said = refused(copy, r"model\.safetensors: checksum mismatch: the weights have sha256", expected_sha256="0" * 64)
    assert PIN.sha256 in said
    assert f"{'0' * 64} (--model-sha256)" in said


def test_a_pinned_model_with_other_weights_is_refused(minilm_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(minilm_folder.path, "all-MiniLM-L6-v2")
    flip_last_byte(tmp_path / copy / WEIGHTS)
    refused("all-MiniLM-L6-v2", "the pin of sentence-transformers/all-MiniLM-L6-v2")


def test_a_saved_model_whose_weights_changed_is_refused(minilm, tmp_path):
    path = tmp_path / "mnr"
    save_model(minilm, path, {"system": "mnr"})
    found = find_model(str(path))
    card = json.loads((path / CARD).read_text())
    assert card == {"system": "mnr", "sha256": found.sha256}
    assert np.array_equal(load_model(found).encode("a drill"), minilm.encode("a drill"))
    flip_last_byte(path / WEIGHTS)
    refused(path, "nestvec.json")


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kept", [0, 7, 100, 10_000, -1])
def test_cut_off_weights_are_refused(copy, kept):
    weights = copy / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:kept])
    assert "model.safetensors" in refused(copy, "is damaged")


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa\nsize 9\n", b"\xff" * 500]
)
def test_what_is_not_safetensors_is_refused(copy, content):
    (copy / WEIGHTS).write_bytes(content)
    refused(copy, "is damaged")


def test_weights_without_a_tensor_are_refused(copy):
    save_file({}, copy / WEIGHTS)
    refused(copy, "holds no weights")


def test_missing_weights_are_refused(copy):
    (copy / WEIGHTS).unlink()
    assert "expected weights as safetensors" in refused(copy, r"model\.safetensors: there is no such file")


class Trap:
    """What leaves a file behind where its pickle is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_pickled_weights_are_refused_and_never_read(copy, tmp_path):
    (copy / WEIGHTS).unlink()
    torch.save({"weights": Trap(tmp_path / "read")}, copy / "pytorch_model.bin")
    said = refused(copy, r"pytorch_model\.bin: holds pickled weights, which may run code when they are read")
    assert "SentenceTransformer(folder).save_pretrained(new_folder)" in said
    assert not (tmp_path / "read").exists()


@pytest.mark.parametrize("beside", [None, SHARDS])
def test_pickled_weights_of_a_module_are_refused_whatever_lies_beside_them(copy, tmp_path, beside):
    """A list of shards is nothing that a Dense module reads."""
    listed = json.loads((copy / "modules.json").read_text())
    listed.append({"idx": 3, "name": "3", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(listed))
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense/config.json").write_text(json.dumps({"in_features": 384, "out_features": 8}))
    torch.save({"linear.weight": Trap(tmp_path / "read")}, copy / "2_Dense/pytorch_model.bin")
    if beside:
        (copy / "2_Dense" / beside).write_text(json.dumps({"weight_map": {"a": f"../{WEIGHTS}"}}))
    refused(copy, r"2_Dense/pytorch_model\.bin: holds pickled weights")
    assert not (tmp_path / "read").exists()


@pytest.mark.parametrize("kind", ["modeling.Own", "os.system", "torch.nn.Identity"])
def test_a_module_of_a_class_of_the_models_own_is_refused(copy, kind):
    listed = json.loads((copy / "modules.json").read_text())
    listed[0]["type"] = kind
    (copy / "modules.json").write_text(json.dumps(listed))
    refused(copy, rf"modules\.json: names the class '{kind}', and nestvec runs no code that a model brings")


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    refused(tmp_path, r"holds neither config\.json nor modules\.json")


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "~/nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_refused(name):
    refused(name, "there is no such model folder")


def test_a_missing_shard_is_refused(copy):
    (copy / SHARDS).write_text(json.dumps({"weight_map": {"a": WEIGHTS, "b": "model-2.safetensors"}}))
    refused(copy, r"model-2\.safetensors: there is no such file")


@pytest.mark.parametrize("name", ["config.json", "modules.json"])
def test_a_damaged_configuration_is_refused_before_or_at_loading(copy, name):
    (copy / name).write_text('{"hidden_size": 384')
    with pytest.raises(InputError) as caught:
        load_model(find_model(str(copy)))
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("config.json", "hidden_size", "wide"), ("config.json", "max_position_embeddings", 0),
     ("sentence_bert_config.json", "max_seq_length", -1), ("sentence_bert_config.json", "max_seq_length", True),
     ("tokenizer_config.json", "model_max_length", 1.5), ("1_Pooling/config.json", "word_embedding_dimension", [384])],
)  # fmt: skip
def test_a_number_that_no_model_can_have_is_named_with_its_file(copy, name, key, value):
    held = json.loads((copy / name).read_text()) | {key: value}
    (copy / name).write_text(json.dumps(held))
    said = refused(copy, "expected a whole number, 1 or more")
    assert f"{copy / name}: {key} is {str(value)!r}" in said


def test_a_limit_beyond_the_models_positions_is_refused_before_any_long_text_is_met(copy):
    (copy / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 5000, "do_lower_case": False}))
    refused(copy, r"sentence_bert_config\.json: max_seq_length is 5000; expected at most 512")


def put_weights(copy, *values):
    tensors = load_file(copy / WEIGHTS)
    for column, value in enumerate(values):
        tensors["encoder.layer.3.output.dense.weight"][5, column] = value
    save_file(tensors, copy / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("values", [(np.nan,), (np.inf, -np.inf)])
def test_weights_that_are_not_finite_are_refused(copy, values):
    put_weights(copy, *values)
    with pytest.raises(InputError, match="weights that are NaN or infinity"):
        load_model(find_model(str(copy)))


def test_finite_weights_whose_sum_is_not_are_loaded(copy):
    put_weights(copy, 3e38, 3e38)
    load_model(find_model(str(copy)))


def test_weights_that_lack_a_layer_are_refused(copy):
    tensors = {name: values for name, values in load_file(copy / WEIGHTS).items() if "layer.5" not in name}
    save_file(tensors, copy / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(InputError):
        load_model(find_model(str(copy)))


def test_a_damaged_list_of_shards_is_refused(copy):
    (copy / SHARDS).write_text("[]")
    refused(copy, r"index\.json: is not a JSON object; expected a weight_map of weight names to files")


def test_a_full_disk_while_a_model_is_saved_gives_one_message(minilm, tmp_path):
    with full_from(1_000_000), pytest.raises(NestvecError, match=r"cannot be written \(.*File too large"):
        save_model(minilm, tmp_path / "model", {})
