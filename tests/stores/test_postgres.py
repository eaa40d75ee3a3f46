"""What is PostgreSQL's own: the columns, the index that is used, and what happens between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
from database import start_server
from psycopg import sql

from nestvec.errors import InputError, NestvecError
from nestvec.point import VectorFormat
from nestvec.stores.postgres import catalogue, statements
from nestvec.stores.postgres.columns import Columns
from nestvec.stores.postgres.connection import redact_url
from nestvec.stores.postgres.copying import copy_stream, escape_fields, escape_text, unescape_fields, unescape_text
from nestvec.stores.postgres.store import PostgresStore
from nestvec.stores.store import About, Batch, Condition
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import rerank, tie_order, top_k

WIDTH = 160
DOCUMENTS = 1500
SINGLE = [(VectorFormat(16, precision),) for precision in CODECS] + [
    (VectorFormat(150, "binary"),),
    (VectorFormat(150, "int2"),),
]
DOUBLE = [
    (VectorFormat(16, "int8"), VectorFormat(32, "float32")),  # a prefix of what the second keeps
    (VectorFormat(16, "float16"), VectorFormat(32, "float16")),
    (VectorFormat(32, "int4"), VectorFormat(32, "float16")),
    (VectorFormat(16, "int8"), VectorFormat(32, "int8")),  # columns of their own
    (VectorFormat(160, "binary"), VectorFormat(160, "int8")),
    (VectorFormat(16, "int4"), VectorFormat(128, "binary")),
    (VectorFormat(128, "int2"), VectorFormat(16, "float32")),
]


@pytest.fixture(scope="module")
def url():
    with start_server() as found:
        yield found


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(7)
    topics = rng.standard_normal((40, WIDTH))
    found = topics[rng.integers(0, 40, DOCUMENTS)] + 0.7 * rng.standard_normal((DOCUMENTS, WIDTH))
    found *= (1 + np.arange(WIDTH) / 16) ** -0.75  # the first numbers say most
    found[5:8] = found[4]  # equal documents
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    return vectors[[4, 100, 500, 1000, 1499]]


@pytest.fixture
def store(url, request):
    found = PostgresStore(url, request.node.name[:40])
    yield found
    found.close()


def ids(count=DOCUMENTS):
    return [f"d{row}" for row in range(count)]


def batches(vectors, fields=lambda row: {"row": row}, step=500):
    for first in range(0, len(vectors), step):
        rows = range(first, min(first + step, len(vectors)))
        names = [f"d{row}" for row in rows]
        yield Batch(
            names, [f"text {name}" for name in names], vectors[first : rows.stop], [fields(row) for row in rows]
        )


def made(stages, vectors):
    return About("ours", "0" * 64, WIDTH, stages, 50), [
        CODECS[s.precision](prefix(vectors, s.dimension)) for s in stages
    ]


def build(store, vectors, stages=SINGLE[2], **options):
    about, codecs = made(stages, vectors)
    store.build(about, codecs, batches(vectors, **options))
    return codecs


def truth(stages, codecs, vectors, queries, k):
    """The best by the stages' own codes, one after the other."""
    order = tie_order(ids(len(vectors)))
    codes = [codec.encode(prefix(vectors, stage.dimension))[order] for codec, stage in zip(codecs, stages, strict=True)]
    wanted = k if len(stages) == 1 else 50
    rows, scores = top_k(prefix(queries, stages[0].dimension), codes[0], wanted, codecs[0].decode)
    if len(stages) > 1:
        rows, scores = rerank(prefix(queries, stages[1].dimension), codes[1], rows, codecs[1].decode)
    return [
        [(f"d{order[row]}", score) for row, score in zip(*each, strict=True)]
        for each in zip(rows[:, :k].tolist(), scores[:, :k].tolist(), strict=True)
    ]


def pairs(found):
    return [[(hit.id, hit.score) for hit in hits] for hits in found]


def shared(found, wanted):
    return np.mean(
        [len(dict(mine).keys() & dict(best).keys()) / len(best) for mine, best in zip(found, wanted, strict=True)]
    )


