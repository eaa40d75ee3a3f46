"""The histogram of grades, and the threshold from which a document counts as relevant.

Without a threshold given, the dip between the histogram's two humps is proposed: the level whose bar lies deepest below
the lower of the highest bars on its two sides. Resampling the records says how sure the dip is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN = 1000  # gains are whole thousandths of a grade
_RARE = 0.01  # a level with a smaller share of the records is no bar of its own
_BINS = 20  # where grades are continuous
_HUMP = 0.1  # share of the records that must lie on either side of the dip, or it only cuts off a tail
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
class Grades:
    """The grades of a data set and what counts as relevant.

    Attributes:
        levels: distinct grades, ascending.
        counts: records per level.
        threshold: relevant from this grade on.
        threshold_source: `given`, `dip`, or `middle` (of the range, where there is no dip).
        dip: the histogram's dip, if it has one.
    """

    levels: tuple[float, ...]
    counts: tuple[int, ...]
    threshold: float
    threshold_source: str
    dip: Dip | None

    @property
    def lowest(self) -> float:
        """The lowest grade; its gain is 0."""
        return self.levels[0]

    @property
    def relevant_from(self) -> int:
        """The lowest gain of a relevant document."""
        relevant = [level for level in self.levels if level >= self.threshold]
        return int(gains(np.array(relevant[:1]), self.lowest)[0])

    @property
    def relevant_share(self) -> float:
        """Share of the records that are relevant."""
        relevant = sum(count for level, count in zip(self.levels, self.counts, strict=True) if level >= self.threshold)
        return relevant / sum(self.counts)

    def to_json(self) -> dict[str, Any]:
        """What `data/grades.json` holds."""
        return {
            **asdict(self),
            "lowest": self.lowest,
            "highest": self.levels[-1],
            "relevant_from": self.relevant_from,
            "relevant_share": self.relevant_share,
        }


def gains(grade: NDArray[np.float64], lowest: float) -> NDArray[np.int64]:
    """Gains of grades: whole thousandths above the lowest grade, as TREC files hold them."""
    return np.round(GAIN * (grade - lowest)).astype(np.int64)


def read_grades(grade: NDArray[np.float64], threshold: float | None = None) -> Grades:
    """Count the grades and choose the threshold.

    Args:
        grade: (n,) finite grades.
        threshold: relevant from here on; None proposes one.

    Returns:
        The histogram with its threshold.

    Raises:
        InputError: the threshold leaves no relevant record, or no other; or there is only one grade.
    """
    levels, counts = np.unique(grade, return_counts=True)
    if len(levels) == 1:
        raise InputError(f"every grade is {levels[0]:g}", "at least two different grades")
    dip = find_dip(levels, counts)
    if threshold is not None:
        chosen, source = threshold, "given"
    elif dip is not None:
        chosen, source = dip.threshold, "dip"
    else:
        chosen, source = float(levels[0] + levels[-1]) / 2, "middle"
    if not levels[0] < chosen <= levels[-1]:
        share = "all" if chosen <= levels[0] else "none"
        wanted = f"a number above {levels[0]:g} and up to {levels[-1]:g}, the range of the grades"
        raise InputError(f"--threshold {chosen:g} makes {share} of the records relevant", wanted)
    return Grades(tuple(map(float, levels)), tuple(map(int, counts)), float(chosen), source, dip)


def find_dip(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> Dip | None:
    """The deepest valley of the histogram; None if there is none.

    The threshold lies half-way between the valley and the lower of its two neighbours, so that the two lowest levels of
    the valley fall on either side.

    Args:
        levels: (l,) distinct grades, ascending; at least two.
        counts: (l,) records per level.

    Returns:
        The dip, or None.
    """
    grades, sizes = _gather_bars(levels, counts)
    deepest = _find_valley(sizes)
    if deepest is None:
        return None
    valley, depth = deepest
    resamples = np.random.default_rng(0).multinomial(int(sizes.sum()), sizes / sizes.sum(), size=_RESAMPLES)
    valleys = [(resample, _find_valley(resample)) for resample in resamples]
    thresholds = [_cut_beside_valley(grades, resample, other[0]) for resample, other in valleys if other]
    low, high = np.quantile(thresholds, [0.025, 0.975]) if thresholds else (levels[0], levels[-1])
    return Dip(
        threshold=_cut_beside_valley(grades, sizes, valley),
        depth=depth,
        lower_hump=float(grades[int(np.argmax(sizes[:valley]))]),
        valley=float(grades[valley]),
        upper_hump=float(grades[valley + 1 + int(np.argmax(sizes[valley + 1 :]))]),
        low=float(low),
        high=float(high),
        seen=len(thresholds) / _RESAMPLES,
    )


def _gather_bars(
    levels: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The histogram's bars: rare levels are added to the nearest; where there are many levels they are binned."""
    common = levels[counts >= _RARE * counts.sum()]
    if len(common) > _BINS or counts[np.isin(levels, common)].sum() < 0.9 * counts.sum():
        sizes, edges = np.histogram(levels, _BINS, weights=counts)
        return (edges[1:] + edges[:-1]) / 2, sizes.astype(np.int64)
    nearest = np.abs(levels[:, None] - common[None, :]).argmin(axis=1)
    return common, np.bincount(nearest, weights=counts, minlength=len(common)).astype(np.int64)


def _find_valley(sizes: NDArray[np.int64]) -> tuple[int, float] | None:
    """The bar that lies deepest below the lower of the highest bars on its two sides, and its depth; or None."""
    before, after = np.cumsum(sizes) - sizes, sizes.sum() - np.cumsum(sizes)
    left = np.maximum.accumulate(np.append(0, sizes[:-1]))
    right = np.maximum.accumulate(np.append(0, sizes[:0:-1]))[::-1]
    lower = np.minimum(left, right)
    depth = np.where(lower > 0, 1 - sizes / np.maximum(lower, 1), 0.0)
    depth[np.minimum(before, after) + sizes < _HUMP * sizes.sum()] = 0.0
    deepest = int(np.argmax(depth))
    return (deepest, float(depth[deepest])) if depth[deepest] >= _SHALLOW else None


def _cut_beside_valley(grades: NDArray[np.float64], sizes: NDArray[np.int64], valley: int) -> float:
    """The threshold half-way from the valley to the lower of its neighbours."""
    neighbour = valley - 1 if sizes[valley - 1] <= sizes[valley + 1] else valley + 1
    return round(float(grades[valley] + grades[neighbour]) / 2, 6)
