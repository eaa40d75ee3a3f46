"""One score from two: that of a document's words and that of its vector.

A convex combination of both scores, brought to one scale query by query, needs few judged queries to be fitted and
keeps how far apart two documents are, which reciprocal rank fusion forgets (Bruch, Gai & Ingber 2022).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 100  # documents of each leg that take part, or as many as are asked for if these are more
BEST, RANGE, RANKS = "best", "range", "ranks"
NORMALISATIONS = (BEST, RANGE, RANKS)


@dataclass(frozen=True)
class Fusion:
    """How the scores of the two legs become one.

    Attributes:
        weight: of the words, from 0, vectors only, to 1, words only.
        normalisation: `best`: words' scores are divided by the query's best one, and cosines stay as they are; `range`:
            both go from 0, the query's lowest candidate, to 1, its best; `ranks`: each leg gives 1 / (constant + rank)
            (Cormack, Clarke & Buettcher 2009).
        constant: of `ranks`.
    """

    weight: float = 0.5
    normalisation: str = BEST
    constant: int = 60

    def weighted(self, weight: float | None) -> Fusion:
        """The same with another weight of the words, 0 to 1; None: as it is."""
        return self if weight is None else replace(self, weight=weight)

    def fuse(self, words: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse the scores of each query's candidates.

        Args:
            words: (q, n) BM25's scores of n candidates; -inf fills up rows with fewer.
            vectors: (q, n) cosines, or estimates of them, of the same candidates.

        Returns:
            (q, n) fused scores, -inf where filled up.
        """
        filled = np.isneginf(words)
        left = self._scale(words.astype(np.float64), filled, is_words=True)
        right = self._scale(vectors.astype(np.float64), filled, is_words=False)
        fused = self.weight * left + (1 - self.weight) * right
        return np.where(filled, -np.inf, fused).astype(np.float32)

    def _scale(self, scores: NDArray[np.float64], filled: NDArray[np.bool_], is_words: bool) -> NDArray[np.float64]:
        """One leg's scores of the candidates, comparable with the other's."""
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
    """(q, n) ranks from 1; equal scores share the best of their ranks."""
    falling = -np.sort(-scores, axis=1)
    return np.stack([np.searchsorted(-row, -own, side="left") for row, own in zip(falling, scores, strict=True)]) + 1.0
