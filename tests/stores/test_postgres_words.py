"""Words in PostgreSQL. Oracles: a fresh build of the documents that are there, BM25 of the evaluation.

What both stores must do alike is in `test_words.py`; the lists of a run are in `indexing/test_index_words.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from database import start_server
from psycopg import sql
from worlds import HYBRID, STAGES, World

from nestvec.errors import InputError, NestvecError
from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.point import VectorFormat
from nestvec.stores.postgres import catalogue, postings
from nestvec.stores.postgres.postings import Postings, Totals, WordScores, count_words, join_words, word_key
from nestvec.stores.postgres.store import PostgresStore
from nestvec.stores.postgres.word_table import WordTable, name_words
from nestvec.stores.store import About, Batch, Condition
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import tie_order

WORDS = [f"w{number}" for number in range(40)]
LIKELY = 1 / np.arange(1, 41)
TEXTS = ["w0", "w1 w2", "w3 w0 w30", "w39", "w5 w6 w7 w8 w9"]


@pytest.fixture(scope="module")
def url():
    with start_server() as found:
        yield found


@pytest.fixture
def store(url, request):
    with closing(PostgresStore(url, request.node.name[:40])) as found:
        yield found


@pytest.fixture(params=[64, 65_536], ids=["many blocks", "one block"])
def block(request, monkeypatch):
    """How many documents a block of postings is of."""
    for module in ("postings", "word_table"):
        monkeypatch.setattr(f"nestvec.stores.postgres.{module}.BLOCK", request.param)
    return request.param


def draw_world(seed=0, documents=300, **lexical):
    """Few words in few lengths, so that many documents tie."""
    rng = np.random.default_rng(seed)
    hybrid = replace(HYBRID, lexical=LexicalSettings(**lexical)) if lexical else HYBRID
    world = World(STAGES["int8"], documents=documents, seed=seed, hybrid=hybrid)
    world.texts = [draw_text(rng) for _ in range(documents)]
    return world


def draw_text(rng):
    return " ".join(rng.choice(WORDS, rng.integers(0, 6), p=LIKELY / LIKELY.sum()))


def found(hits):
    return [[(hit.id, hit.score) for hit in each] for each in hits]


def lists(store, world):
    """What a store finds by words and by both, deeper than one page."""
    queries = world.queries[: len(TEXTS)]
    both = store.search_fused(TEXTS, queries, 30, exact=True)
    return found(store.search_words(TEXTS, 30)), found(both), found(store.search_words(TEXTS, 400))


def kept(url, name):
    """The totals and all postings that a database keeps, by word and by id."""
    with psycopg.connect(url, autocommit=True) as connection:
        table = catalogue.find_table(connection, name, "")
        ids = dict(connection.execute(sql.SQL("SELECT number, id FROM {}").format(sql.Identifier(table))).fetchall())
        rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name_words(table)))).fetchall()
        _, totals = WordTable(connection, table).read([])
    entries = {}
    for word, number, raw in rows:
        if word != "#":
            part = Postings.parse(raw)
            assert len(part.places)  # an empty block is removed
            sides = (side.tolist() for side in (part.places, part.counts, part.lengths))
            for place, count, length in zip(*sides, strict=True):
                entries[word, ids[number * postings.BLOCK + place]] = count, length
    return totals[:2], entries


def words_of(world, rows):
    """The same as `kept` gives, counted from the texts of documents."""
    texts = {world.ids[row]: world.texts[row].split() for row in rows}
    entries = {
        (word, identifier): (words.count(word), len(words)) for identifier, words in texts.items() for word in words
    }
    return (len(texts), sum(map(len, texts.values()))), entries


def tables(url):
    with psycopg.connect(url) as connection:
        asked = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'nestvec\\_%'"
        return {row[0] for row in connection.execute(asked).fetchall()}


# Writers


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_leaves_what_a_fresh_build_makes(url, store, block, seed):
    rng = np.random.default_rng(seed)
    world = draw_world(seed, b=0.0 if seed == 1 else 0.6)  # without b, still more documents tie
    there = set(range(120))
    store.build(world.about, world.codecs, world.batches(sorted(there)))
    for _ in range(6):
        rows = rng.choice(300, rng.integers(1, 90), replace=False).tolist()
        if rng.random() < 0.6:
            for row in rows[::2]:
                world.texts[row] = draw_text(rng)
            store.upsert(world.batches(rows))
            there |= set(rows)
        else:
            gone = [world.ids[row] for row in rows]
            assert store.delete([*gone, "never", *gone, gone[0]]) == len(there & set(rows))  # an id may be repeated
            there -= set(rows)
        assert kept(url, store.name) == words_of(world, there)
    after = lists(store, world)
    store.build(world.about, world.codecs, world.batches(sorted(there)))
    assert lists(store, world) == after
    assert kept(url, store.name) == words_of(world, there)


def test_ids_that_are_removed_twice_in_parts_count_once(url, store, monkeypatch):
    monkeypatch.setattr("nestvec.stores.postgres.writing._IDS", 3)
    world = draw_world()
    world.put_into(store)
    assert store.delete([world.ids[0], world.ids[1], world.ids[0], world.ids[0], world.ids[1], world.ids[2]]) == 3
    assert kept(url, store.name) == words_of(world, range(3, 300))


def test_an_index_that_grew_from_nothing_finds_what_a_build_makes(store):
    world = draw_world(2)
    store.build(world.about, world.codecs, [])
    assert store.search_words(TEXTS, 5) == store.search_fused(TEXTS, world.queries[: len(TEXTS)], 5) == [[]] * 5
    store.upsert(world.batches(reversed(range(300)), size=7))
    grown = lists(store, world)
    world.put_into(store)
    assert lists(store, world) == grown


def test_writers_take_turns(url, store):
    """Many writers at once put their postings into the same blocks."""
    world = draw_world(1)
    store.build(world.about, world.codecs, world.batches(range(60)))

    def write(part):
        with closing(PostgresStore(url, store.name)) as own:
            for row in range(60 + part, 300, 4):
                own.upsert(world.batches([row, row - 60]))
            own.delete([world.ids[row] for row in range(part, 60, 4)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with psycopg.connect(url) as connection:
        table = catalogue.find_table(connection, store.name, "")
        asked = sql.SQL("SELECT id FROM {}").format(sql.Identifier(table))
        there = {row[0] for row in connection.execute(asked).fetchall()}
    assert {world.ids[row] for row in range(60, 300)} <= there
    assert kept(url, store.name) == words_of(world, [row for row in range(300) if world.ids[row] in there])


def test_a_batch_that_fails_changes_no_words(url, store):
    world = draw_world()
    store.build(world.about, world.codecs, world.batches(range(50)))
    before = kept(url, store.name)
    with pytest.raises(InputError, match="surrogate"):
        store.upsert([Batch(["a", "b"], ["w0", "w0"], world.vectors[:2], [{}, {"x": "\ud800"}])])
    assert kept(url, store.name) == before


# Builds

CHILD = """
import sys
sys.path[:0] = sys.argv[3:]
import numpy as np
from worlds import HYBRID, STAGES, World
from nestvec.stores.postgres import word_table
from nestvec.stores.postgres.store import PostgresStore

