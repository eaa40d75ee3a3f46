"""An index that is built anew, locked, damaged or moved while it is served. Oracle: what it answers when nothing is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager

import httpx2 as httpx
import pytest

from nestvec.indexing.index import build_index
from nestvec.indexing.index_settings import Columns

ASKED = {"query": "hammer of size 17", "mode": "fused", "k": 3}


def ask(server, body=ASKED):
    """Status and answer of a search, without what differs from one to the next; and the seconds that it took."""
    began = time.monotonic()
    answer = httpx.post(f"{server.url}/v1/search", json=body, timeout=30)
    told = {name: value for name, value in answer.json().items() if not name.endswith("_ms")}
    return answer.status_code, told, time.monotonic() - began


def test_an_index_that_is_built_anew_at_another_point_is_followed(served_index):
    """Documents, point and mode are those of the new index, and each answer is of one of both."""
    server, run, goods = served_index
    before = ask(server)[1]
    assert (before["dimension"], before["precision"], before["documents"]) == (48, "int8", 40)
    few = goods.with_name("few.csv")
    few.write_text("".join(goods.read_text().splitlines(keepends=True)[:21]))
    point = {"system": "matryoshka", "dimension": 96, "precision": "binary"}
    build_index(run, **point, documents=few, columns=Columns("name")).close()
    status, told, _ = ask(server)
    assert (status, told["documents"], told["source"]) == (200, 20, "index")
    assert {name: told[name] for name in point} == point
    assert httpx.get(f"{server.url}/v1/run").json()["index"] == {**point, "axes": False, "documents": 20}
    build_index(run, **point, documents=few, columns=Columns("name"), alone=True).close()
    status, told, _ = ask(server)
    assert (status, told["source"]) == (200, "run")  # this index has no words
    build_index(run, system="mnr", dimension=48, precision="int8", documents=goods, columns=Columns("name")).close()
    assert ask(server)[:2] == (200, before)


@contextmanager
def locked(folder):
    [path] = folder.rglob("documents.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN EXCLUSIVE")
        yield


def harmed(spoil):
    """Spoils the folder of an index, and puts it back."""

    @contextmanager
    def harm(folder):
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        spoil(folder)
        yield
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)

    return harm


HARMS = {
    "locked": locked,
    "moved": harmed(lambda folder: folder.rename(folder.with_name("elsewhere"))),
    "damaged": harmed(lambda folder: [os.truncate(path, 50) for path in folder.rglob("*.faiss")]),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_an_index_that_cannot_be_read_is_unavailable_for_the_while(served_index, harm):
    server, run, _ = served_index
    before, log = ask(server)[1], len(server.log.read_text())
    with harm(run / "index/embedded"):
        for _ in range(2):
            status, told, seconds = ask(server)
            assert (status, told["error"]["code"]) == (503, "unavailable")
            assert seconds < 3
        assert httpx.get(f"{server.url}/v1/run", timeout=30).status_code == 503
        alone = {"query": "hammer", "system": "mnr"}
        assert ask(server, alone)[0] == 200  # the run's own documents need no index
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        [line] = server.log.read_text()[log:].splitlines()
        assert "the index cannot be read" in line
    assert ask(server)[:2] == (200, before)
