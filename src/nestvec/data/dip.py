"""The dip of a histogram of grades: the valley between two humps, where relevant parts from not relevant.

A valley counts as a dip where each side of it holds a fifth of the records, so that no tail is cut off. Resampling the
records says how sure it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANY = 0.6  # share of the records above which relevant ones are too many to tell systems apart
TAIL = 0.01  # a level with a smaller share of the records is no bar of its own, and such tails are no part of the range
_BINS = 20  # where grades are continuous
_HUMP = 0.2  # share of the records that must lie on either side of the valley
_SHALLOW = 0.02  # share of the lower hump that a valley must be deep
_RESAMPLES = 500


@dataclass(frozen=True)
class Dip:
    """A valley of the histogram between two humps.

    Attributes:
        threshold: the grade to cut at.
        depth: 0 … 1, how far the valley lies below the lower of its humps.
        lower_hump: grade of the highest level below.
        valley: grade of the lowest level.
        upper_hump: grade of the highest level above.
        low: 2.5 % of resampled histograms put the threshold below this.
        high: and 2.5 % above this.
        seen: share of resampled histograms that have a dip at all.
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
    """The bars of a histogram: their grades, ascending; whether all levels are whole; what gains nothing."""

    grades: NDArray[np.float64]
    whole: bool
    zero: float


def find_dip(levels: NDArray[np.float64], counts: NDArray[np.int64], zero: float = -np.inf) -> Dip | None:
    """The deepest valley of the histogram; None if there is none that is a dip.

    The threshold lies half-way between the valley and the lower of its two neighbours, so that the two lowest levels of
    the valley fall on either side; or above the valley where that would make more than 60 % of the records relevant.

    Args:
        levels: (l,) distinct grades, ascending; at least two.
        counts: (l,) records per level.
        zero: the grade whose gain is 0; the threshold lies above it.

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
    """The middle of the grades' range above `zero`, tails of 1 % left out, so that no outlier moves it far.

    Among whole grades it lies between two of them; of two such places just as near, the higher one counts where the
    lower one would make more than 60 % of the records relevant.

    Args:
        levels: (l,) distinct grades, ascending; the last one lies above `zero`.
        counts: (l,) records per level.
        zero: the grade whose gain is 0.

    Returns:
        A grade above `zero`, and not above the highest.
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
    """Whether every grade is a whole number."""
    return bool((levels == np.round(levels)).all())


def _gather_bars(
    levels: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The histogram's bars: rare levels are added to the nearest; where there are many levels they are binned."""
    common = levels[counts >= TAIL * counts.sum()]
    if len(common) > _BINS or counts[np.isin(levels, common)].sum() < 0.9 * counts.sum():
        low, high = levels[np.searchsorted(np.cumsum(counts), [TAIL * counts.sum(), (1 - TAIL) * counts.sum()])]
        sizes, edges = np.histogram(np.clip(levels, low, high), _BINS, weights=counts)
        return (edges[1:] + edges[:-1]) / 2, sizes.astype(np.int64)
    nearest = np.abs(levels[:, None] - common[None, :]).argmin(axis=1)
    return common, np.bincount(nearest, weights=counts, minlength=len(common)).astype(np.int64)


def _find_valley(bars: _Bars, sizes: NDArray[np.int64]) -> tuple[int, float] | None:
    """The bar that lies deepest below the lower of the highest bars on its two sides, and its depth; or None.

    Of several bars as deep, as between two groups far apart, it is the middle one.
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
    """The threshold half-way from the valley to the lower of its neighbours, or to the one above: see `find_dip`."""
    below = sizes[valley - 1] <= sizes[valley + 1] and bars.grades[valley - 1] + bars.grades[valley] > 2 * bars.zero
    neighbour = valley - 1 if below and sizes[valley:].sum() <= MANY * sizes.sum() else valley + 1
    cut = round(float(bars.grades[valley] + bars.grades[neighbour]) / 2, 6)
    return float(np.ceil(cut)) - 0.5 if bars.whole else cut
