"""Oracle: the file system, looked at before and after: what the earlier card does not list is there, byte for byte."""

from __future__ import annotations

import json
import shutil

import pytest

from nestvec.errors import InputError
from nestvec.exporting.earlier_export import keep_own_files, refuse_foreign
from nestvec.exporting.export_model import export
from nestvec.models.export_card import Card, read_card, write_card

OURS = ("model.onnx", "tokenizer.json", "1_Pooling/config.json")


def read_tree(root):
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def earlier(tmp_path):
    """An export's folder as its card describes it."""
    folder = tmp_path / "out"
    for name in (*OURS, "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    words = dict.fromkeys(("system", "base", "output", "query_prompt", "document_prompt", "model_sha256"), "")
    figures = {"dimension": 96, "full_dimension": 96, "max_length": 64, "pad_id": 0}
    files = dict.fromkeys(OURS, "00")
    write_card(
        folder,
        Card(to="onnx", precision="int8", weights="int8", inputs=("x",), files=files, parity={}, **words, **figures),
    )
    return folder


@pytest.fixture
def new(tmp_path):
    """The folder of a new export, not in place yet."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "model.onnx").write_text("new")
    return folder


def test_only_what_the_card_lists_is_left_behind(earlier, new, tmp_path):
    own = {"notes.txt": "mine", "1_Pooling/deep/er.txt": "mine", "recipes/mine.sql": "mine", ".hidden": "mine"}
    for name, text in own.items():
        (earlier / name).parent.mkdir(parents=True, exist_ok=True)
        (earlier / name).write_text(text)
    (earlier / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "big").write_text("mine")
    (earlier / "link").symlink_to(tmp_path / "elsewhere")
    (earlier / "broken").symlink_to("nowhere")
    before = read_tree(earlier)
    refuse_foreign(earlier)
    assert keep_own_files(earlier, new) == tuple(sorted([*own, "broken", "empty", "link"]))
    assert read_tree(new) == {**own, "model.onnx": "new"}
    assert (new / "link").readlink() == tmp_path / "elsewhere" and (new / "broken").is_symlink()
    assert (new / "empty").is_dir() and read_tree(earlier) == before


def test_nothing_is_kept_of_an_export_that_nobody_touched_or_of_no_export(earlier, new, tmp_path):
    assert keep_own_files(earlier, new) == keep_own_files(tmp_path / "missing", new) == ()
    assert read_tree(new) == {"model.onnx": "new"}


def test_a_file_that_the_new_export_would_write_over_is_refused(earlier, new):
    (earlier / "hybrid.json").write_text("mine")
    (new / "hybrid.json").write_text("new")
    with pytest.raises(InputError, match=r"out/hybrid\.json: is a file that no export wrote, .*another --out"):
        keep_own_files(earlier, new)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"kind": "export"}, "has schema None"),
        ({"kind": "export", "schema": 1, "files": {"thesis.tex": "00"}}, "is damaged: to is None"),
        ({"kind": "export", "schema": 2}, "which a newer nestvec wrote"),
        ({"kind": "other"}, "holds files that no export made"),
        ([], "holds files that no export made"),
    ],
)
def test_a_folder_is_no_export_because_its_card_says_so(card, message, tmp_path):
    (tmp_path / "nestvec.json").write_text(json.dumps(card))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=message):
        refuse_foreign(tmp_path)


def test_an_export_through_a_link_over_an_earlier_one_keeps_link_and_notes(exported, run, tmp_path):
    """The whole command, on a copy of a real export."""
    far, link = tmp_path / "far", tmp_path / "out"
    shutil.copytree(exported("tiny", "onnx").folder, far)
    link.symlink_to(far)
    (far / "notes.txt").write_text("mine")
    made = export(run, link, "sentence-transformers", system="tiny", dimension=96, precision="int8")
    assert link.readlink() == far and sorted(entry.name for entry in tmp_path.iterdir()) == ["far", "out"]
    assert made.kept == ("notes.txt",) and made.summary.endswith("kept files that no export wrote: notes.txt")
    assert (far / "notes.txt").read_text() == "mine" and not (far / "model.onnx").exists()
    assert read_card(link) == made.card
