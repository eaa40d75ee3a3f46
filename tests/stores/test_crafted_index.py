"""Oracle: an index of somebody who knows SQLite, faiss and our checksums is refused with one line, in no time.

What a statement here does to the database, a checksum of nestvec does not notice.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import time
from contextlib import closing

import numpy as np
import pytest
from worlds import ASKED, HYBRID, STAGES, World

from nestvec.errors import InputError
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.segment import _file_checksum
from nestvec.stores.store import Condition

ENDLESS = "WITH RECURSIVE n(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM n) SELECT row"
CRAFTED = {
    "a view without an end": f"DROP TABLE gone; CREATE VIEW gone AS {ENDLESS} FROM n",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON gone BEGIN DELETE FROM documents; END",
    "another table": "CREATE TABLE more (x)",
    "another index": "CREATE INDEX more ON documents (text)",
    "a virtual table": "CREATE VIRTUAL TABLE more USING fts5(x)",
    "a generated column": "ALTER TABLE documents ADD COLUMN x TEXT AS (zeroblob(1000000000))",
    "a table less": "DROP TABLE fields",
    "another journal": "PRAGMA journal_mode = WAL",
    "a text that is none": "UPDATE documents SET text = zeroblob(9)",
    "a text that is not UTF-8": "UPDATE documents SET text = CAST(x'fffe' AS TEXT)",
    "fields that are no object": "UPDATE documents SET fields = '[1]'",
    "fields nested deeply": "UPDATE documents SET fields = printf('%.*c', 100000, '[')",
    "rows by the billion": "UPDATE segments SET rows = 1000000000000",
    "rows that are no number": "UPDATE segments SET rows = 'many'",
    "a hole before the rows": "UPDATE segments SET first = 7",
    "no checksums": "UPDATE segments SET checks = 'null'",
    "gone rows that never were": "INSERT INTO gone VALUES (999999999999)",
    "fields of such rows": "INSERT INTO fields VALUES ('brand', 999999999, 'Acme', NULL)",
    "a word elsewhere": "UPDATE words SET start = start + 1000000000",
    "a word's span reversed": "UPDATE words SET start = stop, stop = start",
    "a word's span of text": "UPDATE words SET stop = 'x'",
}


@pytest.fixture(scope="module")
def world():
    return World(STAGES["int8"], documents=200, hybrid=HYBRID)


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crafted") / "index"
    with closing(EmbeddedStore(folder)) as store:
        world.put_into(store)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "index")


def ask(folder, world):
    with closing(EmbeddedStore(folder)) as store:
        where = [Condition.parse("brand=Acme")]
        found = store.search(world.queries[:3], 10) + store.search(world.queries[:3], 200, where)
        return found + store.search_words(ASKED, 10) + store.search_fused(ASKED, world.queries[: len(ASKED)], 10)


def refuse(folder, world, file, why=""):
    start = time.perf_counter()
    with pytest.raises(InputError, match=rf"{file}: .*{why}") as refused:
        ask(folder, world)
    assert str(refused.value).isprintable()
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("statements", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_database_is_refused(folder, world, statements):
    with closing(sqlite3.connect(folder / "000001/documents.sqlite", isolation_level=None)) as base:
        base.executescript(statements)
    refuse(folder, world, r"(documents\.sqlite|words\.npy|int8\.faiss)")


@pytest.mark.parametrize("child", [1, 2, 3, 0], ids=["the schema", "segments", "documents", "itself"])
def test_pages_that_lead_to_each_other_end(folder, world, child):
    path = folder / "000001/documents.sqlite"
    content = bytearray(path.read_bytes())
    [size] = struct.unpack(">H", content[16:18])
    for start in range(size, len(content), size):
        if content[start] in (2, 5):  # an inner page
            [cells] = struct.unpack(">H", content[start + 3 : start + 5])
            places = struct.unpack(f">{cells}H", content[start + 12 : start + 12 + 2 * cells])
            for place in (8, *places):
                content[start + place : start + place + 4] = struct.pack(">I", child or start // size + 1)
    path.write_bytes(content)
    refuse(folder, world, r"documents\.sqlite", "damaged")


def reseal(path, name):
    """Write down a changed file's checksum, as whoever changed it on purpose would."""
    with closing(sqlite3.connect(path.parent / "documents.sqlite")) as base:
        [(checks,)] = base.execute("SELECT checks FROM segments")
        changed = json.dumps({**json.loads(checks), name: _file_checksum(path)})
        base.execute("UPDATE segments SET checks = ?", (changed,))
        base.commit()


