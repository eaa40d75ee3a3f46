"""A server of a model with prompts. Oracle: `encode_query` and `encode_document` of sentence-transformers."""

from __future__ import annotations

import httpx2 as httpx
import numpy as np
import pytest
from prompted import DOCUMENT_PROMPT, QUERY_PROMPT, save_prompted
from running import serving
from sentence_transformers import SentenceTransformer
from tables import rows, write_csv

import nestvec

TEXTS = ["never asked before", "a saw", "hammer " * 30]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a prompted model, and a server of a run that measured it."""
    folder = tmp_path_factory.mktemp("prompted")
    source, model = write_csv(folder / "judged.csv", rows(queries=40)), save_prompted(folder / "model")
    options = {"epochs": 0, "resamples": 100, "precisions": "int8", "dimensions": "24", "bigger": "", "test": 0.4}
    nestvec.run(str(source), folder / "run", model=str(model), **options)
    with serving(folder / "run") as server:
        yield folder, server.url


def embed(url, **asked):
    answer = httpx.post(f"{url}/v1/embeddings", json={"input": TEXTS, "model": "pretrained", **asked})
    assert answer.status_code == 200, answer.text
    return np.array([each["embedding"] for each in answer.json()["data"]])


@pytest.mark.parametrize("asked", [{}, {"input_type": "query"}, {"input_type": None}, {"input_type": "document"}])
def test_texts_are_queries_unless_they_are_said_to_be_documents(asked, world):
    folder, url = world
    model = SentenceTransformer(str(folder / "model"), device="cpu")
    library = model.encode_document if asked.get("input_type") == "document" else model.encode_query
    np.testing.assert_allclose(embed(url, **asked), library(TEXTS, normalize_embeddings=True), atol=1e-5)


def test_an_unknown_type_is_named(world):
    answer = httpx.post(f"{world[1]}/v1/embeddings", json={"input": TEXTS, "input_type": "passage"})
    assert answer.status_code == 422 and answer.json()["error"]["param"] == "input_type"


def test_a_models_prompts_are_named(world):
    listed = httpx.get(f"{world[1]}/v1/models").json()["data"]
    assert [model["prompts"] for model in listed] == [{"query": QUERY_PROMPT, "document": DOCUMENT_PROMPT}]


def test_a_search_asks_queries(world):
    folder, url = world
    asked = {"query": TEXTS[0], "system": "pretrained", "dimension": 48, "precision": "float32", "k": 5}
    model = SentenceTransformer(str(folder / "model"), device="cpu")
    query = model.encode_query(TEXTS[0], normalize_embeddings=True)
    for _ in range(2):  # encoded, then remembered; documents of the same text do not get in between
        hits = httpx.post(f"{url}/v1/search", json=asked).json()["results"][0]["hits"]
        documents = model.encode_document([hit["text"] for hit in hits], normalize_embeddings=True)
        assert [hit["score"] for hit in hits] == pytest.approx((documents @ query).tolist(), abs=1e-5)
        embed(url, input_type="document")
