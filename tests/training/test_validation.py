"""Oracles: recall and nDCG counted document by document on the vectors of the model's own `encode`; invariants."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from judged import from_table

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.point import VectorFormat
from nestvec.training import validation as module
from nestvec.training.token_passes import tokenise_texts
from nestvec.training.validation import make_validation
from nestvec.vectors.codecs import CODECS

FORMATS = (VectorFormat(384, "float32"), VectorFormat(48, "float32"), VectorFormat(384, "binary"))
QUERIES = 60


@pytest.fixture(scope="module")
def model():
    return load_model(find_model("all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return from_table(tmp_path_factory.mktemp("table"), queries=QUERIES)


@pytest.fixture(scope="module")
def tokens(model, data):
    return tokenise_texts(model, data.texts.queries, data.texts.documents)


def made(data, tokens, seed=0):
    return make_validation(data, tokens, FORMATS, "float32", seed)


def judged(data):
    """Held-out judgements of the validation split: query text to document id to gain."""
    found = {}
    for row in np.flatnonzero(data.task.in_part("validation")):
        query = data.records.queries[data.records.query[row]]
        document = data.records.document_ids[data.records.document[row]]
        found.setdefault(query, {})[document] = data.records.grade[row] - 1
    return found


def asked(data, found):
    return [data.texts.queries[row] for row in found.queries]


def test_figures_are_those_of_counting(model, data, tokens):
    found = made(data, tokens)
    gains, queries = judged(data), asked(data, found)
    assert sorted(queries) == sorted(gains) and len(queries) > 3
    assert len(found.catalogue.ids) == len(data.records.documents)  # all fit
    vectors = [model.encode(list(side)) for side in (queries, found.catalogue.texts)]
    measured = found(model)
    for stored in FORMATS:
        dimension, precision = stored.dimension, stored.precision
        sides = [side[:, :dimension] / np.linalg.norm(side[:, :dimension], axis=1, keepdims=True) for side in vectors]
        codec = CODECS[precision](sides[1][found.catalogue.order])  # what is learned depends on the order
        scores = sides[0] @ codec.decode(codec.encode(sides[1])).T
        recalls, ndcgs = [], []
        for query, row in zip(queries, scores, strict=True):
            order = sorted(zip(row.tolist(), found.catalogue.ids, strict=True), reverse=True)
            ranked = [gains[query].get(document, 0) for _, document in order[:10]]
            relevant = [gain for gain in gains[query].values() if gain >= 2]
            recalls.append(sum(gain >= 2 for gain in ranked) / len(relevant))
            ideal = sorted(gains[query].values(), reverse=True)
            found_gain, best_gain = (
                sum(gain / log2(rank + 2) for rank, gain in enumerate(side)) for side in (ranked, ideal)
            )
            ndcgs.append(found_gain / best_gain)
        assert 0 < np.mean(ndcgs) < 1
        assert measured[f"recall@10.{dimension}.{precision}"] == pytest.approx(np.mean(recalls), abs=1e-9)
        assert measured[f"ndcg@10.{dimension}.{precision}"] == pytest.approx(np.mean(ndcgs), abs=1e-9)
    names = [f"{measure}.{stored.name}" for stored in FORMATS for measure in module.MEASURED]
    assert set(measured) == {"recall", "recall_error", *names}
    assert measured["recall"] == pytest.approx(np.mean([measured[name] for name in names if "recall" in name]))


@pytest.mark.parametrize("seed", range(4))
def test_a_small_budget_takes_queries_with_all_their_documents_and_fills_up(model, data, tokens, seed, monkeypatch):
    budget = 150
    monkeypatch.setattr(module, "BUDGET", budget)
    found, gains = made(data, tokens, seed), judged(data)
    queries = asked(data, found)
    length = {text: len(model.tokenizer(text)["input_ids"]) for text in found.catalogue.texts}
    text_of = dict(zip(data.records.document_ids, data.records.documents, strict=True))
    needed = {document for query in queries for document in gains[query]}
    assert set(queries) < set(gains)
    assert needed < set(found.catalogue.ids) < set(data.records.document_ids)
    assert sum(length[text_of[document]] for document in needed) < budget / 2
    longest = max(tokens.lengths)
    assert budget - longest < sum(length.values()) <= budget
    assert [data.texts.documents[row - len(data.texts.queries)] for row in found.documents] == list(
        found.catalogue.texts
    )
    wanted = [[gains[query].get(document, -0.001) for document in found.catalogue.ids] for query in queries]
    every = np.broadcast_to(np.arange(len(found.documents)), (len(queries), len(found.documents)))
    assert np.array_equal(found.judgements.gains(np.arange(len(queries)), every), np.round(1000 * np.array(wanted)))


def test_a_budget_that_no_query_fits_takes_one_query_and_its_documents(data, tokens, monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 1)
    found = made(data, tokens)
    (query,) = asked(data, found)
    assert sorted(found.catalogue.ids) == sorted(judged(data)[query])


def test_the_seed_decides_who_is_asked(data, tokens, monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 100)
    first, again = ([made(data, tokens, seed) for seed in range(6)] for _ in range(2))
    draws = [(found.queries.tolist(), found.documents.tolist()) for found in first]
    assert draws == [(found.queries.tolist(), found.documents.tolist()) for found in again]
    assert len({str(draw) for draw in draws}) > 3


def test_a_protocol_without_a_validation_split_has_none(data, tokens, tmp_path):
    published = from_table(tmp_path, "published", queries=QUERIES)
    assert published.records.queries == data.records.queries
    assert made(published, tokens) is None
