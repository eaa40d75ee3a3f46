"""Combines a document's BM25 score and its vector score into one fused score.

The fused score is a weighted average of the two scores, after both are normalised per query. Fitting its weight takes
few judged queries, and unlike reciprocal rank fusion it uses the scores and not only the ranks (Bruch, Gai & Ingber
2022).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 100  # best documents of each leg that are fused; more if more results are requested
BEST, RANGE, RANKS = "best", "range", "ranks"
NORMALISATIONS = (BEST, RANGE, RANKS)


@dataclass(frozen=True)
class Fusion:
    """How a document's BM25 score and its vector score are combined into the fused score.

    Attributes:
        weight: weight of the BM25 score, from 0 (vectors only) to 1 (BM25 only).
        normalisation: how scores are made comparable. `best` divides each BM25 score by the query's highest and keeps
            cosines; `range` scales the query's scores of each kind from 0 (lowest) to 1 (highest); `ranks` replaces
            every score by 1 / (constant + rank), as reciprocal rank fusion does (Cormack, Clarke & Buettcher 2009).
        constant: the constant that the normalisation `ranks` adds to a rank.
    """

    weight: float = 0.5
    normalisation: str = BEST
    constant: int = 60

    def weighted(self, weight: float | None) -> Fusion:
        """Return a copy in which BM25 has the given weight, from 0 to 1; None keeps the present weight."""
        return self if weight is None else replace(self, weight=weight)

    def fuse(self, words: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse the scores of each query's candidates.

        Args:
            words: (q, n) BM25 scores of up to n candidates for each of q queries; -inf marks unused places.
            vectors: (q, n) cosines, or estimates of cosines, of the same candidates.

        Returns:
            (q, n) fused scores, -inf in unused places.
        """
        filled = np.isneginf(words)
        left = self._scale(words.astype(np.float64), filled, is_words=True)
        right = self._scale(vectors.astype(np.float64), filled, is_words=False)
        fused = self.weight * left + (1 - self.weight) * right
        return np.where(filled, -np.inf, fused).astype(np.float32)

    def _scale(self, scores: NDArray[np.float64], filled: NDArray[np.bool_], is_words: bool) -> NDArray[np.float64]:
        """Normalise each query's BM25 scores (`is_words`) or cosines, so that the two kinds become comparable."""
        scaled: NDArray[np.float64] = np.where(filled, 0.0, scores)
        best = np.where(filled, -np.inf, scores).max(axis=1, keepdims=True, initial=-np.inf)
        if self.normalisation == RANKS:
            scaled = 1 / (self.constant + _rank(np.where(filled, -np.inf, scores)))
        elif self.normalisation == RANGE:
            lowest = np.where(filled, np.inf, scores).min(axis=1, keepdims=True, initial=np.inf)
            scaled = (scaled - lowest) / np.where(best > lowest, best - lowest, 1.0)
        elif is_words:
            scaled /= np.where(best > 0, best, 1.0)
        return scaled


UNFITTED = Fusion()


def _rank(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the rank of each of a query's n scores, 1 for the highest; equal scores share the best of their ranks."""
    falling = -np.sort(-scores, axis=1)
    return np.stack([np.searchsorted(-row, -own, side="left") for row, own in zip(falling, scores, strict=True)]) + 1.0
