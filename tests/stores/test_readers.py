"""Readers beside writers: what is read is one state of the index, old or new. Oracle: the index when nobody writes.

benchmarks/attack_readers.py does the same for a minute, in processes of their own.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from worlds import ASKED, HYBRID, STAGES, World

from nestvec.errors import InputError
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.postgres.store import PostgresStore
from nestvec.stores.store import Condition

WORDS = World(STAGES["int8"], documents=200, hybrid=HYBRID)
CHANGED = World(STAGES["int8"], documents=200, seed=5, hybrid=HYBRID)  # the same ids, other texts and vectors
OTHER = World(STAGES["binary"], documents=90, seed=6, hybrid=HYBRID)
FILTER = [Condition("brand", "=", "Acme")]
CHANGES = {
    "a removal": lambda store: store.delete(WORDS.ids[:150]),
    "an upsert": lambda store: store.upsert(CHANGED.batches(size=200)),
    "a build": OTHER.put_into,
}


def read(store, rows=range(10), where=()):
    """All that is there to read, in one state."""
    texts, vectors = [ASKED[row] for row in rows], WORDS.queries[list(rows)]
    with store.one_state() as about:
        found = store.search(vectors, 5, where, exact=True)
        found += store.search_words(texts, 5, where) + store.search_fused(texts, vectors, 5, where, exact=True)
        return about, len(store), store.find_missing(WORDS.ids[:160:40]), store.correct(texts), found


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_state_stays_while_another_writes(opened, change):
    """The writer ends well, even where it has to wait for the reader."""
    with opened() as reader, opened() as writer:
        WORDS.put_into(writer)
        before, version = read(reader), reader.version()
        with ThreadPoolExecutor(1) as pool:
            with reader.one_state():
                writing = pool.submit(change, writer)
                for _ in range(3):
                    time.sleep(0.05)
                    assert read(reader) == before
            writing.result(timeout=30)
        assert read(reader) == read(writer) != before
        assert reader.version() != version


def test_every_search_beside_a_writer_is_of_one_state(opened):
    keys = [(tuple(rows), tuple(where)) for rows in ([0, 1], [3, 9], [5]) for where in ([], FILTER)]
    steps = [WORDS.put_into, CHANGES["an upsert"], CHANGES["a removal"], OTHER.put_into]
    with opened() as store, opened() as reader, opened() as served:
        allowed = {key: [] for key in keys}
        for step in steps:
            step(store)
            for key in keys:
                allowed[key].append(read(store, *key))
        over, rng = threading.Event(), random.Random(3)

        def search(found):
            seen = set()
            while not over.is_set():
                key = rng.choice(keys)
                seen.add(allowed[key].index(read(found, *key)))  # ValueError: of no one state
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(search, found) for found in (reader, served)]
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                for step in steps:
                    step(store)
            over.set()
            assert all(len(each.result(timeout=30)) > 1 for each in readers)


def test_documents_for_another_index_are_refused(opened):
    with opened() as store, opened() as other:
        WORDS.put_into(store)
        OTHER.put_into(other)
        with pytest.raises(InputError, match=r"built anew.*mnr at 48\.binary"):
            store.upsert(WORDS.batches(range(10)), WORDS.about)
        assert len(store) == 90
        store.upsert(OTHER.batches(range(10)), OTHER.about)
        assert len(store) == 90


def test_a_file_that_is_locked_is_waited_for_so_long(tmp_path):
    with closing(EmbeddedStore(tmp_path, limit=0.2)) as store:
        WORDS.put_into(store)
        before = read(store)
        with closing(sqlite3.connect(tmp_path / "000001/documents.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            reopen = lambda: EmbeddedStore(tmp_path, limit=0.2)  # noqa: E731
            for work in (reopen, lambda: read(store), lambda: store.delete(WORDS.ids[:3])):
                began = time.monotonic()
                with pytest.raises(InputError, match="locked by another process") as refused:
                    work()
                assert time.monotonic() - began < 2 and "\n" not in str(refused.value)
        assert read(store) == before


def test_a_table_that_is_locked_is_waited_for_so_long(server):
    with closing(PostgresStore(server, "locked", limit=0.2)) as store, psycopg.connect(server) as other:
        WORDS.put_into(store)
        before = read(store)
        [[table]] = other.execute("SELECT documents FROM nestvec_indexes WHERE name = 'locked'").fetchall()
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(InputError, match="locked by another process") as refused:
            read(store)
        assert time.monotonic() - began < 2 and "\n" not in str(refused.value)
        other.rollback()
        assert read(store) == before


HARMS = {
    "cut short": lambda folder: [os.truncate(path, 50) for path in folder.glob("000001/*.faiss")],
    "words cut short": lambda folder: [os.truncate(path, 50) for path in folder.glob("000001/*.npy")],
    "without its database": lambda folder: (folder / "000001/documents.sqlite").unlink(),
    "without codes": lambda folder: [path.unlink() for path in folder.glob("000001/*.faiss")],
    "gone": shutil.rmtree,
    "without documents that its codes have": lambda folder: forget(folder / "000001/documents.sqlite"),
}


def forget(path):
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("DELETE FROM documents WHERE row < 150")


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_an_open_index_that_is_damaged_is_refused_and_found_again_once_mended(tmp_path, harm):
    folder, kept = tmp_path / "index", tmp_path / "kept"
    with closing(EmbeddedStore(folder)) as store:
        WORDS.put_into(store)
        before = read(store)
        shutil.copytree(folder, kept)
        harm(folder)
        with pytest.raises(InputError, match="index") as refused:
            read(store)
        assert "\n" not in str(refused.value)
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)
        assert read(store) == before