write = word_table.WordTable._write

def write_slowly(table, blocks):
    write(table, blocks)
    print("words", flush=True)
    sys.stdin.read()

word_table.WordTable._write = write_slowly
world = World(STAGES["binary"], hybrid=HYBRID)
world.put_into(PostgresStore(sys.argv[1], sys.argv[2]))
"""


def test_a_build_that_is_killed_among_its_words_leaves_the_old_index(url, store):
    world = draw_world()
    world.put_into(store)
    before, there = lists(store, world), tables(url)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url, store.name, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"words\n"
    assert lists(store, world) == before  # while it is built
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert lists(store, world) == before
    world.put_into(store)
    assert len(tables(url)) == len(there)


def test_a_build_that_finds_no_room_for_words_leaves_the_old_index(url, store, monkeypatch):
    world = draw_world()
    world.put_into(store)
    before, there = lists(store, world), tables(url)

    def refuse(*_):
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(WordTable, "_write", refuse)
        for work in (
            lambda: world.put_into(store),
            lambda: store.upsert([Batch(["x"], ["w0"], world.vectors[:1], [{}])]),
        ):
            with pytest.raises(NestvecError, match="no space left"):
                work()
    assert lists(store, world) == before
    assert tables(url) == there


def test_an_index_that_another_process_builds_anew_is_found(url, store):
    world, other = draw_world(), draw_world(5, documents=200)
    world.put_into(store)
    with closing(PostgresStore(url, store.name)) as again:
        before = lists(again, world)
        other.put_into(store)
        assert lists(again, world) == lists(store, world) != before
        store.build(replace(world.about, hybrid=None, schema=2), world.codecs, world.batches())
        with pytest.raises(InputError, match="holds no words"):
            again.search_words(TEXTS, 5)


def test_a_build_takes_the_old_words_with_it(url, store):
    world = draw_world()
    before = tables(url)
    for about, added in [(world.about, 2), (world.about, 2), (replace(world.about, hybrid=None, schema=2), 1)]:
        store.build(about, world.codecs, world.batches())
        assert len(tables(url) - before - {"nestvec_indexes"}) == added
    assert set(store.sizes()) == {"table", "ids", "vectors"}
    world.put_into(store)
    assert set(store.sizes()) == {"table", "ids", "vectors", "words"}
    assert store.size() == sum(store.sizes().values())
    assert store.sizes()["words"] > 0


def test_an_index_of_before_there_were_words_is_searched_by_vectors(url, store):
    """Without words, the tables are those of nestvec 0.2, and what says so is what it wrote."""
    world = World(STAGES["int8"])
    world.put_into(store)
    with psycopg.connect(url, autocommit=True) as connection:
        about = "SELECT about, documents FROM nestvec_indexes WHERE name = %s"
        [[written, table]] = connection.execute(about, [store.name]).fetchall()
        asked = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
        columns = [row[0] for row in connection.execute(asked, [table]).fetchall()]
    assert columns == ["id", "text", "fields", "embedding"]
    assert set(written) == {"system", "model_sha256", "full_dimension", "stages", "shortlist", "schema"}
    assert written["schema"] == 2
    with closing(PostgresStore(url, store.name)) as again:
        assert found(again.search(world.queries[:1], 5, exact=True)) == [list(zip(*world.best(0, 5), strict=True))]
        again.upsert(world.batches(range(10)))
        assert again.delete([world.ids[0]]) == 1
        with pytest.raises(InputError, match="holds no words"):
            again.search_words(["w0"], 3)
        with pytest.raises(InputError, match="holds no words"):
            again.search_fused(["w0"], world.queries[:1], 3)


# Searches


@pytest.mark.parametrize("precision", ["binary", "int2", "float16"])
def test_without_exact_nearly_all_is_found(url, store, precision):
    """By signs, fewer candidates are asked for than where the vectors' best are what is shown."""
    rng = np.random.default_rng(3)
    drawn = rng.standard_normal((30, 160))[rng.integers(0, 30, 3000)] + 0.7 * rng.standard_normal((3000, 160))
    vectors, stage = prefix(drawn.astype(np.float32), 160), VectorFormat(160, precision)
    names, texts = [f"d{row}" for row in range(3000)], [draw_text(rng) for _ in range(3000)]
    about = About("ours", "", 160, (stage,), hybrid=HYBRID)
    store.build(about, [CODECS[precision](vectors)], [Batch(names, texts, vectors, [{}] * 3000)])
    with psycopg.connect(url, autocommit=True) as connection:  # as with millions of documents
        connection.execute("ALTER DATABASE postgres SET enable_seqscan = off")
        try:
            with closing(PostgresStore(url, store.name)) as again:
                near, exact = (again.search_fused(texts[:40], vectors[:40], 10, exact=exact) for exact in (False, True))
        finally:
            connection.execute("ALTER DATABASE postgres RESET enable_seqscan")
    shared = [{hit.id for hit in one} & {hit.id for hit in other} for one, other in zip(near, exact, strict=True)]
    assert np.mean([len(ids) for ids in shared]) >= 9.5