# Codes


@pytest.mark.parametrize("stages", SINGLE + DOUBLE, ids=lambda stages: "-".join(stage.name for stage in stages))
def test_scores_are_of_the_very_codes(store, vectors, queries, stages):
    codecs = build(store, vectors, stages)
    best = truth(stages, codecs, vectors, queries, 10)
    assert pairs(store.search(queries, 10, exact=True)) == best
    near = pairs(store.search(queries, 10))
    assert shared(near, best) >= 0.85
    assert all(hits == sorted(hits, key=lambda hit: (hit[1], hit[0].encode()), reverse=True) for hits in near)
    if len(stages) == 1:  # what HNSW finds has the exact search's score
        every = [dict(hits) for hits in pairs(store.search(queries, DOCUMENTS, exact=True))]
        assert all(every[row][name] == score for row, hits in enumerate(near) for name, score in hits)


@pytest.mark.parametrize("precision", CODECS)
@pytest.mark.parametrize("width", [13, 149])
@pytest.mark.parametrize("stage", [0, 1])
def test_columns_give_codes_back(vectors, precision, width, stage):
    stages = (
        (VectorFormat(width, precision), VectorFormat(29, "int8"))
        if stage == 0
        else (VectorFormat(16, "int8"), VectorFormat(width, precision))
    )
    about, codecs = made(stages, vectors)
    columns = Columns(about, tuple(codecs))
    names = list(columns.types)
    chosen = [names.index(name) for name in columns.needed_columns(stage)]
    raws = [tuple(values[place] for place in chosen) for values in columns.pack_rows(vectors[:200])]
    expected = codecs[stage].encode(prefix(vectors[:200], stages[stage].dimension))
    assert np.array_equal(columns.parse_codes(stage, raws), expected)


def test_bytes_of_a_vector_are_as_documented(url, vectors):
    sizes = {}
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for precision in CODECS:
            about, codecs = made((VectorFormat(128, precision),), vectors)
            columns, total = Columns(about, tuple(codecs)), 0
            connection.execute(statements.make_table(f"bytes_{precision}", columns))
            store_row(connection, f"bytes_{precision}", columns, vectors[:1])
            for name in columns.types:
                asked = sql.SQL("SELECT pg_column_size({}) FROM {}").format(
                    *map(sql.Identifier, (name, f"bytes_{precision}"))
                )
                total += connection.execute(asked).fetchone()[0]
            sizes[precision] = total
        connection.rollback()
    d = 128
    assert sizes == {
        "float32": 4 * d + 8,
        "float16": 2 * d + 8,
        "int8": 2 * d + 8,
        "int4": 2.5 * d + 11,
        "int2": 0.375 * d + 8,
        "binary": 0.125 * d + 8,
    }


def store_row(connection, table, columns, vectors):
    """Load one document by the store's own statements."""
    cursor = connection.cursor()
    cursor.execute(statements.fill_name(statements.MAKE_BATCH, table))
    with cursor.copy(statements.COPY) as copy:
        copy.write(copy_stream(columns, Batch(["x"], ["x"], vectors, [{}])))
    cursor.execute(statements.merge_batch(table, columns))
    cursor.execute("DROP TABLE pg_temp.nestvec_batch")


@pytest.mark.parametrize("stages", [SINGLE[0], SINGLE[2], SINGLE[6], DOUBLE[0], DOUBLE[4]], ids=str)
def test_index_is_used(url, store, vectors, queries, stages):
    build(store, vectors, stages)
    with psycopg.connect(url, autocommit=True) as connection:
        entry = catalogue.find_entry(connection, store.name, "")
        connection.execute("SET enable_seqscan = off")  # a few thousand documents are sooner read than looked up
        text = statements.select_nearest(entry.table, entry.columns, 10, [])
        plan = connection.execute(sql.SQL("EXPLAIN ") + text, [entry.columns.format_query(queries[0])]).fetchall()
    assert any("Index Scan using" in line and "nestvec" in line for (line,) in plan), plan
    assert not any("Sort" in line for (line,) in plan)


