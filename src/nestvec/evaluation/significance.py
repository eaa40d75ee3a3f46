"""Is it noise? Bootstrap intervals over queries, paired randomisation tests, and Holm's correction.

One matrix of resamples serves every interval of a split, so that all differences are paired by query. Randomness comes
from the generator that the caller passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
_ROWS = 500  # resamples held at a time


@dataclass(frozen=True)
class Interval:
    """A mean over queries with the ends of its two-sided interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Resamples of the queries of one split (Efron 1979; percentile intervals).

    Args:
        queries: how many there are, at least 1.
        resamples: how often to draw them anew.
        rng: decides the draws.
    """

    def __init__(self, queries: int, resamples: int, rng: np.random.Generator) -> None:
        self.queries = queries
        # how often each query is drawn; a draw of n out of n with replacement is a multinomial
        self._weights = rng.multinomial(queries, np.full(queries, 1 / queries), size=resamples).astype(np.float32)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(r, c) means of the resampled (q, c) values."""
        columns = values.reshape(self.queries, -1)
        parts = [
            self._weights[first : first + _ROWS].astype(np.float64) @ columns
            for first in range(0, len(self._weights), _ROWS)
        ]
        return np.concatenate(parts) / self.queries

    def interval(self, values: NDArray[np.float64]) -> Interval:
        """The mean of (q,) values with its 95 % interval."""
        return self.intervals(values[:, None])[0]

    def intervals(self, values: NDArray[np.float64]) -> list[Interval]:
        """The means of (q, c) values with their 95 % intervals."""
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(self.means(values), [tail, 1 - tail], axis=0)
        return [Interval(*map(float, entry)) for entry in zip(values.mean(axis=0), low, high, strict=True)]

    def lower_bound(self, values: NDArray[np.float64], level: float = LEVEL) -> float:
        """What the mean of (q,) values exceeds with the given confidence, one-sided."""
        return float(np.quantile(self.means(values)[:, 0], 1 - level))


def randomisation_test(difference: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> float:
    """Two-sided p-value of a paired difference: how often random signs give a mean at least as far from 0.

    Source: Smucker, Allan & Carterette 2007; (b + 1) / (m + 1) after Phipson & Smyth 2010, so never 0.

    Args:
        difference: (q,) a minus b, per query.
        resamples: m, sign flips to draw.
        rng: decides the signs.

    Returns:
        The p-value, above 0 and at most 1.
    """
    moved = difference[difference != 0]
    if len(moved) == 0:
        return 1.0
    observed = abs(moved.sum())
    extreme = 0
    for first in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - first)
        signs = rng.integers(0, 2, size=(rows, len(moved)), dtype=np.int8) * 2.0 - 1
        extreme += int((np.abs(signs @ moved) >= observed - 1e-12).sum())
    return (extreme + 1) / (resamples + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that hold for the whole family at once.

    Source: Holm 1979.

    Args:
        p: m p-values.

    Returns:
        m corrected ones in the same order, none below its original, none above 1.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(np.array(p)[order] * np.arange(len(p), 0, -1), 1.0)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(stepped)
    return [float(value) for value in corrected]
