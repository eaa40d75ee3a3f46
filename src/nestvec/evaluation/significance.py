"""Significance of differences: bootstrap intervals, conservative lower bounds, randomisation tests, Holm's correction.

All intervals of a split use the same resamples, so that all differences are paired by query. Queries with the same text
are drawn together. Randomness comes from the generator that the caller passes.

If queries were measured in folds, for each of which a model was trained, each result is computed over the queries and
over the folds' means, and the more cautious of both is returned: the wider interval, the lower bound, the lower
probability or the larger p-value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from nestvec.processors import map_in_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.fold_means import FoldMeans

LEVEL = 0.95
WORST = -1.0  # the largest possible loss of one query, for a metric between 0 and 1
_SAME = 1e-9  # smaller differences are rounding errors
_ROWS = 500  # resamples in memory at a time


@dataclass(frozen=True)
class Interval:
    """A mean over queries with the two ends of its confidence interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Resamples of the queries of one split (Efron 1979; percentile intervals).

    Args:
        queries: the number of queries, at least 1.
        resamples: the number of resamples to draw.
        rng: the generator of the draws.
        groups: a label for each query; queries with the same label are drawn together. None draws each query alone.
        folds: the folds in which the queries were measured; None if one training measured all queries.
    """

    def __init__(
        self,
        queries: int,
        resamples: int,
        rng: np.random.Generator,
        groups: NDArray[np.int64] | None = None,
        folds: FoldMeans | None = None,
    ) -> None:
        self.queries, self._folds = queries, folds
        self._group = np.arange(queries) if groups is None else np.unique(groups, return_inverse=True)[1]
        self._sizes = np.bincount(self._group).astype(np.float64)
        drawn = len(self._sizes)
        # how often each is drawn; a draw of n out of n with replacement is a multinomial
        self._weights = rng.multinomial(drawn, np.full(drawn, 1 / drawn), size=resamples).astype(np.float32)
        [self._bounds] = rng.spawn(1)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the mean of each column (rows are queries) in each resample; returns a row per resample."""
        return self._resample(self._group_sums(values.reshape(self.queries, -1))) / self._totals[:, None]

    def interval(self, values: NDArray[np.float64], level: float = LEVEL) -> Interval:
        """Compute the mean of the queries' values with its two-sided confidence interval, 95 % by default."""
        return self.intervals(values[:, None], level)[0]

    def intervals(self, values: NDArray[np.float64], level: float = LEVEL) -> list[Interval]:
        """Compute the mean and two-sided confidence interval, 95 % by default, of each column of queries' values."""
        tail, mean = (1 - level) / 2, values.mean(axis=0)
        low, high = np.quantile(self.means(values), [tail, 1 - tail], axis=0)
        if self._folds:
            reach = self._folds.reach(values, 1 - tail)
            least = 0.0 if values.min() >= 0 else WORST  # values from 0 to 1, or differences of such
            low, high = np.minimum(low, np.maximum(mean - reach, least)), np.maximum(high, np.minimum(mean + reach, 1))
        return [Interval(*map(float, entry)) for entry in zip(mean, low, high, strict=True)]

    def lower_bound(self, values: NDArray[np.float64], level: float = LEVEL, worst: float = WORST) -> float:
        """Compute a one-sided lower bound of the mean difference at the given confidence.

        This is Gaffke's bound: a query with the worst possible value is added, and a quantile is taken of the mean
        under random weights of the queries. A bootstrap ignores losses that no query of the split happened to show;
        this bound allows for them. If every query loses all or nothing, it equals Clopper and Pearson's exact bound.
        If queries are drawn in groups, a group of average size is added instead of a query. If a few groups are many
        times larger than the rest, the sample can lack a large group that loses everything, and the true confidence
        is lower than `level`. Source: Gaffke 2005; Learned-Miller & Thomas 2020.

        Args:
            values: (q,) differences, none below `worst`.
            level: the confidence, between 0.5 and 1.
            worst: the lowest possible difference of one query.

        Returns:
            The bound, at least `worst`.
        """
        bound = float(np.quantile(self._weighted_means(values, worst), 1 - level))
        if self._folds:
            bound = min(bound, float(values.mean() - self._folds.reach(values[:, None], level)[0]))
        return max(bound, worst)

    def chance_above(self, values: NDArray[np.float64], limit: float, worst: float = WORST) -> float:
        """Estimate the chance that the true mean difference exceeds a limit.

        This is a Bayesian bootstrap (Rubin 1981): the share of random weightings of the queries whose mean exceeds the
        limit. A query with the worst possible value is added for losses that no query happened to show. `lower_bound`
        at some confidence lies above the limit exactly if the chance is at least that confidence, up to interpolation.
        benchmarks/choices.py measures how often such chances come true.

        Args:
            values: (q,) differences, none below `worst`.
            limit: the limit that the mean should exceed.
            worst: the lowest possible difference of one query.

        Returns:
            The chance, from 0 to 1.
        """
        chance = float((self._weighted_means(values, worst) > limit).mean())
        return min(chance, self._folds.chance_above(values, limit)) if self._folds else chance

    def _weighted_means(self, values: NDArray[np.float64], worst: float) -> NDArray[np.float64]:
        """Compute the mean for each set of random weights of the queries and an added query with the worst value."""
        sums = np.append(self._group_sums(values[:, None])[:, 0], worst * self._sizes.mean())
        return (
            np.concatenate(map_in_threads(lambda drawn: drawn @ sums, self._dirichlet_weights)) / self._dirichlet_totals
        )

    @cached_property
    def _dirichlet_weights(self) -> list[NDArray[np.float32]]:
        """Random weights for every group of queries and the added worst group: a row per set of weights, in blocks.

        A row is not scaled to the sum 1; `_dirichlet_totals` holds what to divide by.
        """
        shape = len(self._sizes) + 1
        starts = range(0, len(self._weights), _ROWS)
        rows = [min(_ROWS, len(self._weights) - first) for first in starts]
        return [self._bounds.standard_exponential((count, shape), dtype=np.float32) for count in rows]

    @cached_property
    def _dirichlet_totals(self) -> NDArray[np.float64]:
        """The sum of each set of random weights, in which a group's weight counts once for each of its queries."""
        sizes = np.append(self._sizes, self._sizes.mean())
        return np.concatenate([drawn @ sizes for drawn in self._dirichlet_weights])

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        """The number of queries in each resample, which varies because whole groups of queries are drawn."""
        return self._resample(self._sizes)

    def _resample(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up the groups' sums in each resample, a group as often as it was drawn; returns a row per resample."""
        starts = range(0, len(self._weights), _ROWS)
        return np.concatenate([self._weights[start : start + _ROWS].astype(np.float64) @ sums for start in starts])

    def _group_sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up each column over the queries of each group; returns the values if every group is one query."""
        if len(self._sizes) == self.queries and bool((np.diff(self._group) == 1).all()):
            return values
        sums = np.zeros((len(self._sizes), values.shape[1]))
        np.add.at(sums, self._group, values)
        return sums


@dataclass(frozen=True)
class Outcomes:
    """How many queries the first of two systems wins, ties and loses against the second."""

    wins: int
    ties: int
    losses: int


def count_outcomes(difference: NDArray[np.float64]) -> Outcomes:
    """Count the queries with a positive, zero and negative difference; differences up to 1e-9 count as zero."""
    wins, losses = int((difference > _SAME).sum()), int((difference < -_SAME).sum())
    return Outcomes(wins, len(difference) - wins - losses, losses)


def effect_size(difference: NDArray[np.float64]) -> float:
    """Compute Cohen's d (1988) of the queries' paired differences: mean / standard deviation; 0 if all are equal."""
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    return float(difference.mean()) / spread if spread > _SAME else 0.0


def queries_needed(
    difference: NDArray[np.float64], margin: float, level: float = LEVEL, worst: float = WORST
) -> int | None:
    """Estimate how many queries are needed until `lower_bound` shows that the loss is smaller than the margin.

    The estimate assumes further queries like the measured ones. It is rather too high, because it counts the query with
    the worst value, which the bound adds, at its highest cost: with so many queries the test passes at least every
    other time.

    Args:
        difference: (q,) differences measured so far.
        margin: how much may be lost, above 0.
        level: the confidence.
        worst: the lowest possible difference of one query.

    Returns:
        The number of queries; None if the mean is not above minus the margin.
    """
    mean, spread = float(difference.mean()), float(difference.std())
    room = mean + margin
    if room <= 0:
        return None
    unseen = -np.log(1 - level) * (mean - worst)
    z = NormalDist().inv_cdf(level)
    # room = z s / sqrt(n) + unseen / n, a square equation in 1 / sqrt(n)
    root = (-z * spread + np.sqrt((z * spread) ** 2 + 4 * unseen * room)) / (2 * unseen)
    return int(np.ceil(1 / root**2))


def queries_to_show(difference: NDArray[np.float64]) -> int | None:
    """Estimate how many queries like these put the 95 % interval of the mean above 0; None if the mean is not."""
    mean, spread = float(difference.mean()), float(difference.std())
    if mean <= 0:
        return None
    return max(1, int(np.ceil((NormalDist().inv_cdf((1 + LEVEL) / 2) * spread / mean) ** 2)))


def randomisation_test(
    difference: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    folds: FoldMeans | None = None,
) -> float:
    """Compute the two-sided p-value of a paired difference: how often random signs give a mean at least as far from 0.

    Source: Smucker, Allan & Carterette 2007; (b + 1) / (m + 1) after Phipson & Smyth 2010, so never 0.

    Args:
        difference: for each query, the first system's value minus the second's.
        resamples: m, the number of random sign vectors.
        rng: the generator of the signs.
        groups: a label for each query; queries with the same label get the same sign. None draws a sign for each.
        folds: the folds in which the queries were measured; None if one training measured all queries.

    Returns:
        The p-value, above 0 and at most 1.
    """
    by_folds = folds.test(difference) if folds else 0.0
    if groups is not None:
        difference = np.bincount(np.unique(groups, return_inverse=True)[1], difference).astype(np.float64)
    moved = difference[difference != 0]
    if len(moved) == 0:
        return 1.0
    observed = abs(moved.sum())
    extreme = 0
    for first in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - first)
        signs = rng.integers(0, 2, size=(rows, len(moved)), dtype=np.int8) * 2.0 - 1
        extreme += int((np.abs(signs @ moved) >= observed - 1e-12).sum())
    return max(by_folds, (extreme + 1) / (resamples + 1))


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons by Holm's step-down method.

    Source: Holm 1979.

    Args:
        p: m p-values.

    Returns:
        m corrected p-values in the same order, each at least the original and at most 1.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(np.array(p)[order] * np.arange(len(p), 0, -1), 1.0)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(stepped)
    return [float(value) for value in corrected]