def test_wide_vectors_are_refused(store):
    about = About("ours", "", 5000, (VectorFormat(4001, "float32"),))
    with pytest.raises(InputError, match="too many"):
        store.build(about, [CODECS["float32"](np.zeros((1, 4001), np.float32))], [])


# Documents


def test_upserts_are_idempotent(url, store, vectors, queries):
    build(store, vectors)
    before, size = pairs(store.search(queries, 10, exact=True)), store.sizes()
    for _ in range(3):
        store.upsert(batches(vectors))
    assert pairs(store.search(queries, 10, exact=True)) == before
    assert store.sizes() == size  # what is the same was not written again
    store.upsert([Batch(["d1", "new", "d1"], ["a", "b", "c"], vectors[[1, 2, 3]], [{}, {}, {"row": 5}])])
    assert len(store) == DOCUMENTS + 1
    hit = next(hit for hit in store.search(vectors[3:4], 50)[0] if hit.id == "d1")
    assert (hit.text, hit.fields) == ("c", {"row": 5})
    assert store.delete(["d1", "new", "d1", "never"]) == 2
    assert len(store) == DOCUMENTS - 1


def test_texts_come_back_whole(store, vectors):
    build(store, vectors[:10])
    name, text = "\x00\x01\x02é€😀'\"\\", "\x01\x00\x00\x01\x01\x02 %s {} ';--\n\t"
    fields = {
        "a\x00'); DROP TABLE x;--": "\x00\x01%s",
        "%s": 1e300,
        "big": 2**70,
        "exact": 1e16,
        "tiny": 5e-324,
        "": "",
    }
    store.upsert([Batch([name], [text], vectors[20:21], [fields])])
    hit = store.search(vectors[20:21], 1)[0][0]
    assert (hit.id, hit.text, hit.fields) == (name, text, fields)
    assert [type(hit.fields[each]) for each in fields] == [type(value) for value in fields.values()]
    assert store.search(vectors[20:21], 5, [Condition("a\x00'); DROP TABLE x;--", "=", "\x00\x01%s")])[0] == [hit]
    assert store.delete([name]) == 1


def test_kept_texts_keep_their_order():
    parts = [
        "",
        "\x00",
        "\x01",
        "\x02",
        "\x00\x00",
        "\x00\x01",
        "\x00\x02",
        "\x01\x00",
        "\x01\x01",
        "\x01\x02",
        "a",
        "\x00a",
    ]
    assert [unescape_text(escape_text(part)) for part in parts] == parts
    assert sorted(parts) == [unescape_text(each) for each in sorted(escape_text(part) for part in parts)]
    assert "\x00" not in "".join(map(escape_text, parts))


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "finite"), (float("inf"), "finite"), ("\ud800", "surrogate")]
)
def test_fields_that_cannot_be_kept_are_refused(store, vectors, value, message):
    build(store, vectors[:10])
    with pytest.raises(InputError, match=message):
        store.upsert([Batch(["x"], ["x"], vectors[:1], [{"a": value}])])
    assert len(store) == 10


def test_fields_round_trip():
    import json

    fields = {"a": 1, "b": 1.0, "c": -0.5, "d": 1e22, "e": "é", "f": 123456789012345678901234567890}
    assert unescape_fields(json.loads(escape_fields(fields))) == fields


# Filters

