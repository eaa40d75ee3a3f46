"""Oracle: SentenceTransformer.encode on the same texts, one call, its own order and batches."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nestvec.models import encode as module
from nestvec.models.encode import encode
from nestvec.vectors.codecs import prefix

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
def vectors(minilm):
    return encode(minilm, TEXTS)


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
    assert vectors == pytest.approx(theirs, abs=1e-5)


def test_a_prefix_is_what_sentence_transformers_truncates_to(vectors, peer):
    theirs = peer.encode(TEXTS, normalize_embeddings=True, truncate_dim=48, show_progress_bar=False)
    assert cosines(prefix(vectors, 48), theirs).min() >= 0.99999


def test_neither_order_nor_steps_change_a_row_and_steps_are_reported(minilm, vectors, monkeypatch):
    monkeypatch.setattr(module, "_STEP", 3)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    seen: list[int] = []
    again = encode(minilm, [TEXTS[row] for row in order], seen.append)
    assert cosines(again, vectors[order]).min() >= 0.99999
    assert seen == [3, 3, 2]


def test_the_same_texts_give_the_same_bits(minilm, vectors):
    assert np.array_equal(encode(minilm, TEXTS), vectors)


def test_no_text_gives_no_row(minilm):
    assert encode(minilm, []).shape == (0, 384)