@pytest.mark.parametrize("place", [4, 8, 16, 33, 41, 57, 65, -1], ids=lambda place: f"byte {place}")
def test_sizes_that_a_file_of_codes_states_are_not_believed(folder, world, place):
    [path] = (folder / "000001").glob("*.faiss")
    content = bytearray(path.read_bytes())
    head = len(content) - 200 * 16
    at = place if place >= 0 else head - 8
    content[at : at + 8] = struct.pack("<Q", 2**39)
    path.write_bytes(content)
    reseal(path, "16.int8")
    refuse(folder, world, r"int8\.faiss", "damaged or from another index")


@pytest.mark.parametrize(
    "words",
    [
        np.zeros((2, 10), np.int32),
        np.full((2, 900), -1, np.int32),
        np.zeros((3, 900), np.int32),
        np.zeros((2, 900), np.int64),
        np.zeros(900, np.int32),
        np.array([None]),
    ],
    ids=lambda words: f"{words.shape} {words.dtype}",
)
def test_words_of_another_shape_are_refused(folder, world, words):
    [path] = (folder / "000001").glob("*.npy")
    np.save(path, words, allow_pickle=True)
    reseal(path, "words")
    refuse(folder, world, r"words\.npy")


def test_words_of_rows_that_are_not_there_are_refused(folder, world):
    [path] = (folder / "000001").glob("*.npy")
    words = np.load(path)
    words[0, 200:] += 1000
    np.save(path, words)
    reseal(path, "words")
    refuse(folder, world, r"words\.npy", "the postings of a word")


def test_a_killed_writer_s_half_is_undone_by_who_reads(folder, world):
    before, process = ask(folder, world), os.fork()
    if process == 0:
        base = sqlite3.connect(folder / "000001/documents.sqlite", isolation_level=None)
        base.execute("PRAGMA cache_size = 1")
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE documents SET text = text || ' more'")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert (folder / "000001/documents.sqlite-journal").stat().st_size
    assert ask(folder, world) == before
    assert not (folder / "000001/documents.sqlite-journal").exists()


def test_a_journal_cannot_have_another_file_removed(folder, world, tmp_path):
    other = tmp_path / "letters.txt"
    other.write_text("dear")
    name, magic = str(other).encode(), bytes.fromhex("d9d505f920a163d7")
    head = (magic + struct.pack(">5I", 0, 1, 1, 512, 4096)).ljust(512, b"\0")
    tail = struct.pack(">I", 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    journal = folder / "000001/documents.sqlite-journal"
    journal.write_bytes(head + tail)
    refuse(folder, world, "documents.sqlite-journal", "names another file")
    assert other.read_text() == "dear"


def test_nothing_is_written_through_a_link(folder, world, tmp_path):
    for name in (".lock", "000001/documents.sqlite"):
        (folder / ".lock").unlink(missing_ok=True)
        other = tmp_path / "other"
        shutil.copy(folder / "000001/documents.sqlite", other)
        content = other.read_bytes()
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(other)
        with closing(EmbeddedStore(folder)) as store, pytest.raises(InputError):
            store.delete(world.ids[:3])
        assert other.read_bytes() == content


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder, world):
    for path in [*(folder / "000001").iterdir(), folder / "current.json"]:
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(InputError, match=r"(no|not a|not a regular) file|no index"):
            ask(folder, world)
        path.unlink()
        path.write_bytes(content)
