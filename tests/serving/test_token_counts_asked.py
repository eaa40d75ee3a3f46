"""Tokens are counted for who asks: `usage` of POST /v1/embeddings, and nobody else.

Oracle: the calls of the service's own `tokens`, noted as they come.
"""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from nestvec.serving.fastapi_app import Loading, create_app
from nestvec.serving.options import ServingOptions
from nestvec.serving.request_guard import Health

TEXTS = ["hammer", "a drill whose tokens are counted", "hammer"]


@pytest.fixture
def counted(service, monkeypatch):
    """Systems and texts whose tokens were counted."""
    calls, count = [], service.tokens
    monkeypatch.setattr(service, "tokens", lambda system, texts: calls.append((system, texts)) or count(system, texts))
    return calls


@pytest.fixture
def client(service, monkeypatch):
    """The application in this process, over the service that is loaded and stays open."""
    monkeypatch.setattr(service, "load", lambda say: say("loaded before"))
    monkeypatch.setattr(service, "close", lambda: None)
    loading = Loading(say=lambda _: None, ready=lambda: None, failed=lambda error: pytest.fail(str(error)))
    with TestClient(create_app(service, ServingOptions(), Health(), loading), "http://localhost") as client:
        yield client


def test_a_search_counts_no_tokens(client, counted):
    queries = ["a query that nobody judged", "nor was this one ever asked"]
    answer = client.post("/v1/search", json={"queries": queries, "system": "mnr", "dimension": 48})
    assert answer.status_code == 200, answer.text
    assert [result["query"] for result in answer.json()["results"]] == queries
    assert counted == []


def test_usage_counts_the_tokens_of_every_text(client, counted, service):
    answer = client.post("/v1/embeddings", json={"input": TEXTS, "model": "mnr"})
    assert answer.status_code == 200, answer.text
    assert counted == [("mnr", TEXTS)]
    tokens = sum(service.tokens("mnr", TEXTS))
    assert answer.json()["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