VALUES = [0, 1, -1, 20, 20.0, 0.1, 1e16, 2**53 + 1, 1e22, 10**22, "20", "a", "B", "é", "\x00", "", "z\x01", "-1", "1e3"]


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">="])
def test_conditions_hold_as_they_do_here(store, vectors, sign):
    fields = [{"v": value} for value in VALUES] + [{}, {"w": 1}]
    build(store, vectors[: len(fields)], fields=lambda row: fields[row])
    for value in [
        "20",
        "0.1",
        "-1",
        "1e3",
        "nan",
        "9007199254740993",
        "1e22",
        "a",
        "B",
        "é",
        "\x00",
        "",
        "'; --",
        "%s",
    ]:
        condition = Condition("v", sign, value)
        wanted = {f"d{row}" for row, each in enumerate(fields) if condition.holds(each)}
        assert {hit.id for hit in store.search(vectors[:1], 100, [condition])[0]} == wanted, value


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_filters_do_not_starve(url, store, vectors, queries, precision):
    build(
        store, vectors, (VectorFormat(160, precision),), fields=lambda row: {"rare": row % 100, "place": "ab"[row % 2]}
    )
    with psycopg.connect(url, autocommit=True) as connection:  # as with millions of documents
        connection.execute("ALTER DATABASE postgres SET enable_seqscan = off")
    try:
        again = PostgresStore(url, store.name)
        for where, there in [
            ([Condition("rare", "=", "7")], 15),
            ([Condition("rare", "<", "2"), Condition("place", "=", "a")], 15),
        ]:
            found = again.search(queries, 12, where)
            assert [len(hits) for hits in found] == [12] * len(queries)
            assert all(condition.holds(hit.fields) for hits in found for hit in hits for condition in where)
            assert [len(hits) for hits in again.search(queries, 100, where)] == [there] * len(queries)
            assert shared(pairs(found), pairs(again.search(queries, 12, where, exact=True))) >= 0.9
        assert again.search(queries, 5, [Condition("rare", "=", "nothing")]) == [[]] * len(queries)
        again.close()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER DATABASE postgres RESET enable_seqscan")


# Builds

CHILD = """
import sys
import numpy as np
from nestvec.stores.postgres.store import PostgresStore
from nestvec.stores.store import About, Batch
from nestvec.point import VectorFormat
from nestvec.vectors.codecs import CODECS

url, name, step = sys.argv[1:]
rng = np.random.default_rng(0)

def batches():
    for part in range(10**6):
        vectors = rng.standard_normal((500, 160)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        names = [f"other{part}-{row}" for row in range(500)]
        yield Batch(names, names, vectors, [{}] * 500)
        print(part, flush=True)
        if part == 20 and step == "index":
            return

about = About("theirs", "", 160, (VectorFormat(32, "float32"),))
PostgresStore(url, name).build(about, [CODECS["float32"](np.zeros((1, 32)))], batches())
"""


def tables(url, name):
    with psycopg.connect(url) as connection:
        asked = "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, %s)"
        readable = name.replace("[", "_").replace("]", "_")
        return [row[0] for row in connection.execute(asked, [f"nestvec_{readable}_"]).fetchall()]


