"""Oracle: each normalisation by its definition, a candidate at a time."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.lexical.fusion import BEST, RANGE, RANKS, Fusion

WORDS = np.array([[4.0, 0.0, 2.0, 1.0], [0.0, 0.0, 0.0, -np.inf]], dtype=np.float32)
VECTORS = np.array([[0.2, 0.9, 0.5, -0.1], [0.3, 0.1, 0.2, 0.0]], dtype=np.float32)


def by_hand(fusion, words, vectors):
    words, vectors = words.tolist(), vectors.tolist()
    if fusion.normalisation == BEST:
        best = max(words)
        words = [word / best if best > 0 else 0.0 for word in words]
    elif fusion.normalisation == RANGE:
        words, vectors = (
            [(score - min(leg)) / ((max(leg) - min(leg)) or 1.0) for score in leg] for leg in (words, vectors)
        )
    else:
        words, vectors = (
            [1 / (fusion.constant + 1 + sum(other > score for other in leg)) for score in leg]
            for leg in (words, vectors)
        )
    return [fusion.weight * word + (1 - fusion.weight) * vector for word, vector in zip(words, vectors, strict=True)]


@pytest.mark.parametrize("normalisation", [BEST, RANGE, RANKS])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_scores_are_those_of_the_definition(normalisation, weight):
    fusion = Fusion(weight, normalisation, 20)
    fused = fusion.fuse(WORDS, VECTORS)
    assert fused.dtype == np.float32
    assert fused[0] == pytest.approx(by_hand(fusion, WORDS[0], VECTORS[0]), abs=1e-6)
    assert fused[1, :3] == pytest.approx(by_hand(fusion, WORDS[1, :3], VECTORS[1, :3]), abs=1e-6)
    assert fused[1, 3] == -np.inf  # filled up


def test_a_query_without_a_known_word_is_ranked_by_its_vector_alone():
    fused = Fusion(0.5).fuse(np.zeros((1, 3), np.float32), VECTORS[:1, :3])
    assert np.argsort(-fused[0]).tolist() == [1, 2, 0]
