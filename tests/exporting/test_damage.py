"""Folders that are no export any more: each is refused, and the message names the file."""

from __future__ import annotations

import json
import shutil

import pytest

from nestvec.errors import InputError
from nestvec.models.encoder import open_encoder
from nestvec.models.export_card import read_card

pytestmark = pytest.mark.slow  # an export in each form, damaged in each way


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of a whole export."""
    copy = tmp_path / "export"
    shutil.copytree(exported("tiny", "onnx").folder, copy)
    assert read_card(copy) is not None
    return copy


def edit(folder, **values):
    """Write other values into the card; None takes one out."""
    path = folder / "nestvec.json"
    card = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in card.items() if value is not None}))


def refused(folder, message):
    for opened in (read_card, open_encoder):
        with pytest.raises(InputError, match=message):
            opened(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "codec.safetensors", "config.json"])
def test_a_file_cut_short_is_named(name, folder):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    said = rf"{name}: checksum mismatch: was cut short, changed or swapped; its sha256 is [0-9a-f]{{64}}"
    refused(folder, rf"{said}; expected [0-9a-f]")


@pytest.mark.parametrize("to", ["sentence-transformers", "openvino"])
def test_one_changed_bit_is_noticed_for_every_target(to, exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported("tiny", to).folder, folder)
    weights = folder / ("openvino_model.bin" if to == "openvino" else "model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused(folder, f"{weights.name}: checksum mismatch: was cut short, changed or swapped")


def test_another_exports_file_is_noticed(folder, exported):
    shutil.copy(exported("pretrained", "onnx").folder / "model.onnx", folder / "model.onnx")
    refused(folder, r"model\.onnx: checksum mismatch: was cut short, changed or swapped")


def test_a_missing_file_is_named(folder):
    (folder / "tokenizer.json").unlink()
    refused(folder, r"tokenizer\.json: there is no such file")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 2}, "has schema 2, which a newer nestvec wrote; expected schema 1"),
        ({"schema": None}, "has schema None"),
        ({"schema": True}, "has schema True"),
        ({"kind": "index"}, "has the kind 'index' instead of 'export'; expected a folder that `nestvec export` wrote"),
        ({"dimension": 48}, r"is for 48\.int8, but codec\.safetensors is for 96\.int8"),
        ({"precision": "float32"}, r"is for 96\.float32, but"),
        ({"dimension": 1000}, "dimension 1000 exceeds full_dimension 768"),
        ({"dimension": "96"}, "dimension is '96'"),
        ({"to": "tflite"}, "to is 'tflite'"),
        ({"weights": None}, "weights is None"),
        ({"inputs": []}, r"inputs is \[\]"),
        ({"inputs": None}, "inputs is None"),
        ({"files": {}}, r"does not list model\.onnx"),
        ({"files": {"../secret": "00"}}, "files is"),
        ({"parity": {"texts": "many"}}, "parity is"),
        ({"pad_id": -1}, "pad_id is -1"),
    ],
)
def test_a_card_that_says_otherwise_is_refused(values, message, folder):
    edit(folder, **values)
    refused(folder, rf"nestvec\.json: .*{message}")


@pytest.mark.parametrize("text", ["{", "[]", "null", ""])
def test_a_card_that_is_no_table_is_refused(text, folder):
    (folder / "nestvec.json").write_text(text)
    refused(folder, r"nestvec\.json: is damaged")


def test_an_edited_model_card_is_no_damage(folder):
    (folder / "README.md").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    assert read_card(folder).system == "tiny"


def test_what_is_no_export_has_no_card(tiny, tmp_path):
    assert read_card(tiny) is None
    assert read_card(tmp_path) is None
    (tmp_path / "nestvec.json").write_text(json.dumps({"system": "mnr", "base": "x", "sha256": "00"}))
    assert read_card(tmp_path) is None  # as a run saves its trained models