@pytest.mark.parametrize("step", ["load", "index"])
def test_killed_build_leaves_the_old_index(url, store, vectors, queries, step):
    build(store, vectors)
    before = pairs(store.search(queries, 10))
    child = subprocess.Popen([sys.executable, "-c", CHILD, url, store.name, step], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if int(line) == (20 if step == "index" else 3):
            break
    time.sleep(0.2 if step == "index" else 0)  # some way into the index
    with pytest.raises(InputError, match="another process"):  # it is alive
        raise_if_locked(url, store.name)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert pairs(store.search(queries, 10)) == before
    assert store.about.system == "ours"
    build(store, vectors[:100])
    assert len(store) == 100
    assert len(tables(url, store.name)) == 1


def raise_if_locked(url, name):
    """As a builder with less patience would be told."""
    with psycopg.connect(url) as connection:
        asked = "SELECT pg_try_advisory_xact_lock(%s)"
        if not connection.execute(asked, [statements.lock_key(name)]).fetchone()[0]:
            raise InputError("is being built by another process")


def test_builders_and_writers_keep_apart(url, store, vectors, monkeypatch):
    monkeypatch.setattr("nestvec.stores.postgres.store._PATIENCE", "100ms")
    build(store, vectors[:10])
    other = PostgresStore(url, store.name)
    about, codecs = made((VectorFormat(16, "int8"),), vectors)

    def slow():
        yield from batches(vectors[:20])
        with pytest.raises(InputError, match="being built by another process"):
            other.build(about, codecs, [])
        with pytest.raises(InputError, match="being built by another process"):
            other.upsert(batches(vectors[:5]))
        with pytest.raises(InputError, match="being built by another process"):
            other.delete(["d1"])
        assert len(other) == 10  # readers are not kept out
        assert other.search(vectors[:1], 1)[0][0].id == "d0"

    store.build(about, codecs, slow())
    assert len(other) == 20  # and see the new one
    assert other.search(vectors[15:16], 1)[0][0].id == "d15"
    assert len(tables(url, store.name)) == 1
    other.close()


def test_build_that_fails_leaves_the_old_index(url, store, vectors):
    build(store, vectors[:10])

    def broken():
        yield from batches(vectors[10:20])
        raise InputError("the source is damaged")

    about, codecs = made((VectorFormat(16, "int8"),), vectors)
    with pytest.raises(InputError, match="the source is damaged"):
        store.build(about, codecs, broken())
    assert len(store) == 10
    assert len(tables(url, store.name)) == 1


def test_empty_index_and_none(url, store, vectors, queries):
    assert (store.about, len(store), store.size()) == (None, 0, 0)
    with pytest.raises(InputError, match="no such index"):
        store.search(queries, 1)
    with pytest.raises(InputError, match="no such index"):
        store.upsert(batches(vectors[:1]))
    about, codecs = made((VectorFormat(16, "binary"),), vectors)
    store.build(about, codecs, [])
    assert store.search(queries, 3) == [[]] * len(queries)
    store.upsert(batches(vectors[:2]))
    assert [hit.id for hit in store.search(queries, 3)[0]] != []
    assert store.search(queries[:0], 3) == []


def test_indexes_live_side_by_side(url, vectors):
    names = ["plain", 'a"; DROP TABLE nestvec_indexes; --', "a_1", "a", "%s {} '", "größe", "x" * 40]
    stores = {name: PostgresStore(url, name) for name in names}
    for count, (name, store) in enumerate(stores.items(), start=1):
        build(store, vectors[:count])
        assert store.name == name
    assert [len(store) for store in stores.values()] == list(range(1, len(names) + 1))
    for store in stores.values():
        store.close()


@pytest.mark.parametrize("name", ["", "x" * 41, "é" * 21, "a\x00", "a\nb"])
def test_names_that_cannot_be_used_are_refused(url, name):
    with pytest.raises(InputError, match="cannot be named"):
        PostgresStore(url, name)


# What is refused


def test_other_widths_are_refused(store, vectors):
    build(store, vectors[:10])
    with pytest.raises(InputError, match="not of 16"):
        store.search(vectors[:1, :16], 1)
    with pytest.raises(InputError, match="not of 16"):
        store.upsert([Batch(["x"], ["x"], vectors[:1, :16], [{}])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE nestvec_indexes SET about = about || '{\"schema\": 99}' WHERE name = %s", "newer nestvec"),
        ("UPDATE nestvec_indexes SET about = '{\"schema\": 1}' WHERE name = %s", "damaged"),
        ("UPDATE nestvec_indexes SET about = '[]' WHERE name = %s", "not made by nestvec"),
        ("UPDATE nestvec_indexes SET codecs = substr(codecs, 1, 100) WHERE name = %s", "cannot be read"),
        ("UPDATE nestvec_indexes SET codecs = set_byte(codecs, length(codecs) - 1, 7) WHERE name = %s", "checksum"),
    ],
)
def test_damage_is_named(url, store, vectors, change, message):
    build(store, vectors[:10])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change, [store.name])
    other = PostgresStore(url, store.name)
    with pytest.raises(InputError, match=message) as refused:
        other.search(vectors[:1], 1)
    other.close()
    assert store.name in str(refused.value)
    build(store, vectors[:5])  # a build puts it right
    assert len(store) == 5


def test_foreign_tables_are_named(url, vectors):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE foreigner")
    elsewhere = url.replace("/postgres?", "/foreigner?")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute("CREATE TABLE nestvec_indexes (name text, price numeric)")
    store = PostgresStore(elsewhere)
    for work in (lambda: store.about, lambda: build(store, vectors[:10]), lambda: store.search(vectors[:1], 1)):
        with pytest.raises(InputError, match="not made by nestvec"):
            work()
    store.close()


