"""Words beside vectors in a run's index. Oracles: the run's own lists, `runs/*+bm25.*.trec` and `runs/bm25.trec`, which
its evaluation wrote; BM25 over the documents that are left, for those that come and go."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tables import write_csv

import nestvec
from nestvec.errors import InputError
from nestvec.indexing.index import build_index, open_index
from nestvec.runs.run import load_run

POINTS = {"384.float32": (384, "float32"), "96.int8": (96, "int8"), "384.binary": (384, "binary")}
GOODS = [
    {"sku": "a", "name": "cordless drill 18V", "brand": "Makita"},
    {"sku": "b", "name": "hammer drill with case", "brand": "Bosch"},
    {"sku": "c", "name": "claw hammer", "brand": "Estwing"},
    {"sku": "d", "name": "garden hose 50 ft", "brand": "Flexon"},
]  # fmt: skip


def listed(path):
    """Query to its documents in order, with scores."""
    ranked = {}
    for line in path.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        ranked.setdefault(query, []).append((document, float(score)))
    return ranked


def asked_of(run):
    """Ids, texts and rows of the test queries."""
    queries = load_run(run).queries
    rows = [row for row, split in enumerate(queries.splits) if split == "test"]
    return [queries.ids[row] for row in rows], [queries.texts[row] for row in rows], rows


@pytest.mark.parametrize("store", ["embedded", "postgres"])
@pytest.mark.parametrize("point", POINTS)
def test_fused_lists_of_every_test_query_are_the_run_file(run, request, store, point):
    wanted, (ids, texts, rows) = listed(run / f"runs/pretrained+bm25.{point}.trec"), asked_of(run)
    place = store if store == "embedded" else request.getfixturevalue("server")
    dimension, precision = POINTS[point]
    with build_index(run, place, name=point, system="pretrained", dimension=dimension, precision=precision) as index:
        found = index.store.search_fused(texts, np.asarray(index.selection.query_vectors[rows]), 100, exact=True)
        words = index.store.search_words(texts, 100)
        verified = index.verify(exact=True)
    for query, hits in zip(ids, found, strict=True):
        assert [hit.id for hit in hits] == [document for document, _ in wanted[query]]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted[query]], abs=1e-6)
    lexical = listed(run / "runs/bm25.trec")
    for query, hits in zip(ids, words, strict=True):
        assert [hit.id for hit in hits] == [document for document, score in lexical[query] if score > 0]
    surface = json.loads((run / "results.json").read_text())["surface"]
    name = ("pretrained+bm25", *POINTS[point], "test")
    plain = [row for row in surface if not row["axes"]]
    [row] = [row for row in plain if (row["system"], row["dimension"], row["precision"], row["split"]) == name]
    assert verified.fused.point == f"pretrained+bm25.{point}"
    assert verified.fused.measured == row["metrics"]["recall@10"]["value"]
    assert verified.fused.found == pytest.approx(verified.fused.measured, abs=1e-12)
    assert (verified.fused.same, verified.fused.queries, verified.fused.holds) == (1.0, row["queries"], True)


def test_an_index_that_fuses_wrongly_is_refused(run, typed):
    """Words of another weight than was measured."""
    build_index(run, system="pretrained", dimension=48, precision="int8").close()
    path = run / "index/embedded/current.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "hybrid": {**state["hybrid"], "weight": 0.0, "k1": 90.0}}))
    with open_index(run) as index:
        assert index.verify().fused.same < 1


def test_modes_of_the_command_line(run, typed):
    code, out, message = typed("index", run, "--system", "pretrained", "--dimension", 48, "--precision", "int8")
    assert code == 0, message
    assert "serves pretrained at 48.int8, with keyword search" in out
    found = {}
    for mode in ("fused", "vectors", "words", None):
        code, out, message = typed("search", run, "steel hammer", "--json", *(["--mode", mode] if mode else []))
        assert code == 0, message
        found[mode] = [json.loads(line)["id"] for line in out.splitlines()]
        assert found[mode] == [hit.id for hit in nestvec.search(run, "steel hammer", mode=mode)]
    assert found[None] == found["vectors"]  # a system was named, and it ranks by vectors
    assert found["words"] != found["vectors"]  # what is fused need not differ, where words were given no weight
    code, out, _ = typed("index", run, "--verify")
    assert code == 0
    for name in ("pretrained.48.int8", "pretrained+bm25.48.int8"):
        assert f"measured in the run at {name};" in out
    code, _, message = typed("search", run, "hammer", "--mode", "hybrid")
    assert (code, "--mode is 'hybrid'; expected one of fused, vectors, words" in message) == (2, True)


@pytest.mark.parametrize("why", ["--alone", "no hybrid.json"])
def test_an_index_of_vectors_alone(run, typed, why):
    if why != "--alone":
        (run / "hybrid.json").unlink()
    options = ["--system", "pretrained", "--precision", "int8", *([why] if why == "--alone" else [])]
    code, out, message = typed("index", run, *options)
    assert code == 0, message
    assert "384.int8, without keyword search" in out
    assert ("has no hybrid.json" in message) == (why != "--alone")
    assert json.loads((run / "index/embedded/current.json").read_text())["schema"] == 2
    assert not list((run / "index").rglob("*.npy"))
    assert nestvec.search(run, "hammer", 5) == nestvec.search(run, "hammer", 5, mode="vectors")
    for mode in ("words", "fused"):
        code, out, message = typed("search", run, "hammer", "--mode", mode)
        assert (code, out, message.count("\n")) == (2, "", 1)
        assert "holds no words" in message and "--alone" in message
    code, out, _ = typed("index", run, "--verify")
    assert code == 0 and out.count("recall@10") == 1


def test_a_damaged_hybrid_file_stops_the_build_and_the_old_index_stays(run, typed):
    build_index(run, system="pretrained", dimension=48, precision="int8").close()
    before = nestvec.search(run, "hammer", 5)
    path = run / "hybrid.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "k1": -1}))
    code, _, message = typed("index", run, "--system", "pretrained")
    assert (code, message.count("\n")) == (2, 1)
    assert "hybrid.json" in message and "k1 is -1" in message
    assert nestvec.search(run, "hammer", 5) == before


def test_words_of_a_file_of_documents_follow_what_is_there(run, tmp_path, typed):
    goods = write_csv(tmp_path / "goods.csv", GOODS)
    assert typed("index", run, "--system", "pretrained", "--documents", goods)[0] == 0

    def ids(query, mode="words", where=()):
        return [hit.id for hit in nestvec.search(run, query, 10, where, mode=mode)]

    assert set(ids("drills")) == {"a", "b"}  # by their stems
    assert ids("hammer", where=["brand!=Estwing"]) == ["b"]
    assert ids("hose", "fused")[0] == "d" and len(ids("hose", "fused")) == 4
    assert ids("unheard-of") == []
    more = write_csv(tmp_path / "more.csv", [{**GOODS[3], "name": "drill"}, {**GOODS[0], "sku": "e", "name": "hose"}])
    assert typed("index", run, "--upsert", more)[0] == 0
    assert (ids("hose"), set(ids("drill"))) == (["e"], {"d", "a", "b"})
    (tmp_path / "gone.txt").write_text("d\n")
    assert typed("index", run, "--delete", tmp_path / "gone.txt")[0] == 0
    assert set(ids("drill")) == {"a", "b"}
    upserted = nestvec.search(run, "cordless hammer drill", 10)
    left = [GOODS[0], GOODS[1], GOODS[2], {**GOODS[0], "sku": "e", "name": "hose"}]
    anew = write_csv(tmp_path / "anew.csv", left)
    assert typed("index", run, "--system", "pretrained", "--documents", anew)[0] == 0
    again = nestvec.search(run, "cordless hammer drill", 10)
    assert [(hit.id, hit.text, hit.fields) for hit in again] == [(hit.id, hit.text, hit.fields) for hit in upserted]
    scores = [hit.score for hit in upserted]  # encoded in another batch, whose last bits differ
    assert [hit.score for hit in again] == pytest.approx(scores, abs=1e-6)


def test_a_mode_is_checked_before_anything_is_searched(run):
    build_index(run, system="pretrained").close()
    with open_index(run) as index:
        with pytest.raises(InputError, match="--mode is 'all'"):
            index.search("hammer", mode="all")
        assert index.search("hammer", 3) == index.search("hammer", 3, mode="vectors")
