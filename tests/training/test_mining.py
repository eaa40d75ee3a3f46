"""Oracle: every document compared with every query, by the model's own `encode`; cache files changed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from judged import CLAW, HACKSAW, HAMMER, LEVEL, SHOVEL, VOLTS, by_hand

from nestvec.evaluation.metrics import UNJUDGED, Judgements
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training import mining
from nestvec.training.mining import mine_negatives
from nestvec.training.token_passes import tokenise_texts

WIDE = 0.95


@pytest.fixture(scope="module")
def model():
    return load_model(find_model("all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def data():
    return by_hand()


@pytest.fixture(scope="module")
def mined_from(model, data):
    """What is mined from, for rows of `graded`."""
    return data.examples("graded"), tokenise_texts(model, data.texts.queries, data.texts.documents)


@pytest.fixture(scope="module")
def similarities(model, data):
    queries, documents = (model.encode(list(side)) for side in (data.texts.queries, data.texts.documents))
    return queries @ documents.T


def by_comparing(examples, similarities, margin, most=50):
    """Unjudged documents that are not too similar, most similar first, of the `2 * most` most similar."""
    trained = sorted({document for row in examples.members for document in row})
    gain = examples.judgements.gains(
        np.arange(len(similarities)), np.broadcast_to(np.arange(similarities.shape[1]), similarities.shape)
    )
    found = {}
    for query in set(examples.query.tolist()):
        ranked = sorted(trained, key=lambda document: -similarities[query, document])[: 2 * most]
        relevant = [document for document in trained if gain[query, document] >= examples.judgements.relevant_from]
        limit = margin * max(similarities[query, relevant])
        fit = [
            document
            for document in ranked
            if gain[query, document] == UNJUDGED and similarities[query, document] <= limit
        ]
        if fit:
            found[query] = fit[:most]
    return found


@pytest.mark.parametrize("margin", [WIDE, 0.5])
def test_negatives_are_the_unjudged_documents_within_the_margin(model, mined_from, similarities, margin):
    found = mine_negatives(model, *mined_from, margin, "float32")
    assert found == by_comparing(mined_from[0], similarities, margin)
    assert found != by_comparing(mined_from[0], similarities, 9.0)  # the margin shuts some out
    assert len(found) > 1
    known = {(query, document) for query, row in found.items() for document in row}
    for query, document in known:
        assert mined_from[0].judgements.gains(np.array([query]), np.array([[document]])) == UNJUDGED
    assert LEVEL not in {document for _, document in known}  # judged for held-out queries only


def test_no_more_than_the_most_are_kept(model, mined_from, similarities, monkeypatch):
    monkeypatch.setattr(mining, "MOST_NEGATIVES", 2)
    found = mine_negatives(model, *mined_from, WIDE, "float32")
    assert found == by_comparing(mined_from[0], similarities, WIDE, most=2)
    assert max(map(len, found.values())) == 2


def test_a_judged_document_is_never_mined_whatever_its_grade(model, data, mined_from):
    examples, *rest = mined_from
    before = mine_negatives(model, *mined_from, WIDE, "float32")
    assert SHOVEL in before[HAMMER]
    judgements = Judgements(
        np.append(examples.judgements.keys // len(data.texts.documents), HAMMER),
        np.append(examples.judgements.keys % len(data.texts.documents), SHOVEL),
        np.append(examples.judgements.values, 0),
        (len(data.texts.queries), len(data.texts.documents)),
        examples.judgements.relevant_from,
    )
    after = mine_negatives(model, replace(examples, judgements=judgements), *rest, WIDE, "float32")
    assert after == {**before, HAMMER: [document for document in before[HAMMER] if document != SHOVEL]}


DOCTORED = {VOLTS: [CLAW, HACKSAW]}


def doctor(path):
    """Put something else into a cache file, to see whether it is read."""
    np.savez(path, query=np.array([VOLTS, VOLTS]), document=np.array([CLAW, HACKSAW]))


def test_the_same_weights_read_the_cache_and_others_do_not(model, mined_from, similarities, tmp_path):
    found = mine_negatives(model, *mined_from, WIDE, "float32", tmp_path)
    assert found == by_comparing(mined_from[0], similarities, WIDE)
    (kept,) = tmp_path.iterdir()
    assert mine_negatives(model, *mined_from, WIDE, "float32", tmp_path) == found
    doctor(kept)
    assert mine_negatives(model, *mined_from, WIDE, "float32", tmp_path) == DOCTORED
    weights = next(iter(model.parameters()))
    before = weights.detach().clone()
    try:
        with torch.no_grad():
            weights[5, 7] += 1e-6  # of a token that no text has
        assert mine_negatives(model, *mined_from, WIDE, "float32", tmp_path) == found
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        with torch.no_grad():
            weights.copy_(before)
    assert mine_negatives(model, *mined_from, WIDE, "float32", tmp_path) == DOCTORED


def other_margin(data, mined_from):
    return *mined_from, 0.5, "float32"


def other_compute(data, mined_from):
    return *mined_from, WIDE, "bfloat16"


def other_texts(data, mined_from):
    examples, tokens = mined_from
    ids = tokens.ids.copy()
    ids[1] += 1
    return examples, replace(tokens, ids=ids), WIDE, "float32"


def other_rows(data, mined_from):
    examples, *rest = mined_from
    return replace(examples, members=[*examples.members[:-1], [SHOVEL]]), *rest, WIDE, "float32"


def other_grades(data, mined_from):
    """The same pairs are judged; one of them otherwise, so that the margin is another."""
    examples, *rest = mined_from
    keys, documents = examples.judgements.keys, len(data.texts.documents)
    values = np.where(keys == HAMMER * documents + CLAW, 0, examples.judgements.values)
    shape = len(data.texts.queries), documents
    judgements = Judgements(keys // documents, keys % documents, values, shape, examples.judgements.relevant_from)
    return replace(examples, judgements=judgements), *rest, WIDE, "float32"


@pytest.mark.parametrize("changed", [other_margin, other_compute, other_texts, other_rows, other_grades])
def test_whatever_else_decides_is_in_the_caches_key(model, data, mined_from, tmp_path, monkeypatch, changed):
    vectors = np.eye(len(data.texts.queries) + len(data.texts.documents), 384, dtype=np.float32)  # any will do
    monkeypatch.setattr(mining, "encode_tokens", lambda model, tokens, rows, compute: vectors[rows])
    mine_negatives(model, *mined_from, WIDE, "float32", tmp_path)
    (kept,) = tmp_path.iterdir()
    doctor(kept)
    assert mine_negatives(model, *mined_from, WIDE, "float32", tmp_path) == DOCTORED
    assert mine_negatives(model, *changed(data, mined_from), tmp_path) != DOCTORED
