"""Requests as people and proxies send them by hand. Oracle: RFC 9110 and 8259, and the one form of an error."""

from __future__ import annotations

import csv
import gzip
import json

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import serving
from shared_runs import copy_run
from tables import CASES

from nestvec.indexing.index import build_index

BODY = {"model": "mnr", "input": "hammer", "dimensions": 4, "encoding_format": "float"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=60, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def plain(served):
    return httpx.post(f"{served.url}/v1/embeddings", json=BODY).json()


SAME = {
    "a charset": ("/v1/embeddings", {"content-type": "application/json; charset=utf-8"}),
    "a slash at the end": ("/v1/embeddings/", JSON),
    "a query": ("/v1/embeddings?api-version=2024-02-01", JSON),
    "another type wanted": ("/v1/embeddings", {**JSON, "accept": "application/xml"}),
}


@pytest.mark.parametrize(("path", "headers"), SAME.values(), ids=SAME)
def test_what_means_the_same_is_answered_the_same(client, plain, path, headers):
    answer = client.post(path, content=json.dumps(BODY), headers=headers)
    assert (answer.status_code, answer.json()) == (200, plain), answer.text


REFUSED = {
    "no type": ("POST", "/v1/embeddings", {}, json.dumps(BODY).encode(), 415),
    "gzip": ("POST", "/v1/embeddings", {**JSON, "content-encoding": "gzip"}, gzip.compress(b"{}"), 415),
    "no body": ("POST", "/v1/embeddings", JSON, b"", 422),
    "no JSON": ("POST", "/v1/embeddings", JSON, b"hammer", 422),
    "UTF-16": ("POST", "/v1/embeddings", JSON, json.dumps(BODY).encode("utf-16"), 422),
    "a list": ("POST", "/v1/embeddings", JSON, b'["hammer"]', 422),
    "GET": ("GET", "/v1/embeddings", {}, b"", 405),
    "without /v1": ("POST", "/embeddings", JSON, json.dumps(BODY).encode(), 404),
    "twice /v1": ("POST", "/v1/v1/embeddings", JSON, json.dumps(BODY).encode(), 404),
    "OPTIONS": ("OPTIONS", "/v1/embeddings", {"origin": "https://a.example"}, b"", 405),
    "no such model": ("GET", "/v1/models/a/b", {}, b"", 404),
    "too many": ("POST", "/v1/embeddings", JSON, json.dumps({**BODY, "input": ["x"] * 2049}).encode(), 413),
    "another host": ("GET", "/v1/models", {"host": "shop.example"}, b"", 421),
}


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_has_openais_form(client, method, path, headers, body, status):
    answer = client.request(method, path, content=body, headers=headers)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert answer.headers["content-type"] == "application/json"


def test_as_many_texts_as_openai_takes(client):
    answer = client.post("/v1/embeddings", json={**BODY, "input": [f"text {n}" for n in range(2048)]})
    assert answer.status_code == 200
    assert [each["index"] for each in answer.json()["data"]] == list(range(2048))


@pytest.mark.parametrize("text", [" ", "\n\t", "\u00a0"])
def test_white_space_is_a_text(client, text):
    answer = client.post("/v1/embeddings", json={**BODY, "input": [text, "hammer"]})
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 2


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/v1/models", "/v1/run", "/openapi.json", "/v1/models/mnr"]
)
def test_head_is_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length")
    assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
    assert client.get("/healthz").status_code == 200  # the connection is whole


def test_hits_carry_ids_byte_for_byte(shop, tmp_path):
    """Oracle: the documents' own ids, also those that no HTML, URL or table could hold as they are."""
    with (CASES / "oddids.csv").open(newline="", encoding="utf-8") as stream:
        ids = [row["document_id"] for row in csv.DictReader(stream)][:60]
    ids += ["<b>&amp;</b>", "nul\x00id", "\x01", "x\u2028y", "a\tb", "https://a.example/p?id=7&region=eu", "\U0001f6e0"]
    pq.write_table(pa.table({"id": ids, "text": ["a saw"] * len(ids), "own": ids}), tmp_path / "odd.parquet")
    run = copy_run(shop, tmp_path / "run")
    build_index(run, system="mnr", documents=tmp_path / "odd.parquet").close()
    with serving(run) as server:
        [result] = httpx.post(f"{server.url}/v1/search", json={"query": "saw", "k": 200}, timeout=60).json()["results"]
        assert sorted(hit["id"] for hit in result["hits"]) == sorted(ids)
        assert all(hit["fields"] == {"own": hit["id"]} for hit in result["hits"])


def test_a_browsers_client_may_send_its_own_headers(shop):
    asked = {
        "origin": "https://shop.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-stainless-os",
    }
    with serving(shop, "--cors", "https://shop.example", "--allowed-host", "Models.Example") as server:
        answer = httpx.options(f"{server.url}/v1/embeddings", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
        named = [
            httpx.get(f"{server.url}/v1/models", headers={"host": name}) for name in ("models.example:80", "x.org")
        ]
        assert [answer.status_code for answer in named] == [200, 421]
        assert named[1].json()["error"]["message"] == "Host header not allowed; set --allowed-host NAME"
