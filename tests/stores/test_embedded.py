"""Oracle: what is left after kills, full disks and damage, against a store that nothing happened to."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from full_disk import full_from
from worlds import ASKED, HYBRID, STAGES, World

from nestvec.errors import InputError, NestvecError
from nestvec.stores import embedded
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import Condition


@pytest.fixture(params=[None, HYBRID], ids=["vectors alone", "with words"])
def world(request):
    return World(STAGES["binary"], hybrid=request.param)


@pytest.fixture
def folder(tmp_path, world):
    """The folder of an index that is built."""
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        world.put_into(store)
    return tmp_path / "index"


def answers(store, world):
    """What is found by vectors, and where there are words by these and by both, too."""
    found = store.search(world.queries, 10)
    if world.about.hybrid is not None:
        found += store.search_words(ASKED, 10) + store.search_fused(ASKED, world.queries[: len(ASKED)], 10)
    return found


def segment(folder, name="*.faiss"):
    [found] = (folder / "000001").glob(name)
    return found


def changed(path, place, value=None):
    content = bytearray(path.read_bytes())
    content[place] = content[place] ^ 255 if value is None else value
    path.write_bytes(content)


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


DAMAGE = {
    "current.json cut short": lambda folder: (folder / "current.json").write_text('{"gen'),
    "no generation": lambda folder: edit(folder / "current.json", generation="../000001"),
    "newer": lambda folder: edit(folder / "current.json", schema=4),
    "another precision": lambda folder: edit(folder / "current.json", stages=[{"dimension": 48, "precision": "int8"}]),
    "a generation that is gone": lambda folder: shutil.rmtree(folder / "000001"),
    "no codes": lambda folder: segment(folder).unlink(),
    "codes cut short": lambda folder: segment(folder).write_bytes(segment(folder).read_bytes()[:-100]),
    "codes with a bit changed": lambda folder: changed(segment(folder), 200),
    "codecs cut short": lambda folder: (folder / "000001/codecs.safetensors").write_bytes(b"{}"),
    "no database": lambda folder: (folder / "000001/documents.sqlite").unlink(),
    "a database that is none": lambda folder: (folder / "000001/documents.sqlite").write_bytes(b"x" * 5000),
    "a database cut short": lambda folder: (folder / "000001/documents.sqlite").write_bytes(
        (folder / "000001/documents.sqlite").read_bytes()[:9000]
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_and_named(folder, world, damage):
    damage(folder)
    with pytest.raises(InputError) as refused, closing(EmbeddedStore(folder)) as store:
        answers(store, world)
    assert str(folder) in str(refused.value)


DAMAGED_WORDS = {
    "no words": lambda folder: segment(folder, "*.npy").unlink(),
    "words cut short": lambda folder: segment(folder, "*.npy").write_bytes(segment(folder, "*.npy").read_bytes()[:-8]),
    "words with a bit changed": lambda folder: changed(segment(folder, "*.npy"), 500),
    "no settings of words": lambda folder: edit(folder / "current.json", hybrid={}),
    "a fusion that is none": lambda folder: edit(folder / "current.json", hybrid={**HYBRID.to_json(), "weight": 2}),
    "no table of words": lambda folder: drop_words(folder),
}


def drop_words(folder):
    with closing(sqlite3.connect(folder / "000001/documents.sqlite")) as base:
        base.execute("DROP TABLE words")


@pytest.mark.parametrize("damage", DAMAGED_WORDS.values(), ids=DAMAGED_WORDS)
def test_damage_of_words_is_refused_and_named(tmp_path, damage):
    world = World(STAGES["binary"], hybrid=HYBRID)
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        world.put_into(store)
    damage(tmp_path / "index")
    with pytest.raises(InputError) as refused, closing(EmbeddedStore(tmp_path / "index")) as store:
        answers(store, world)
    assert str(tmp_path / "index") in str(refused.value)


def test_an_index_of_before_there_were_words_still_serves(tmp_path):
    """Its database has no table of words, and its rows lie in any order."""
    world = World(STAGES["binary"])
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        world.put_into(store)
    assert json.loads((tmp_path / "index/current.json").read_text())["schema"] == 2
    drop_words(tmp_path / "index")
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        assert [hit.id for hit in answers(store, world)[0]] == world.best(0, 10)[0]
        store.delete(world.ids[:100])
        store.upsert(world.batches(range(50)))
        left = [row for row in range(300) if not 50 <= row < 100]
        assert [hit.id for hit in answers(store, world)[0]] == world.best(0, 10, left)[0]
        with pytest.raises(InputError, match="holds no words"):
            store.search_words(["deck"], 3)


def test_codes_of_another_index_are_refused(folder, tmp_path):
    other = World(STAGES["binary"], seed=9)
    with closing(EmbeddedStore(tmp_path / "other")) as store:
        other.put_into(store)
    shutil.copy(segment(tmp_path / "other"), segment(folder))
    with pytest.raises(InputError, match="from another index"):
        EmbeddedStore(folder)


def test_an_index_moves_with_its_folder(folder, tmp_path, world):
    with closing(EmbeddedStore(folder)) as store:
        before = answers(store, world)
    folder.rename(tmp_path / "moved")
    with closing(EmbeddedStore(tmp_path / "moved")) as store:
        assert answers(store, world) == before


def test_a_reader_sees_what_a_writer_does(folder, world):
    with closing(EmbeddedStore(folder)) as reader, closing(EmbeddedStore(folder)) as writer:
        assert len(reader) == 300
        writer.delete(world.ids[:100])
        assert [hit.id for hit in answers(reader, world)[0]] == world.best(0, 10, range(100, 300))[0]
        writer.upsert(world.batches(range(100)))
        assert [hit.id for hit in answers(reader, world)[0]] == world.best(0, 10)[0]


@pytest.mark.parametrize("stages", ["binary", "int2", "int4", "two-stage-binary"])
def test_a_search_that_is_asked_again_finds_the_same(tmp_path, monkeypatch, stages):
    """From the second search on, codes of few bits are scanned in another way; here over several segments."""
    monkeypatch.setattr(embedded, "_SEGMENT", 1000)
    world = World(STAGES[stages], documents=3000, hybrid=HYBRID)
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        world.put_into(store)
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        first = answers(store, world)
        for _ in range(2):
            assert answers(store, world) == first
        for query in range(20):
            assert [hit.id for hit in first[query]] == world.best(query, 10)[0]
        for query, text in enumerate(ASKED):
            wanted = world.best_by_both(query, text, 10, HYBRID.fusion)
            assert ([hit.id for hit in first[30 + query]], [hit.score for hit in first[30 + query]]) == wanted


def test_two_writers_at_once_are_refused(folder, world):
    def both():
        with closing(EmbeddedStore(folder)) as other, pytest.raises(InputError, match="another process"):
            other.delete(["d0"])
        yield from world.batches(range(10))

    with closing(EmbeddedStore(folder)) as store:
        store.upsert(both())


def test_many_small_changes_are_written_together(folder, world, monkeypatch):
    monkeypatch.setattr(embedded, "_SEGMENTS", 4)
    with closing(EmbeddedStore(folder)) as store:
        for first in range(0, 200, 20):
            store.upsert(world.batches(range(first, first + 20)))
            store.delete(world.ids[first : first + 5])
        left = [row for row in range(300) if row >= 200 or row % 20 >= 5]
        assert len(store) == len(left)
        for query in range(5):
            assert [hit.id for hit in answers(store, world)[query]] == world.best(query, 10, left)[0]
        if world.about.hybrid is not None:
            for text, hits in zip(ASKED, store.search_words(ASKED, 10), strict=True):
                assert [hit.id for hit in hits] == world.best_by_words(text, 10, left)[0]
        assert store.search(world.queries[:1], 3, [Condition.parse("brand=Acme")])[0][0].fields["brand"] == "Acme"
    generations = [path.name for path in folder.iterdir() if path.is_dir()]
    assert len(generations) == 1
    assert len(list((folder / generations[0]).glob("*.faiss"))) <= 5


def test_a_full_disk_gives_one_message_and_the_index_stays(folder, world):
    with closing(EmbeddedStore(folder)) as store:
        before = answers(store, world)
        for size in (0, 3000, 60_000):
            with pytest.raises(NestvecError, match="cannot be written") as refused, full_from(size):
                world.put_into(store)
            assert "\n" not in str(refused.value)
            with pytest.raises(NestvecError, match="cannot be written"), full_from(size):
                store.upsert(world.batches(range(300)))
        assert answers(store, world) == before
        world.put_into(store)
        assert answers(store, world) == before


BUILD = """
import sys
sys.path.insert(0, {tests!r}); sys.path.insert(0, {here!r})
from worlds import HYBRID, STAGES, World
from nestvec.lexical.words import ENGLISH, split_words
from nestvec.stores.embedded import EmbeddedStore
from pathlib import Path
world = World(STAGES["binary"], documents=3000, seed=int(sys.argv[2]), hybrid=HYBRID)
split_words([""], ENGLISH)  # what is imported takes a second
store = EmbeddedStore(Path(sys.argv[1]))
print("ready", flush=True)
store.build(world.about, world.codecs, world.batches())
store.delete(world.ids[:500])
store.upsert(world.batches(range(500)))
"""


def test_killed_at_any_moment_the_index_serves_the_old_or_the_new(tmp_path, request):
    """The build takes about a third of a second; each kill hits another moment of it."""
    rng, here = random.Random(11), request.path.parent
    script = BUILD.format(tests=str(here.parent), here=str(here))
    old, new = (World(STAGES["binary"], documents=3000, seed=seed, hybrid=HYBRID) for seed in (0, 1))
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        old.put_into(store)
        serving = [answers(store, old)]
        new.put_into(store)
        serving.append(answers(store, old))
        old.put_into(store)
    for _ in range(4):
        command = [sys.executable, "-c", script, str(tmp_path / "index"), "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
        with closing(EmbeddedStore(tmp_path / "index")) as store:
            assert len(store) in (2500, 3000)
            if len(store) == 3000:
                assert answers(store, old) in serving
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        assert (len(store), answers(store, old)) == (3000, serving[1])
    assert not list((tmp_path / "index").rglob(".*.tmp"))
    assert len([path for path in (tmp_path / "index").iterdir() if path.is_dir()]) == 1


def test_a_generation_that_a_killed_writer_never_named_goes_with_the_next_change(folder, world):
    shutil.copytree(folder / "000001", folder / "000002")  # as a kill leaves it, right before current.json is replaced
    with closing(EmbeddedStore(folder)) as store:
        before = answers(store, world)
        store.delete(["no such document"])
        assert answers(store, world) == before
    assert [path.name for path in sorted(folder.iterdir()) if path.is_dir()] == ["000001"]


def test_the_documents_are_plain_sqlite(folder, world):
    with closing(sqlite3.connect(folder / "000001/documents.sqlite")) as base:
        told = dict(base.execute("SELECT id, text FROM documents").fetchall())
    assert told == dict(zip(world.ids, world.texts, strict=True))