def test_lost_documents_are_named(url, store, vectors):
    build(store, vectors[:10])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.fill_name(statements.DROP, tables(url, store.name)[0]))
    with pytest.raises(InputError, match="documents are gone"):
        store.search(vectors[:1], 1)


def test_roles_without_rights_are_told(url, vectors):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'geheim'")
        connection.execute("CREATE DATABASE guests OWNER guest")
        connection.execute("CREATE DATABASE locked")
        connection.execute("UPDATE pg_database SET datistemplate = false WHERE datname = 'guests'")
    for database, message in [("guests", "may not add pgvector"), ("locked", "may not add pgvector")]:
        store = PostgresStore(url.replace("postgres:@/postgres", f"guest:geheim@/{database}"))
        with pytest.raises(InputError, match=message) as refused:
            build(store, vectors[:10])
        assert "geheim" not in str(refused.value)
        store.close()
    with psycopg.connect(url.replace("/postgres?", "/locked?"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    store = PostgresStore(url.replace("postgres:@/postgres", "guest:geheim@/locked"))
    with pytest.raises(InputError, match="permission denied"):
        build(store, vectors[:10])
    store.close()


def test_full_disk_is_one_message(url, store, vectors, queries):
    build(store, vectors)
    before = pairs(store.search(queries, 10))
    with psycopg.connect(url, autocommit=True) as connection:  # the server says what it says of a full disk
        connection.execute(
            "CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE "
            "FUNCTION full_disk()"
        )
    try:
        with pytest.raises(NestvecError, match="no space left") as refused:
            build(store, vectors[:10])
        assert str(refused.value).count("\n") == 0
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP EVENT TRIGGER full_disk; DROP FUNCTION full_disk")
    assert pairs(store.search(queries, 10)) == before


def test_lost_connection_is_said_and_made_again(url, store, vectors, queries):
    build(store, vectors)
    before = pairs(store.search(queries, 10))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(NestvecError, match="did not complete a statement"):
        store.search(queries, 10)
    assert pairs(store.search(queries, 10)) == before


# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@host:5433/shop", "postgresql://me@host:5433/shop"),
        ("postgresql://me:ge%40heim@host/shop?sslmode=require", "postgresql://me@host/shop"),
        ("postgresql://host/shop?user=me&password=geheim", "postgresql://me@host/shop"),
        ("host=host dbname=shop user=me password='ge heim'", "postgresql://me@host/shop"),
        ("postgresql://me:geheim@/shop?host=/tmp/socket", "postgresql://me@/shop?host=/tmp/socket"),
    ],
)
def test_passwords_are_left_out(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:ge@heim@host/shop",
        "postgresql://me:ge/heim@host/shop",
        "postgresql://me:ge[heim@host/shop",
        "postgresql://me:ge%heim@host/shop",
        "http://me:geheim@host/shop",
        "postgresql://me:geheim@host:port/shop",
        "nonsense geheim",
        "",
    ],
)
def test_urls_that_cannot_be_read_show_nothing(url):
    with pytest.raises(InputError) as refused:
        PostgresStore(url)
    assert "heim" not in str(refused.value)


def test_no_server_is_said_without_the_password():
    with pytest.raises(InputError, match="cannot be reached") as refused:
        PostgresStore("postgresql://me:geheim@127.0.0.1:1/shop")
    assert "geheim" not in str(refused.value)
    assert "me@127.0.0.1:1/shop" in str(refused.value)


def test_psycopg_is_an_extra():
    code = "import sys; sys.modules['psycopg'] = None; import nestvec.stores.postgres.store"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    expected = "psycopg is not installed; this needs the extra postgres: pip install 'nestvec[postgres]'"
    assert done.stderr.splitlines()[-1].endswith(expected)


def test_threads_share_a_store(store, vectors, queries):
    build(store, vectors)
    wanted = pairs(store.search(queries, 10))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: pairs(store.search(queries, 10)), range(20)))
    assert found == [wanted] * 20
