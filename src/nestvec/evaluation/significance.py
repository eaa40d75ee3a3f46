"""Is it noise? Bootstrap intervals over queries, bounds that hold, paired randomisation tests, Holm's correction.

One matrix of resamples serves every interval of a split, so that all differences are paired by query. A query text that
is asked more than once is one draw. Randomness comes from the generator that the caller passes.

Where queries were measured in folds, each by a training of its own, every statement has to hold twice: over the
queries, and over the folds' means. The wider interval, the lower bound, the lower chance and the greater p-value count.
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
WORST = -1.0  # the largest loss that one query can show: all of a metric between 0 and 1
_SAME = 1e-9  # differences below this are float noise
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
        groups: (queries,) labels, the same for queries that are drawn together; None where each is for itself.
        folds: the trainings that measured the queries; None where one measured all.
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
        """(r, c) means of the resampled (q, c) values."""
        return self._resample(self._group_sums(values.reshape(self.queries, -1))) / self._totals[:, None]

    def interval(self, values: NDArray[np.float64], level: float = LEVEL) -> Interval:
        """The mean of (q,) values with its two-sided interval, of 95 % unless told."""
        return self.intervals(values[:, None], level)[0]

    def intervals(self, values: NDArray[np.float64], level: float = LEVEL) -> list[Interval]:
        """The means of (q, c) values with their two-sided intervals, of 95 % unless told."""
        tail, mean = (1 - level) / 2, values.mean(axis=0)
        low, high = np.quantile(self.means(values), [tail, 1 - tail], axis=0)
        if self._folds:
            reach = self._folds.reach(values, 1 - tail)
            least = 0.0 if values.min() >= 0 else WORST  # values from 0 to 1, or differences of such
            low, high = np.minimum(low, np.maximum(mean - reach, least)), np.maximum(high, np.minimum(mean + reach, 1))
        return [Interval(*map(float, entry)) for entry in zip(mean, low, high, strict=True)]

    def lower_bound(self, values: NDArray[np.float64], level: float = LEVEL, worst: float = WORST) -> float:
        """What the mean of differences exceeds with the given confidence, one-sided.

        Gaffke's bound: a quantile of the mean under random weights, with one further query that shows the worst there
        can be. A bootstrap knows nothing of a loss that no query of the split happened to show; this bound does. Where
        queries lose all or nothing it is Clopper and Pearson's exact one.
        Of groups, the further one is as large as they are on average: where few are many times as large as the rest,
        one of those that loses all can go unseen, and the bound holds less often than it says.
        Source: Gaffke 2005; Learned-Miller & Thomas 2020.

        Args:
            values: (q,) differences, none below `worst`.
            level: the confidence.
            worst: the lowest that the difference of one query can be.

        Returns:
            The bound, never below `worst`.
        """
        bound = float(np.quantile(self._weighted_means(values, worst), 1 - level))
        if self._folds:
            bound = min(bound, float(values.mean() - self._folds.reach(values[:, None], level)[0]))
        return max(bound, worst)

    def chance_above(self, values: NDArray[np.float64], limit: float, worst: float = WORST) -> float:
        """The chance that the true mean of differences exceeds a limit: the share of `lower_bound`'s draws above it.

        A Bayesian bootstrap (Rubin 1981) with one further query that shows the worst there can be, which stands for
        losses that no query happened to show. `lower_bound` exceeds the limit at a confidence exactly where the chance
        is at least that confidence, up to the quantile's interpolation. benchmarks/choices.py says how often claims of
        a chance come true.

        Args:
            values: (q,) differences, none below `worst`.
            limit: what the mean should exceed.
            worst: the lowest that the difference of one query can be.

        Returns:
            The chance, from 0 to 1.
        """
        chance = float((self._weighted_means(values, worst) > limit).mean())
        return min(chance, self._folds.chance_above(values, limit)) if self._folds else chance

    def _weighted_means(self, values: NDArray[np.float64], worst: float) -> NDArray[np.float64]:
        """(r,) means under random weights of the queries and of one further query that shows the worst."""
        sums = np.append(self._group_sums(values[:, None])[:, 0], worst * self._sizes.mean())
        return (
            np.concatenate(map_in_threads(lambda drawn: drawn @ sums, self._dirichlet_weights)) / self._dirichlet_totals
        )

    @cached_property
    def _dirichlet_weights(self) -> list[NDArray[np.float32]]:
        """Random weights for every group and the further one, in blocks of rows; only their ratios count."""
        shape = len(self._sizes) + 1
        starts = range(0, len(self._weights), _ROWS)
        rows = [min(_ROWS, len(self._weights) - first) for first in starts]
        return [self._bounds.standard_exponential((count, shape), dtype=np.float32) for count in rows]

    @cached_property
    def _dirichlet_totals(self) -> NDArray[np.float64]:
        """(r,) what the random weights sum to, each group's counted once for every query in it."""
        sizes = np.append(self._sizes, self._sizes.mean())
        return np.concatenate([drawn @ sizes for drawn in self._dirichlet_weights])

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        """(r,) how many queries each resample draws."""
        return self._resample(self._sizes)

    def _resample(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(r, …) what each resample makes of (g, …) sums over its groups."""
        starts = range(0, len(self._weights), _ROWS)
        return np.concatenate([self._weights[start : start + _ROWS].astype(np.float64) @ sums for start in starts])

    def _group_sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(g, c) sums of (q, c) values over each group; the values themselves where each is for itself."""
        if len(self._sizes) == self.queries and bool((np.diff(self._group) == 1).all()):
            return values
        sums = np.zeros((len(self._sizes), values.shape[1]))
        np.add.at(sums, self._group, values)
        return sums


@dataclass(frozen=True)
class Outcomes:
    """For how many queries the first of two is better, as good, and worse."""

    wins: int
    ties: int
    losses: int


def count_outcomes(difference: NDArray[np.float64]) -> Outcomes:
    """Wins, ties and losses of (q,) differences; what float noise makes of a tie is one."""
    wins, losses = int((difference > _SAME).sum()), int((difference < -_SAME).sum())
    return Outcomes(wins, len(difference) - wins - losses, losses)


def effect_size(difference: NDArray[np.float64]) -> float:
    """Cohen's d of (q,) paired differences (1988): their mean over their deviation; 0 where they do not differ."""
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    return float(difference.mean()) / spread if spread > _SAME else 0.0


def queries_needed(
    difference: NDArray[np.float64], margin: float, level: float = LEVEL, worst: float = WORST
) -> int | None:
    """About how many queries like these it would take until `lower_bound` lies above minus the margin.

    The bound lies below the mean by the spread of the mean and by what the unseen costs, which is exact where nothing
    moves and less where much does. So it is an estimate that errs towards more: with as many queries the test passes
    every other time or more often.

    Args:
        difference: (q,) seen so far.
        margin: above 0.
        level: the confidence.
        worst: the lowest that the difference of one query can be.

    Returns:
        The number; None where the mean itself is no better than minus the margin.
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
    """About how many such queries put their mean's 95 % interval above 0; None where the mean is not above 0."""
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
    """Two-sided p-value of a paired difference: how often random signs give a mean at least as far from 0.

    Source: Smucker, Allan & Carterette 2007; (b + 1) / (m + 1) after Phipson & Smyth 2010, so never 0.

    Args:
        difference: (q,) a minus b, per query.
        resamples: m, sign flips to draw.
        rng: decides the signs.
        groups: (q,) labels, the same for queries whose signs go together; None where each is for itself.
        folds: the trainings that measured the queries; None where one measured all.

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
