"""Tokens are counted on the way: no text is tokenised for a count alone. Oracle: the model's tokenizer by itself."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from nestvec.models.token_batches import TokenReader
from nestvec.models.token_counts import count_tokens
from nestvec.serving.fastapi_app import Loading, create_app
from nestvec.serving.request_guard import Health
from nestvec.serving.serving_options import ServingOptions

TEXTS = ["hammer", "a drill whose tokens are counted", "hammer"]


@pytest.fixture
def client(service, monkeypatch):
    """The application in this process, over the service that is loaded and stays open."""
    monkeypatch.setattr(service, "close", lambda: None)
    loading = Loading(say=lambda _: None, ready=lambda: None, failed=lambda error: pytest.fail(str(error)))
    with TestClient(create_app(service, ServingOptions(), Health(), loading), "http://localhost") as client:
        yield client


def test_usage_counts_the_tokens_of_every_text(client, service):
    answer = client.post("/v1/embeddings", json={"input": TEXTS, "model": "mnr"})
    assert answer.status_code == 200, answer.text
    tokens = int(count_tokens(service.run.folder.model("mnr"), TEXTS)[0].sum())
    assert answer.json()["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings"])
def test_each_text_is_tokenised_once(client, monkeypatch, path):
    """Neither a count of tokens nor the batches read a text again; a text that comes twice is read once."""
    read, tokenise = [], TokenReader._tokenise
    monkeypatch.setattr(TokenReader, "_tokenise", lambda self, texts: read.extend(texts) or tokenise(self, texts))
    body = {"queries": TEXTS} if path == "/v1/search" else {"input": TEXTS}
    assert client.post(path, json={**body, "system" if "queries" in body else "model": "mnr"}).status_code == 200
    assert sorted(read) == sorted(set(TEXTS))
