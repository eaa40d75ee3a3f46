"""The API over HTTP: search gives what the run's own files say was measured, and every failure has one form.

Oracles: `runs/*.trec`, `data/records.parquet` and `results.json` of the run; RFC 9110 for statuses and headers.
"""

from __future__ import annotations

import json
import re

import httpx2 as httpx
import pyarrow.parquet as pq
import pytest

POINTS = ["mnr.48.int8", "matryoshka.384.float32", "pretrained.96.binary", "bm25"]
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


def failure(answer, status, param=None):
    """The message of a failure in the one form."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "detail"} and set(told["error"]) == {"message", "type", "param", "code"}
    assert told["error"]["param"] == param
    assert told["detail"] and all(set(each) == {"loc", "msg", "type"} for each in told["detail"])
    return told["error"]["message"]


@pytest.fixture(scope="module")
def texts(shop):
    """Test query's id to its text."""
    rows = pq.read_table(shop / "data" / "queries.parquet").to_pylist()
    return {row["query_id"]: row["query"] for row in rows if row["split"] == "test"}


@pytest.mark.parametrize("name", POINTS)
def test_search_of_every_test_query_is_the_run_file(client, shop, texts, name):
    listed = {}
    for line in (shop / "runs" / f"{name}.trec").read_text().splitlines():
        query, _, document, rank, *_ = line.split()
        listed.setdefault(query, {})[int(rank)] = document
    system, _, rest = name.partition(".")
    width, _, precision = rest.partition(".")
    place = {"system": system, **({"dimension": int(width), "precision": precision} if rest else {})}
    assert set(listed) == set(texts)
    asked = {"queries": list(texts.values()), "k": 100, **place}
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert {key: told[key] for key in place} == place and told["source"] == "run"
    for query, result in zip(texts, told["results"], strict=True):
        assert result["query"] == texts[query]
        assert {hit["rank"]: hit["id"] for hit in result["hits"]} == listed[query]


def test_hits_carry_texts_and_grades_as_they_were_judged(client, shop, texts):
    records = pq.read_table(shop / "data" / "records.parquet").to_pylist()
    threshold = json.loads((shop / "data" / "grades.json").read_text())["threshold"]
    query = next(iter(texts.values()))
    grades = {row["document_id"]: row["grade"] for row in records if row["query"] == query}
    documents = {row["document_id"]: row["document"] for row in records}
    result = client.post("/v1/search", json={"query": query, "k": 1000, "system": "mnr"}).json()["results"][0]
    found = {hit["id"]: hit for hit in result["hits"]}
    assert set(grades) <= set(found)
    assert result["judged"]["relevant"] == sum(grade >= threshold for grade in grades.values())
    for name, hit in found.items():
        assert hit["grade"] == grades.get(name)
        assert hit["relevant"] == (grades[name] >= threshold if name in grades else None)
        assert hit["text"] == documents.get(name, hit["text"])
    unknown = client.post("/v1/search", json={"query": "nobody judged this", "system": "mnr"}).json()["results"][0]
    assert unknown["judged"] is None and {hit["relevant"] for hit in unknown["hits"]} == {None}