@pytest.mark.parametrize("rare", [False, True])
def test_filters_look_as_far_as_they_must(store, monkeypatch, rare):
    monkeypatch.setattr("nestvec.stores.postgres.finding_words._ROOM", 4)
    monkeypatch.setattr("nestvec.stores.postgres.finding_words._MORE", 2)
    world = draw_world()
    store.build(world.about, world.codecs, world.batches(range(250)))
    store.upsert(world.batches(range(200, 300)))
    where = [Condition("size", "=", "L"), *([Condition("price", "<", "9")] if rare else [])]
    passing = [row for row, fields in enumerate(world.fields) if all(each.holds(fields) for each in where)]
    every = found(store.search_words(TEXTS, 400))
    allowed = {world.ids[row] for row in passing}
    wanted = [[pair for pair in hits if pair[0] in allowed][:6] for hits in every]
    assert found(store.search_words(TEXTS, 6, where)) == wanted
    both = store.search_fused(TEXTS, world.queries[: len(TEXTS)], 6, where)
    assert all(len(hits) == min(6, len(passing)) and {hit.id for hit in hits} <= allowed for hits in both)


def test_odd_words_are_kept(store):
    """Longer than PostgreSQL's indexes take, and stems of nothing."""
    world = World(STAGES["int8"])
    hybrid = replace(HYBRID, lexical=LexicalSettings(replace(HYBRID.lexical.forms, language="nepali")))
    long = ["x" * 3000, "x" * 2999 + "y", "é" * 101]
    texts = [*long, "थी", "कै थी काठमाडौं", "plain"]
    names = [str(row) for row in range(len(texts))]
    batch = Batch(names, texts, world.vectors[: len(texts)], [{}] * len(texts))
    store.build(replace(world.about, hybrid=hybrid), world.codecs, [batch])
    order = tie_order(names)
    rows, scores = Bm25.of([texts[row] for row in order], hybrid.lexical).top_k(texts, len(texts))
    wanted = [
        [(names[order[row]], score) for row, score in zip(*each, strict=True) if score > 0]
        for each in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
    assert wanted[3]  # a stem of nothing is a word, too
    assert found(store.search_words(texts, 10)) == wanted
    store.upsert([replace(batch, texts=["plain"] * len(texts))])
    assert store.search_words([*long, "थी"], 10) == [[]] * 4


# Postings


def test_postings_come_back():
    rng = np.random.default_rng(0)
    for most in (1, 255, 256, 70_000):
        places = np.sort(rng.choice(65_536, 200, replace=False))
        entries = np.stack([places, rng.integers(1, most + 1, 200), rng.integers(most, most + 300, 200)], axis=1)
        again = Postings.parse(Postings.of(array("I", entries.reshape(-1).tolist())).pack())
        for side, expected in zip((again.places, again.counts, again.lengths), entries.T, strict=True):
            assert side.tolist() == expected.tolist()
    assert Totals.parse(Totals(3, 2**40, 2).pack()) == (3, 2**40, 2)
    few = Postings.parse(Postings.of(array("I", [1, 1, 2, 5, 3, 9])).pack())
    assert few.pack()[:2] == b"\x01\x01"  # a byte each, where they fit


def test_words_are_joined_and_counted():
    assert count_words(join_words(["b", "", "a", "b"])) == {"b": 2, "": 1, "a": 1}
    assert count_words(join_words([])) == {}
    assert word_key("drill") == "drill"
    assert len(word_key("x" * 5000)) < 100


def test_the_best_are_the_same_whichever_blocks_they_are_in(block):
    rng = np.random.default_rng(1)
    scores = WordScores({}, {}, Totals(1000, 0, 900), LexicalSettings())
    values = rng.integers(0, 5, 1000).astype(np.float32)
    blocks = {}
    for number in range(-(-1000 // block)):
        part = np.zeros(block, dtype=np.float32)
        held = values[number * block : (number + 1) * block]
        part[: len(held)] = held
        blocks[number] = part
    scores._blocks = blocks
    order = np.lexsort([np.arange(1000), -values])
    for k in (1, 10, 300, 900):
        best = set(scores.best(k).tolist())
        wanted = [number for number in order.tolist() if values[number]][:k]
        late = [number for number in range(900, 1000) if values[number] == values[wanted[-1]]]
        assert {number for number in wanted if number < 900} <= best
        assert best >= set(late)
        assert len(best) <= k + len(late)
    assert scores.of([3, 999, 5000]).tolist() == [values[3], values[999], 0]
