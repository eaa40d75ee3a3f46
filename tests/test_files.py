"""Oracles: the file system itself, looked at after the block; hashlib on the bytes in memory; the contract of the run's
folder: a reader never sees half a file, and a refused folder is left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from full_disk import full_from

from nestvec.errors import InputError, NestvecError
from nestvec.files import read_json, replacing, sha256, write_json, write_text
from nestvec.runs.config import config_text
from nestvec.runs.folder import LAYOUT, RunFolder, claim_folder
from nestvec.settings import Settings


def read_tree(root):
    """Every path below a folder with its content."""
    return {str(path.relative_to(root)): path.read_text() if path.is_file() else None for path in root.rglob("*")}


def config(**options):
    return config_text(Settings.from_flat(options), {"source": "ab12", "model": "cd34"})


# Replacing


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # the same file system, or renaming would copy
    assert read_tree(tmp_path) == {"deep": None, "deep/file": "half"}


@pytest.mark.parametrize("old", [None, "file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_nothing_is_left_when_the_block_raises(tmp_path, old, new):
    path = tmp_path / "place"
    write(path, old, "old")
    before = read_tree(tmp_path)
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        write(temporary, new, "half")
        raise KeyboardInterrupt
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize(
    ("old", "new"), [(None, "file"), ("file", "file"), ("folder", "file"), (None, "folder"), ("folder", "folder")]
)
def test_the_new_takes_the_place_of_the_old(tmp_path, old, new):
    path = tmp_path / "place"
    write(path, old, "old")
    with replacing(path) as temporary:
        write(temporary, new, "new")
    assert read_tree(tmp_path) == {"place": "new"} if new == "file" else {"place": None, "place/inside": "new"}


@pytest.mark.parametrize("old", [None, "file", "folder"])
def test_a_block_that_writes_nothing_keeps_the_old(tmp_path, old):
    path = tmp_path / "place"
    write(path, old, "old")
    before = read_tree(tmp_path)
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert read_tree(tmp_path) == before


def test_what_this_process_left_behind_is_overwritten(tmp_path):
    path = tmp_path / "place"
    with replacing(path) as temporary:
        name = temporary.name
        temporary.write_text("x")
    write(tmp_path / name, "folder", "stale")
    with replacing(path) as temporary:
        assert not temporary.exists()
        temporary.write_text("y")
    assert read_tree(tmp_path) == {"place": "y"}


def write(path, kind, text):
    if kind == "file":
        path.write_text(text)
    elif kind == "folder":
        path.mkdir()
        (path / "inside").write_text(text)


# JSON, text, hashes


def test_json_comes_back_as_it_was(tmp_path):
    value = {"ø": [1, 2.5, None, True, "\u2028"], "nested": {"b": 1, "a": 2}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value == json.loads((tmp_path / "x.json").read_bytes())
    assert list(read_json(tmp_path / "x.json")["nested"]) == ["b", "a"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, value):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", {"a": [value]})
    assert read_tree(tmp_path) == {"x.json": "1\n"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"NaNs"])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: is damaged.*; expected JSON"):
        read_json(path)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_json_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / name)


def test_hashes_are_hashlibs(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


# The run's folder


def test_stages_are_done_in_the_order_they_finished(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.done() == []
    for stage in ("prepare", "train mnr", "encode mnr", "audit"):
        assert not folder.is_done(stage)
        folder.mark_done(stage, {"seconds": 1.5})
        assert folder.is_done(stage)
        time.sleep(0.002)
    assert folder.done() == ["prepare", "train mnr", "encode mnr", "audit"]
    assert folder.facts("train mnr") == {"seconds": 1.5}


def test_files_lie_where_the_design_says(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.run("mnr.48.int8") == tmp_path / "runs" / "mnr.48.int8.trec"
    assert folder.model("mnr") == tmp_path / "models" / "mnr"
    wanted = {"config.toml", "results.json", "per_query.parquet", "recommendation.json", "report.html",
              "data/records.parquet", "data/audit.json", "data/grades.json", "data/qrels.trec"}  # fmt: skip
    assert wanted <= set(LAYOUT.values())


def test_a_new_or_empty_folder_is_claimed(tmp_path):
    for name in ("new", "deeper/new", "empty", "hidden only"):
        root = tmp_path / name
        if name not in ("new", "deeper/new"):
            root.mkdir()
        if name == "hidden only":
            (root / ".DS_Store").write_text("")
        assert claim_folder(root, config()).path("config").read_text() == config()


def test_the_same_settings_take_a_folder_up(tmp_path):
    claim_folder(tmp_path / "run", config(epochs=1))
    write_text(tmp_path / "run" / "results.json", "{}")
    before = read_tree(tmp_path)
    assert claim_folder(tmp_path / "run", config(epochs=1)).root == tmp_path / "run"
    other_versions = config(epochs=1).replace('numpy = "', 'numpy = "0.')
    claim_folder(tmp_path / "run", other_versions)
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ({"epochs": 1}, {"epochs": 2}, "epochs was 1, now 2"),
        ({}, {"threshold": 2.5}, "threshold was not set, now 2.5"),
        ({"max_records": 9}, {}, "max_records was 9, now not set"),
        ({"epochs": 1}, {"epochs": 2, "seed": 1}, "epochs was 1, now 2; seed was 42, now 1"),
    ],
)  # fmt: skip
def test_other_settings_are_refused_with_the_difference(tmp_path, first, second, shown):
    claim_folder(tmp_path / "run", config(**first))
    (tmp_path / "run" / ".results.json.1.tmp").write_text("half")
    before = read_tree(tmp_path)
    with pytest.raises(InputError, match=f"run: was made with other settings: {shown}; expected .*--out"):
        claim_folder(tmp_path / "run", config(**second))
    assert read_tree(tmp_path) == before


def test_other_inputs_are_refused_with_the_difference(tmp_path):
    claim_folder(tmp_path / "run", config())
    with pytest.raises(InputError, match="source's sha256 was ab12, now ff00"):
        claim_folder(tmp_path / "run", config().replace("ab12", "ff00"))


def test_what_a_killed_run_left_is_removed(tmp_path):
    root = tmp_path / "run"
    claim_folder(root, config())
    write_text(root / "runs" / "mnr.trec", "whole")
    before = read_tree(root)
    for name in (
        ".config.toml.9.tmp",
        "runs/.bm25.trec.9.tmp",
        "models/.mnr.9.tmp/0_T/.deep.9.tmp",
        ".figures.9.tmp/x",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("half")
    claim_folder(root, config())
    assert read_tree(root) == {**before, "models": None}


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="run: is a file; expected a folder"):
        claim_folder(tmp_path / "run", config())
    with pytest.raises(InputError, match="cannot be written"):
        claim_folder(tmp_path / "run" / "below", config())
    assert read_tree(tmp_path) == {"run": "mine"}


def test_foreign_files_are_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds files that no run made; expected a new or empty folder"):
        claim_folder(tmp_path, config())
    assert read_tree(tmp_path) == {"thesis.tex": "mine"}


@pytest.mark.parametrize("text", ["[server]\nport = 1\n", "epochs = 3\n", "no toml", 'a = "\\ud800"\n'])
def test_a_foreign_config_file_is_refused_and_kept(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(InputError):
        claim_folder(tmp_path, config())
    assert read_tree(tmp_path) == {"config.toml": text}


@pytest.mark.parametrize("kind", ["a folder", "inputs that are no table"])
def test_a_config_file_that_is_none_is_refused(tmp_path, kind):
    if kind == "a folder":
        (tmp_path / "config.toml").mkdir()
    else:
        (tmp_path / "config.toml").write_text("inputs = []\n")
    with pytest.raises(InputError):
        claim_folder(tmp_path, config())


@pytest.mark.parametrize("root", ["/proc/x", "/proc/1/x/y", "/tmp/" + "x" * 300])
def test_a_place_that_cannot_be_written_is_refused(root):
    with pytest.raises(InputError, match=r"(cannot be written|is a file)"):
        claim_folder(Path(root), config())


def test_a_full_disk_gives_one_message_and_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "results.json", "old")
    with full_from(1000), pytest.raises(NestvecError, match=r"results.json cannot be written \(File too large\)"):
        write_text(tmp_path / "results.json", "new" * 1000)
    assert read_tree(tmp_path) == {"results.json": "old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            claim_folder(tmp_path / "run", config())
    finally:
        tmp_path.chmod(0o700)
