"""POST /v1/search with a mode: by words, by vectors, or by both.

Oracles: `runs/*+bm25.*.trec` and `runs/bm25.trec` of the run, which its evaluation wrote; for another weight the legs'
own answers, as `Fusion` joins them.
"""

from __future__ import annotations

import httpx2 as httpx
import pyarrow.parquet as pq
import pytest

from nestvec.lexical.hybrid_file import read_hybrid


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def texts(shop):
    """Test query's id to its text."""
    rows = pq.read_table(shop / "data" / "queries.parquet").to_pylist()
    return {row["query_id"]: row["query"] for row in rows if row["split"] == "test"}


def listed(path):
    """Query to its documents in order."""
    ranked = {}
    for line in path.read_text().splitlines():
        query, _, document, *_ = line.split()
        ranked.setdefault(query, []).append(document)
    return ranked


def found(answer):
    assert answer.status_code == 200, answer.text
    return [[hit["id"] for hit in result["hits"]] for result in answer.json()["results"]]


@pytest.mark.parametrize("place", ["mnr.48.int8", "pretrained.96.binary", "matryoshka.384.float32"])
def test_fused_lists_of_every_test_query_are_the_run_file(place, client, shop, texts):
    system, dimension, precision = place.split(".")
    wanted = listed(shop / "runs" / f"{system}+bm25.{dimension}.{precision}.trec")
    point = {"system": system, "dimension": int(dimension), "precision": precision}
    body = {"queries": list(texts.values()), "k": 100, "mode": "fused", **point}
    answer = client.post("/v1/search", json=body)
    for query, ids in zip(texts, found(answer), strict=True):
        assert ids == wanted[query]
    told = answer.json()
    assert {name: told[name] for name in ("mode", "source", *point)} == {"mode": "fused", "source": "run", **point}
    assert 0 <= told["weight"] <= 1 and {result["searched_for"] for result in told["results"]} == {None}
    if precision == "float32":
        read_hybrid(shop / "hybrid.json")


def test_words_alone_are_the_run_file(client, shop, texts):
    wanted = listed(shop / "runs" / "bm25.trec")
    answer = client.post("/v1/search", json={"queries": list(texts.values()), "k": 100, "mode": "words"})
    assert found(answer) == [wanted[query] for query in texts]
    assert (answer.json()["mode"], answer.json()["system"], answer.json()["weight"]) == ("words", "bm25", None)


def test_without_a_mode_the_answer_is_what_it_was(client, texts):
    point = {"query": next(iter(texts.values())), "system": "mnr", "dimension": 48, "precision": "int8"}
    alone, named = (client.post("/v1/search", json={**point, **mode}) for mode in ({}, {"mode": "vectors"}))
    assert found(alone) == found(named)
    assert alone.json()["mode"] == "vectors" and alone.json()["weight"] is None
    assert client.post("/v1/search", json={"query": "drill", "system": "bm25"}).json()["mode"] == "words"


def test_a_weight_moves_from_meaning_to_words(client, texts):
    point = {"queries": list(texts.values()), "system": "mnr", "dimension": 48, "precision": "int8", "k": 5}
    by_meaning = client.post("/v1/search", json={**point, "mode": "fused", "weight": 0})
    assert found(by_meaning) == found(client.post("/v1/search", json=point)) and by_meaning.json()["weight"] == 0
    by_words = client.post("/v1/search", json={**point, "mode": "fused", "weight": 1}).json()
    words = client.post("/v1/search", json={"queries": point["queries"], "mode": "words", "k": 1}).json()
    for fused, alone in zip(by_words["results"], words["results"], strict=True):
        assert alone["hits"][0]["score"] == 0 or fused["hits"][0]["id"] == alone["hits"][0]["id"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"mode": "hybrid"}, "mode"), ({"mode": ["fused"]}, "mode"), ({"mode": 1}, "mode"), ({"mode": "FUSED"}, "mode"),
        ({"mode": "fused", "weight": 1.01}, "weight"), ({"mode": "fused", "weight": -0.1}, "weight"),
        ({"mode": "fused", "weight": "0.5"}, "weight"), ({"mode": "fused", "weight": True}, "weight"),
        ({"weight": 0.5}, "weight"), ({"mode": "words", "weight": 0.5}, "weight"),
        ({"mode": "fused", "system": "bm25"}, "system"), ({"mode": "vectors", "system": "bm25"}, "mode"),
        ({"mode": "words", "system": "mnr"}, "mode"), ({"mode": "words", "dimension": 48}, "mode"),
        ({"mode": "fused", "filter": "price<=20"}, "filter"),
    ],
)  # fmt: skip
def test_hostile_modes_and_weights_have_the_one_form(body, param, client):
    answer = client.post("/v1/search", json={"query": "drill", **body})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"] == param and answer.json()["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number, client):
    text = f'{{"query": "drill", "mode": "fused", "weight": {number}}}'
    answer = client.post("/v1/search", content=text, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["error"]["message"]


def test_the_schema_tells_the_modes(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"mode", "weight"} <= set(schemas["SearchRequest"]["properties"])
    assert schemas["SearchAnswer"]["properties"]["mode"]["enum"] == ["fused", "vectors", "words"]
    assert "searched_for" in schemas["SearchResult"]["properties"]
