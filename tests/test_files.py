"""Oracles: the file system itself, looked at after the block; hashlib on the bytes in memory; the contract of the run's
folder: a reader never sees half a file, and a refused folder is left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from full_disk import full_from

from nestvec import files
from nestvec.errors import InputError, NestvecError
from nestvec.files import read_json, remove, replacing, sha256, sweep, write_json, write_text
from nestvec.runs.config import config_text
from nestvec.runs.folder import LAYOUT, RunFolder, claim_folder, hold_folder
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
        assert temporary.parent.parent == path.parent  # the same file system, or renaming would copy
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


@pytest.fixture(params=["exchanges", "renames only"])
def file_system(request, monkeypatch):
    """One that lets two names change places, as ext4 does, or one that does not, such as NFS."""
    if request.param == "renames only":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    return request.param


@pytest.mark.parametrize(("old", "new"), [(None, "file"), ("file", "file"), (None, "folder"), ("folder", "folder")])
def test_the_new_takes_the_place_of_the_old(tmp_path, old, new, file_system):
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


@pytest.mark.parametrize(("old", "new"), [("folder", "file"), ("file", "folder")])
def test_a_folder_and_a_file_do_not_replace_each_other(tmp_path, old, new):
    write(tmp_path / "place", old, "old")
    before = read_tree(tmp_path)
    with (
        pytest.raises(
            InputError, match=f"place: is a {old}, and a {new} is to be written there; expected a {new}, or a path that"
        ),
        replacing(tmp_path / "place") as temporary,
    ):
        write(temporary, new, "new")
    assert read_tree(tmp_path) == before


# Killed writers

WRITER = """
import os, signal, sys
from pathlib import Path
from nestvec import files

def interrupt(name, moment, calls):
    whole = getattr(calls, name)
    def call(*words):
        if moment == "before": os.kill(os.getpid(), signal.SIGKILL)
        whole(*words)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(calls, name, call)

path, name, moment, exchanges = Path(sys.argv[1]), *sys.argv[2:]
if exchanges == "renames only": files._exchange = lambda *_: False
interrupt(name, moment, {"rmtree": files.shutil, "flock": files.fcntl, "_exchange": files}.get(name, Path))
with files.replacing(path) as temporary:
    temporary.mkdir()
    for number in range(5):
        with (temporary / f"new{number}").open("w") as stream: stream.write("whole")
