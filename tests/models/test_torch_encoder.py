"""Oracle: SentenceTransformer.encode on the same texts, one call, its own order and batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nestvec.models import token_batches
from nestvec.models import torch_encoder as module
from nestvec.models.prompts import QUERY
from nestvec.models.torch_encoder import StockEncoder, open_torch
from nestvec.vectors.cut import prefix

TEXTS = [
    "deck screw 3 in",
    "a",
    "cordless hammer drill 18 v with two batteries, charger and case, for masonry, wood and steel",
    "écrou M8 inox \U0001f529",
    "deck screw 3 in",
    "word " * 300,  # longer than the model reads
    "!",
    "wall paint white 10 l",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(minilm_folder):
    """As what is measured is encoded: float32, full width."""
    return open_torch(minilm_folder, None, "float32")


@pytest.fixture(scope="module")
def vectors(encoder):
    return encoder.encode(TEXTS, QUERY)


@pytest.fixture(scope="module")
def peer(minilm_folder):
    return SentenceTransformer(str(minilm_folder.path))


def cosines(a, b):
    return (a.astype(float) * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_rows_are_unit_length_float32(vectors):
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-6)


def test_every_row_is_what_sentence_transformers_gives_for_its_text(vectors, peer):
    theirs = peer.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert cosines(vectors, theirs).min() >= 0.99999
    alone = np.stack([peer.encode(text, normalize_embeddings=True, show_progress_bar=False) for text in TEXTS[:3]])
    assert cosines(vectors[:3], alone).min() >= 0.99999
    assert vectors == pytest.approx(theirs, abs=1e-6)


def test_a_prefix_is_what_sentence_transformers_truncates_to(vectors, peer):
    theirs = peer.encode(TEXTS, normalize_embeddings=True, truncate_dim=48, show_progress_bar=False)
    assert cosines(prefix(vectors, 48), theirs).min() >= 0.99999


def test_neither_order_nor_batches_change_a_row_and_progress_is_reported(encoder, vectors, monkeypatch):
    monkeypatch.setattr(module, "_TOKENS", {"cpu": 40})
    order = np.random.default_rng(0).permutation(len(TEXTS))
    seen: list[int] = []
    again = encoder.encode([TEXTS[row] for row in order], QUERY, seen.append)
    assert cosines(again, vectors[order]).min() >= 0.99999
    assert sum(seen) == len(TEXTS) and len(seen) > 2


def test_texts_beyond_a_piece_keep_their_rows(encoder, vectors, monkeypatch):
    monkeypatch.setattr(token_batches, "_PIECE", 3)
    assert encoder.encode(TEXTS, QUERY) == pytest.approx(vectors, abs=1e-6)


def test_the_same_texts_give_the_same_bits(encoder, vectors):
    assert np.array_equal(encoder.encode(TEXTS, QUERY), vectors)


def test_no_text_gives_no_row(encoder):
    assert encoder.encode([], QUERY).shape == (0, 384)


class CountingTokenizer:
    """A tokenizer that notes every text that it is given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.seen = tokenizer, []

    def encode_batch_fast(self, texts):
        self.seen += texts
        return self.tokenizer.encode_batch_fast(texts)


def test_each_text_is_tokenised_once_and_its_tokens_are_counted_on_the_way(encoder, vectors, peer, monkeypatch):
    counting = CountingTokenizer(encoder._reader.tokenizer)
    monkeypatch.setattr(encoder, "_reader", replace(encoder._reader, tokenizer=counting))
    monkeypatch.setattr(encoder._model, "preprocess", None)  # the library's own way to a tokenizer
    token_counts = np.zeros(len(TEXTS), dtype=np.int64)
    assert np.array_equal(encoder.encode(TEXTS, QUERY, token_counts=token_counts), vectors)
    assert counting.seen == TEXTS
    assert token_counts.tolist() == [int(peer.preprocess([text])["attention_mask"].sum()) for text in TEXTS]


def test_the_library_tokenises_each_text_once_too(minilm, vectors, monkeypatch):
    monkeypatch.setattr(module, "_TEXTS", 3)
    real, seen = minilm.preprocess, []

    def preprocess(texts, **options):
        seen.append(list(texts))
        return real(texts, **options)

    monkeypatch.setattr(minilm, "preprocess", preprocess)
    token_counts, steps = np.zeros(len(TEXTS), dtype=np.int64), []
    found = StockEncoder(minilm, 384).encode(TEXTS, QUERY, steps.append, token_counts)
    assert found == pytest.approx(vectors, abs=1e-6)
    assert [text for batch in seen for text in batch] == sorted(TEXTS, key=len, reverse=True)  # sorted once
    assert [len(batch) for batch in seen] == steps == [3, 3, 2]
    assert token_counts.tolist() == [int(real([text])["attention_mask"].sum()) for text in TEXTS]
