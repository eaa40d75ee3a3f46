"""Finds the dip of a histogram of grades: the valley between the humps of relevant and not relevant records.

A valley counts as a dip if each side of it holds a fifth of the records, so that no tail is cut off. Resampling the
records shows how certain the dip is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANY = 0.6  # with a larger share of relevant records, systems are hard to tell apart
TAIL = 0.01  # a level with a smaller share of the records has no bar of its own; such tails are outside the range
_BINS = 20  # bars of continuous grades
_HUMP = 0.2  # least share of the records on either side of the valley
_SHALLOW = 0.02  # least depth of a valley, as a share of the lower hump
_RESAMPLES = 500


@dataclass(frozen=True)
class Dip:
    """A valley between two humps in the histogram of grades.

    Attributes:
        threshold: the threshold that the dip suggests.
        depth: how far the valley lies below the lower hump, as a share of that hump, 0 … 1.
        lower_hump: grade of the highest bar below the valley.
        valley: grade of the lowest bar between the two humps.
        upper_hump: grade of the highest bar above the valley.
        low: the threshold is below this in 2.5 % of the resampled histograms with a dip.
        high: the threshold is above this in 2.5 % of the resampled histograms with a dip.
        seen: share of the resampled histograms that have a dip.
    """

    threshold: float
    depth: float
    lower_hump: float
    valley: float
    upper_hump: float
    low: float
    high: float
    seen: float


@dataclass(frozen=True)
class _Bars:
    """The bars of a histogram of grades: ascending grades, whether all are whole numbers, and the grade with gain 0."""

    grades: NDArray[np.float64]
    whole: bool
    zero: float


def find_dip(levels: NDArray[np.float64], counts: NDArray[np.int64], zero: float = -np.inf) -> Dip | None:
    """Find the deepest valley of the histogram that counts as a dip; None if there is none.

    The threshold lies half-way between the valley and the lower of its two neighbouring bars. If more than 60 % of the
    records would then be relevant, it lies half-way to the bar above the valley instead.

    Args:
        levels: (l,) distinct grades, ascending; at least two.
        counts: (l,) number of records of each level.
        zero: the grade with gain 0; the threshold lies above it.

    Returns:
        The dip, or None.
    """
    grades, sizes = _gather_bars(levels, counts)
    bars = _Bars(grades, is_whole(levels), zero)
    deepest = _find_valley(bars, sizes)
    if deepest is None:
        return None
    valley, depth = deepest
    resamples = np.random.default_rng(0).multinomial(int(sizes.sum()), sizes / sizes.sum(), size=_RESAMPLES)
    valleys = [(resample, _find_valley(bars, resample)) for resample in resamples]
    thresholds = [_cut_beside_valley(bars, resample, other[0]) for resample, other in valleys if other]
    low, high = np.quantile(thresholds, [0.025, 0.975]) if thresholds else (levels[0], levels[-1])
    return Dip(
        threshold=_cut_beside_valley(bars, sizes, valley),
        depth=depth,
        lower_hump=float(grades[int(np.argmax(sizes[:valley]))]),
        valley=float(grades[valley]),
        upper_hump=float(grades[valley + 1 + int(np.argmax(sizes[valley + 1 :]))]),
        low=float(low),
        high=float(high),
        seen=len(thresholds) / _RESAMPLES,
    )


def find_middle(levels: NDArray[np.float64], counts: NDArray[np.int64], zero: float) -> float:
    """Find the middle of the grades' range above `zero`, without 1 % at either end, so that outliers hardly move it.

    If all grades are whole numbers, the threshold is moved half-way between two of them. If two such thresholds are
    equally near, the lower is used, unless it would make more than 60 % of the records relevant.

    Args:
        levels: (l,) distinct grades, ascending; the last one lies above `zero`.
        counts: (l,) number of records of each level.
        zero: the grade with gain 0.

    Returns:
        A threshold above `zero` and at most the highest grade.
    """
    low, high = levels[np.searchsorted(np.cumsum(counts), [TAIL * counts.sum(), (1 - TAIL) * counts.sum()])]
    if high <= max(low, zero):
        low, high = levels[0], levels[-1]
    middle = (max(float(low), zero) + float(high)) / 2
    if not is_whole(levels):
        return middle
    between = float(np.ceil(middle)) - 0.5
    too_many = counts[levels > between].sum() > MANY * counts.sum()
    return between + 1 if (between < middle < high and too_many) or between <= zero else between


def is_whole(levels: NDArray[np.float64]) -> bool:
    """Whether every grade of the data set is a whole number."""
    return bool((levels == np.round(levels)).all())


def _gather_bars(
    levels: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make the histogram's bars: rare grades are added to the nearest common one; many grades are binned."""
    common = levels[counts >= TAIL * counts.sum()]
    if len(common) > _BINS or counts[np.isin(levels, common)].sum() < 0.9 * counts.sum():
        low, high = levels[np.searchsorted(np.cumsum(counts), [TAIL * counts.sum(), (1 - TAIL) * counts.sum()])]
        sizes, edges = np.histogram(np.clip(levels, low, high), _BINS, weights=counts)
        return (edges[1:] + edges[:-1]) / 2, sizes.astype(np.int64)
    nearest = np.abs(levels[:, None] - common[None, :]).argmin(axis=1)
    return common, np.bincount(nearest, weights=counts, minlength=len(common)).astype(np.int64)


def _find_valley(bars: _Bars, sizes: NDArray[np.int64]) -> tuple[int, float] | None:
    """Find the valley: the bar's index, and its depth below the lower of the two humps; None if no bar is a valley.

    If several bars are equally deep, as between two groups of grades that are far apart, the middle bar is taken.
    """
    before, after = np.cumsum(sizes) - sizes, sizes.sum() - np.cumsum(sizes)
    left = np.maximum.accumulate(np.append(0, sizes[:-1]))
    right = np.maximum.accumulate(np.append(0, sizes[:0:-1]))[::-1]
    lower = np.minimum(left, right)
    depth = np.where(lower > 0, 1 - sizes / np.maximum(lower, 1), 0.0)
    depth[np.minimum(before, after) < _HUMP * sizes.sum()] = 0.0
    depth[:-1][bars.grades[:-1] + bars.grades[1:] <= 2 * bars.zero] = 0.0
    deepest = np.flatnonzero(depth == depth.max())
    valley = int(deepest[len(deepest) // 2])
    return (valley, float(depth[valley])) if depth[valley] >= _SHALLOW else None


def _cut_beside_valley(bars: _Bars, sizes: NDArray[np.int64], valley: int) -> float:
    """Place the threshold half-way between the valley and a neighbouring bar, chosen by the rule of `find_dip`."""
    below = sizes[valley - 1] <= sizes[valley + 1] and bars.grades[valley - 1] + bars.grades[valley] > 2 * bars.zero
    neighbour = valley - 1 if below and sizes[valley:].sum() <= MANY * sizes.sum() else valley + 1
    cut = round(float(bars.grades[valley] + bars.grades[neighbour]) / 2, 6)
    return float(np.ceil(cut)) - 0.5 if bars.whole else cut