"""
OLD, NEW = ({f"{name}{number}": "whole" for number in range(5)} for name in ("old", "new"))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "exchanges"),
    [
        ("flock", "exchanges"), ("_exchange", "exchanges"), ("rmtree", "exchanges"),
        ("rename", "renames only"), ("rmtree", "renames only"),
    ],
)  # fmt: skip
def test_a_killed_writer_leaves_the_old_folder_or_the_new_and_the_next_leaves_nothing(
    tmp_path, name, moment, exchanges
):
    place = tmp_path / "place"
    place.mkdir()
    for file, text in OLD.items():
        (place / file).write_text(text)
    killed = subprocess.run([sys.executable, "-c", WRITER, str(place), name, moment, exchanges], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    between = (name, moment, exchanges) == ("rename", "after", "renames only")
    assert place.exists() != between  # there is a moment without it only where names cannot change places
    if not between:
        assert read_tree(place) in (OLD, NEW)
    sweep(tmp_path)
    assert read_tree(place) in (OLD, NEW)
    with replacing(place) as temporary:
        temporary.mkdir()
    assert read_tree(tmp_path) == {"place": None}


def test_a_reader_finds_a_folder_at_every_moment(tmp_path):
    place, over, looked = tmp_path / "place", threading.Event(), []

    def swap():
        with replacing(place) as temporary:
            write(temporary, "folder", "new")

    def look():
        while not over.is_set():
            looked.append(place.is_dir())

    swap()
    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        swap()
    over.set()
    reader.join()
    assert len(looked) > 200 and all(looked)


def test_the_temporary_folder_of_a_living_writer_stays(tmp_path):
    with replacing(tmp_path / "place") as temporary:
        temporary.write_text("slow")
        sweep(tmp_path)
        with replacing(tmp_path / "place") as another:
            assert another != temporary and temporary.read_text() == "slow"
            another.write_text("quick")
        assert (tmp_path / "place").read_text() == "quick"
    assert read_tree(tmp_path) == {"place": "slow"}


def test_many_writers_of_one_path_leave_one_of_their_files(tmp_path):
    """Each sweeps what others may be just about to lock."""
    failed = []

    def write_often(text):
        try:
            for _ in range(50):
                write_text(tmp_path / "place", text)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write_often, args=(f"{number}" * 100,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    [(name, text)] = read_tree(tmp_path).items()
    assert name == "place" and len(text) == 100 and len(set(text)) == 1


def test_names_that_are_not_ours_are_not_swept(tmp_path):
    """A number alone, of an older nestvec, is removed only if no process has it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ours = [f".x.json.{ended.pid}.tmp", ".x.99999999999999999999.tmp"]
    others = [".x.tmp", ".x.backup.tmp", "x.1-abcdefgh.tmp", f".x.{os.getpid()}.tmp", ".x.1.tmp"]
    for name in ours + others:
        (tmp_path / name).write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".x.1-abcdefgh.tmp").symlink_to(elsewhere)
    sweep(tmp_path)
    assert sorted(read_tree(tmp_path)) == sorted([*others, ".x.1-abcdefgh.tmp", "elsewhere"])
    assert read_tree(elsewhere) == {}


def test_a_folder_goes_at_once(tmp_path, monkeypatch):
    write(tmp_path / "place", "folder", "old")
    seen = []
    removing = files.shutil.rmtree
    monkeypatch.setattr(
        files.shutil, "rmtree", lambda path: (seen.append((tmp_path / "place").exists()), removing(path))
    )
    remove(tmp_path / "place")
    assert seen == [False] and read_tree(tmp_path) == {}


# Links


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path, kind, there, file_system):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    link.symlink_to(target)
    if there:
        write(target, kind, "old")
    with replacing(link) as temporary:
        write(temporary, kind, "new")
    assert link.is_symlink() and link.readlink() == target
    assert read_tree(tmp_path / "far") == (
        {"target": "new"} if kind == "file" else {"target": None, "target/inside": "new"}
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["far", "link"]


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "pipe", tmp_path / "loop", Path("/dev/null")):
        with pytest.raises(InputError, match=f"{path.name}: is a device, a pipe, a socket or a link to itself"):
            write_text(path, "text")
    assert Path("/dev/null").is_char_device() and (tmp_path / "pipe").is_fifo()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["loop", "pipe"]


def test_the_folder_that_one_is_in_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with replacing(Path()) as temporary:
        write(temporary, "folder", "new")
    assert read_tree(tmp_path) == {"here": None, "here/inside": "new"}


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


def test_a_link_is_claimed_where_it_leads(tmp_path):
    link = tmp_path / "run"
    link.symlink_to("far")
    for _ in range(2):  # there is no such folder at first
        with hold_folder(link):
            claim_folder(link, config())
    assert link.is_symlink() and (tmp_path / "far" / "config.toml").read_text() == config()


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
    """Of this nestvec and of older ones."""
    root = tmp_path / "run"
    claim_folder(root, config())
    write_text(root / "runs" / "mnr.trec", "whole")
    before = read_tree(root)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (
        ".config.toml.PID.tmp",
        "runs/.bm25.trec.PID-abcdefgh.tmp/bm25.trec",
        "models/.mnr.PID.tmp/0_T/.deep.PID.tmp",
        ".figures.PID.tmp/x",
    ):
        path = root / name.replace("PID", str(ended.pid))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        if path.parent.name.endswith("abcdefgh.tmp"):
            (path.parent / ".lock").touch()
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
