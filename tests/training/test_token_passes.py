"""Oracles: the model's own preprocessing of each text alone and its own `encode`; every contiguous split of few texts.

Named so because tests/vectors has a test_tokens.py.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from judged import by_hand
from torch.nn import functional

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training import token_passes as module
from nestvec.training.token_passes import Tokens, encode_tokens, plan_passes, tokenise_texts

TEXTS = [
    *by_hand().texts.queries,
    *by_hand().texts.documents,
    "",
    "naïve café №1",
    "a screwdriver with a very long description " * 60,
]
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=9)


@pytest.fixture(scope="module")
def model():
    return load_model(find_model("all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def tokens(model):
    return tokenise_texts(model, TEXTS, [])


@pytest.fixture(scope="module")
def encoded(model):
    return model.encode(TEXTS, batch_size=4, normalize_embeddings=True)


def ids_of(tokens):
    return [tokens.ids[first:end].tolist() for first, end in zip(tokens.starts, tokens.starts[1:], strict=False)]


def test_tokens_are_what_the_model_reads_of_each_text_alone(model, tokens):
    assert ids_of(tokens) == [model.preprocess([text])["input_ids"][0].tolist() for text in TEXTS]
    assert tokens.lengths.tolist() == [len(ids) for ids in ids_of(tokens)]
    assert tokens.lengths[-1] == model.max_seq_length == 256
    assert tokens.padding == model.tokenizer.pad_token_id


def test_a_lower_limit_of_the_model_is_kept(model, tokens):
    model.max_seq_length = 10
    try:
        cut = tokenise_texts(model, TEXTS, [])
    finally:
        model.max_seq_length = 256
    assert cut.lengths.tolist() == np.minimum(tokens.lengths, 10).tolist()


def test_texts_tokenised_in_parts_are_the_same(model, tokens, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    found = tokenise_texts(model, TEXTS, [])
    assert len(TEXTS) > 2 * 4
    assert ids_of(found) == ids_of(tokens)


def test_no_texts_are_no_tokens(model):
    found = tokenise_texts(model, [], [])
    assert found.lengths.tolist() == found.ids.tolist() == []
    assert found.starts.tolist() == [0]


@pytest.mark.parametrize(
    ("rows", "ids", "mask"),
    [
        ([2, 0], [[8, 9, 10], [5, 6, 1]], [[1, 1, 1], [1, 1, 0]]),
        ([1], [[7]], [[1]]),
        ([1, 0, 1], [[7, 1], [5, 6], [7, 1]], [[1, 0], [1, 1], [1, 0]]),
    ],
)
def test_padding(rows, ids, mask):
    texts = Tokens(np.arange(5, 11, dtype=np.int32), np.array([0, 2, 3, 6]), padding=1, excluded=np.zeros(3, np.int64))
    found = texts.pad_batch(np.array(rows))
    assert found["input_ids"].tolist() == ids
    assert found["attention_mask"].tolist() == mask
    assert {tensor.dtype for tensor in found.values()} == {torch.int64}


def cost(lengths, parts, overhead):
    return sum(overhead + len(part) * max(lengths[place] for place in part) for part in parts)


@given(LENGTHS, st.integers(0, 100))
def test_the_cut_costs_least_of_all_contiguous_ones(lengths, overhead):
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    least = min(
        cost(lengths, [order[first:end] for first, end in zip((0, *cuts), (*cuts, len(order)), strict=True)], overhead)
        for count in range(len(order))
        for cuts in combinations(range(1, len(order)), count)
    )
    found = [part.tolist() for part in plan_passes(np.array(lengths), overhead)]
    assert cost(lengths, found, overhead) == least
    ordered = [lengths[place] for part in found for place in part]
    assert ordered == sorted(lengths)  # shortest first


@given(st.lists(st.integers(1, 256), min_size=1, max_size=80))
def test_every_text_is_in_one_pass_and_no_cut_costs_more_than_none(lengths):
    found = [part.tolist() for part in plan_passes(np.array(lengths))]
    assert sorted(place for part in found for place in part) == list(range(len(lengths)))
    assert cost(lengths, found, module._OVERHEAD) <= module._OVERHEAD + len(lengths) * max(lengths)


def test_passes_of_hand_made_lengths():
    assert [part.tolist() for part in plan_passes(np.full(7, 30))] == [list(range(7))]
    assert [part.tolist() for part in plan_passes(np.array([200, 10, 200, 10, 11]))] == [[1, 3, 4], [0, 2]]
    assert [part.tolist() for part in plan_passes(np.array([200, 10, 200, 10, 11]), overhead=10_000)] == [
        [1, 3, 4, 0, 2]
    ]
    assert plan_passes(np.empty(0, dtype=np.int64)) == []


def test_vectors_of_the_passes_are_the_models(model, tokens, encoded):
    groups = plan_passes(tokens.lengths)
    assert len(groups) > 2
    with torch.inference_mode():
        parts = [model.eval()(tokens.pad_batch(group))["sentence_embedding"] for group in groups]
    found = functional.normalize(torch.cat(parts)[np.argsort(np.concatenate(groups))])
    assert np.allclose(found.numpy(), encoded, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_encoded_tokens_are_the_models_vectors_and_its_mode_stays(model, tokens, encoded, training, monkeypatch):
    monkeypatch.setattr(module, "_ENCODED", 3)
    rows = np.array([7, 2, 18, 2, 0, 11, 19])
    model.train(training)
    found = encode_tokens(model, tokens, rows, "float32")
    assert model.training is training
    assert found.dtype == np.float32
    assert np.allclose(found, encoded[rows], atol=1e-5)


def test_bfloat16_is_used_where_asked_for(model, tokens, encoded):
    rows = np.arange(6)
    found = encode_tokens(model, tokens, rows, "bfloat16")
    assert 1e-4 < np.abs(found - encoded[rows]).max() < 2e-2
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