def test_without_a_point_what_is_recommended_is_searched(client, shop):
    answer = json.loads((shop / "recommendation.json").read_text())
    point = dict(answer["point"] or answer["reference"])  # where nothing is to be shipped, the best at full width
    point.pop("kind", None)
    assert not point.pop("axes", False)
    point["system"] = point["system"].removesuffix("+bm25")  # an API's default is vectors
    told = client.post("/v1/search", json={"query": "saw"}).json()
    assert {key: told[key] for key in ("system", "dimension", "precision", "bytes_per_vector")} == point
    assert told["axes"] is False
    surface = json.loads((shop / "results.json").read_text())["surface"]
    assert told["documents"] == next(row["documents"] for row in surface if row["split"] == "test")
    assert len(told["results"][0]["hits"]) == 10
    assert client.get("/v1/run").json()["default"] == {k: point[k] for k in ("system", "dimension", "precision")}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, None),
        ({"query": "a", "queries": ["b"]}, None),
        ({"query": ""}, "query"),
        ({"query": " \t"}, "query"),
        ({"query": 3}, "query"),
        ({"queries": []}, "queries"),
        ({"queries": ["a", ""]}, "queries"),
        ({"query": "a", "k": 0}, "k"),
        ({"query": "a", "k": -1}, "k"),
        ({"query": "a", "k": 1001}, "k"),
        ({"query": "a", "k": 10**400}, "k"),
        ({"query": "a", "k": "10"}, "k"),
        ({"query": "a", "k": True}, "k"),
        ({"query": "a", "k": 1.5}, "k"),
        ({"query": "a", "system": "nobody"}, "system"),
        ({"query": "a", "system": "mnr", "dimension": 47}, "dimension"),
        ({"query": "a", "system": "mnr", "dimension": -48}, "dimension"),
        ({"query": "a", "system": "mnr", "precision": "int3"}, "precision"),
        ({"query": "a", "filter": "price<=20"}, "filter"),
        ({"query": "a", "filter": "nothing"}, "filter"),
        ({"query": "a", "filter": [3]}, "filter"),
        ({"query": "a", "unheard_of": 1}, "unheard_of"),
        ([], None),
        ("a text", None),
    ],
)
def test_wrong_searches_name_the_field(client, asked, param):
    failure(client.post("/v1/search", json=asked), 422, param)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 385}, "dimensions"),
        ({"input": "a", "dimensions": "48"}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_wrong_embeddings_name_the_field(client, asked, param):
    message = failure(client.post("/v1/embeddings", json=asked), 422, param)
    if asked.get("input") in ([1, 2], [[1, 2]]):
        assert "token ids" in message


@pytest.mark.parametrize("model", ["bm25", "nobody", ""])
def test_a_model_that_makes_no_vectors_here_is_not_found(client, model):
    answer = client.post("/v1/embeddings", json={"input": "a", "model": model})
    assert "one of pretrained, mnr, matryoshka" in failure(answer, 404, "model")
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b'{"query": NaN}', b'{"query": "a", "k": Infinity}', b'{"query": "\\ud800"}',
        b'{"query": "\xff\xfe"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"query": "a"} {"query": "b"}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_said_to_be_none(client, body):
    failure(client.post("/v1/search", content=body, headers=JSON), 422)


def test_bodies_of_other_types_are_refused(client):
    body = b'{"query": "saw"}'
    for kind in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        failure(client.post("/v1/search", content=body, headers=kind), 415)
    failure(client.post("/v1/search", content=body, headers={**JSON, "content-encoding": "gzip"}), 415)
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/search", content=body, headers=kind).status_code == 200


def test_other_places_and_methods(client):
    for path in ("/nowhere", "/v1/", "/v1/nowhere", "/page/nowhere.js", "/docs/nowhere"):
        failure(client.get(path), 404)
    failure(client.get("/v1/models/nobody"), 404, "model")
    for method, path, allowed in (
        ("GET", "/v1/search", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/healthz", "GET"),
        ("PUT", "/", "GET"),
    ):
        answer = client.request(method, path, headers=JSON)
        failure(answer, 405)
        assert allowed in answer.headers["allow"]


def test_too_much_for_one_request(client):
    failure(client.post("/v1/embeddings", json={"input": ["a"] * 2049}), 413, "input")
    failure(client.post("/v1/embeddings", json={"input": "a" * 65_537}), 413, "input")
    failure(client.post("/v1/search", json={"queries": ["a"] * 257}), 413, "queries")
    failure(client.post("/v1/search", json={"queries": ["a"] * 200, "k": 1000}), 413, "k")


def test_every_answer_is_safe_to_show(client):
    for path in ("/", "/docs", "/v1/run", "/nowhere", "/metrics", "/healthz"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers and "access-control-allow-origin" not in headers
    assert client.get("/v1/run").headers["cache-control"] == "no-store"


def test_pages_load_nothing_from_elsewhere_and_nothing_inline(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"https?://|<style|style=|onclick=|<script(?![^>]*src=)", page.text)
        found = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert found
        for part in found:
            answer = client.get(part)
            assert answer.status_code == 200, part
            again = client.get(part, headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304 and not again.content and answer.headers["cache-control"] == "no-cache"


def test_models_as_openai_lists_them(client):
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["pretrained", "mnr", "matryoshka"]
    assert {model["dimension"] for model in listed["data"]} == {384}
    assert client.get("/v1/models/mnr").json() == listed["data"][1]


def test_standing_and_description(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/embeddings", "/v1/models", "/v1/models/{model}", "/v1/search", "/v1/run", "/healthz", "/readyz",
        "/metrics",
    }  # fmt: skip
    for path, own in (("/v1/embeddings", {"404"}), ("/v1/search", set())):
        statuses = set(described["paths"][path]["post"]["responses"])
        assert statuses == {"200", "401", "408", "413", "415", "421", "422", "429", "500", "503"} | own


def test_metrics_count_what_was_asked(client, served):
    before = served.meter("nestvec_requests_total", route="/v1/search", method="POST", status="200")
    texts = served.meter("nestvec_texts_total", system="matryoshka")
    for number in range(3):
        client.post("/v1/search", json={"query": f"never asked before {number}", "system": "matryoshka"})
    assert served.meter("nestvec_requests_total", route="/v1/search", method="POST", status="200") == before + 3
    assert served.meter("nestvec_texts_total", system="matryoshka") == texts + 3
    assert served.meter("nestvec_queue_texts") == 0


@pytest.fixture
def indexed(served_index):
    with httpx.Client(base_url=served_index.server.url, timeout=60) as client:
        yield client


def test_an_index_is_what_is_delivered_and_can_be_filtered(indexed):
    told = indexed.post("/v1/search", json={"query": "hammer", "filter": ["price<=20", "price>15"], "k": 50}).json()
    assert (told["source"], told["system"], told["dimension"], told["precision"]) == ("index", "mnr", 48, "int8")
    assert told["documents"] == 40
    assert sorted(hit["fields"]["price"] for hit in told["results"][0]["hits"]) == [16, 17, 18, 19, 20]
    place = {"system": "mnr", "dimension": 48, "precision": "int8"}
    named = indexed.post("/v1/search", json={"query": "hammer", **place}).json()
    assert named["source"] == "run" and named["documents"] != 40
    filtered = indexed.post("/v1/search", json={"query": "hammer", "filter": "price=7", **place}).json()
    assert [hit["text"] for hit in filtered["results"][0]["hits"]] == ["hammer of size 7"]
    failure(indexed.post("/v1/search", json={"query": "a", "filter": "price=7", "system": "pretrained"}), 422, "filter")


@pytest.mark.parametrize("mode", ["words", "fused"])
def test_an_index_is_asked_by_its_words_too(indexed, mode):
    body = {"query": "hammers of size 17", "mode": mode, "filter": "price<=20", "k": 5}
    told = indexed.post("/v1/search", json=body).json()
    assert (told["source"], told["mode"], told["documents"]) == ("index", mode, 40)
    hits = told["results"][0]["hits"]
    assert (hits[0]["id"], hits[0]["fields"], len(hits)) == ("g17", {"price": 17}, 5)
    place = {"system": "mnr", "dimension": 48, "precision": "int8"} if mode == "fused" else {"system": "bm25"}
    named = indexed.post("/v1/search", json={"query": "hammer", "mode": mode, **place}).json()
    assert named["source"] == "run" and named["documents"] != 40
    failure(indexed.post("/v1/search", json={**body, **place}), 422, "filter")
    if mode == "fused":
        by_words = indexed.post("/v1/search", json={**body, "weight": 1}).json()
        assert by_words["weight"] == 1 and told["weight"] not in (None, 1)
        assert by_words["results"][0]["hits"][0]["score"] == 1.0  # the best of the words over itself
