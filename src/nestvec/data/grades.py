"""The histogram of grades, the threshold from which a document counts as relevant, and what a grade gains.

Without a threshold given, the dip between the histogram's two humps is proposed, or the middle of the range where there
is none. Where a source lists relevant documents only, whatever it lists is relevant.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.dip import MANY, Dip, find_dip, find_middle
from nestvec.data.source import Finding
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN = 1000  # gains are whole thousandths of a grade
_SHOWN = 12  # levels of a histogram that a message shows
_ORIGINS = {  # of a threshold, for messages
    "given": "as given",
    "dip": "the dip of the grades' histogram",
    "middle": "no dip: the middle of the range",
    "listed": "all listed documents are relevant, unlisted ones have grade 0",
}


@dataclass(frozen=True)
class Grades:
    """The grades of a data set and what counts as relevant.

    Attributes:
        levels: distinct grades, ascending.
        counts: records per level.
        threshold: relevant from this grade on.
        threshold_source: `given`, `dip`, `middle` (of the range, where there is no dip) or `listed` (the lowest grade,
            where only relevant documents are listed).
        dip: the histogram's dip, if it has one.
        zero: the grade whose gain is 0; so is the gain of any grade below.
        unlisted: the grade of whatever is not listed; None where the data lists low grades itself.
    """

    levels: tuple[float, ...]
    counts: tuple[int, ...]
    threshold: float
    threshold_source: str
    dip: Dip | None
    zero: float = 0.0
    unlisted: float | None = None

    @property
    def relevant_from(self) -> int:
        """The lowest gain of a relevant document."""
        relevant = [level for level in self.levels if level >= self.threshold]
        return int(gains(np.array(relevant[:1]), self.zero)[0])

    @property
    def relevant_count(self) -> int:
        """How many of the records are relevant."""
        return sum(count for level, count in zip(self.levels, self.counts, strict=True) if level >= self.threshold)

    @property
    def relevant_share(self) -> float:
        """Share of the records that are relevant."""
        return self.relevant_count / sum(self.counts)

    @property
    def too_many_relevant(self) -> bool:
        """Whether so many of the judged are relevant that the threshold deserves a look."""
        return self.unlisted is None and self.relevant_share > MANY

    @property
    def origin(self) -> str:
        """Where the threshold comes from, in words."""
        return _ORIGINS[self.threshold_source]

    @property
    def histogram(self) -> str:
        """The records of each grade, in words; where there are many grades, of twelve ranges."""
        if len(self.levels) <= _SHOWN:
            return ", ".join(f"{level:g}: {count:,}" for level, count in zip(self.levels, self.counts, strict=True))
        sizes, edges = np.histogram(self.levels, _SHOWN, weights=self.counts)
        ranges = zip(edges[:-1], edges[1:], sizes, strict=True)
        return ", ".join(f"{low:g} to {high:g}: {int(size):,}" for low, high, size in ranges if size)

    def to_json(self) -> dict[str, Any]:
        """What `data/grades.json` holds."""
        return {
            **asdict(self),
            "lowest": self.levels[0],
            "highest": self.levels[-1],
            "relevant_from": self.relevant_from,
            "relevant_share": self.relevant_share,
        }


def gains(grade: NDArray[np.float64], zero: float) -> NDArray[np.int64]:
    """Gains of grades: whole thousandths above the grade that gains nothing, as TREC files hold them; none below 0."""
    return np.maximum(np.round(GAIN * (grade - zero)), 0).astype(np.int64)


def read_grades(
    grade: NDArray[np.float64],
    threshold: float | None = None,
    unlisted: float | None = None,
    *,
    estimated: bool = False,
) -> Grades:
    """Count the grades and choose the threshold.

    Args:
        grade: (n,) finite grades.
        threshold: relevant from here on; None proposes one.
        unlisted: the grade of whatever is not listed; None where low grades are listed, too.
        estimated: whether the grades were estimated from clicks: grade 0 gains nothing, and not all that is listed
            counts as relevant.

    Returns:
        The histogram with its threshold.

    Raises:
        InputError: the threshold leaves no relevant record, or no other; there is only one grade and no word of what is
            not listed; or no grade gains anything.
    """
    levels, counts = np.unique(grade, return_counts=True)
    if len(levels) == 1 and unlisted is None:
        raise _single_grade_error(float(levels[0]), estimated=estimated)
    zero = _find_zero(levels[0], 0.0 if estimated else unlisted)
    if levels[-1] <= zero:
        wanted = f"relevant documents with grades above {zero:g}; add the same number to all grades if they are lower"
        raise InputError(f"the highest grade is {levels[-1]:g}, but grades of {zero:g} or less have gain 0", wanted)
    dip = find_dip(levels, counts, zero) if len(levels) > 1 else None
    if threshold is not None:
        chosen, source = threshold, "given"
    elif unlisted is not None and levels[0] > unlisted and not estimated:
        chosen, source = float(levels[0]), "listed"
    elif dip is not None:
        chosen, source = dip.threshold, "dip"
    else:
        chosen, source = find_middle(levels, counts, zero), "middle"
    found = Grades(tuple(map(float, levels)), tuple(map(int, counts)), float(chosen), source, dip, zero, unlisted)
    _check_threshold(found)
    return found


def describe_threshold(grades: Grades) -> str:
    """The threshold and the histogram that it parts, for a message."""
    return f"relevant from grade {grades.threshold:g} on ({grades.origin}); records of each grade: {grades.histogram}"


def find_too_many(grades: Grades) -> Finding | None:
    """A finding where so many of the judged records are relevant that the threshold deserves a look."""
    if not grades.too_many_relevant:
        return None
    action = "Too many to tell systems apart. "
    action += f"Relevant from grade {grades.threshold:g} on ({grades.origin}); --threshold sets another."
    examples = (f"records of each grade: {grades.histogram}",)
    return Finding("relevant records, more than 60 % of all", grades.relevant_count, action, examples)


def _find_zero(lowest: float, unlisted: float | None) -> float:
    """The grade whose gain is 0: that of what is not listed, else 0, or the lowest grade where that is above 0."""
    return float(max(lowest, 0.0) if unlisted is None else unlisted)


def _single_grade_error(grade: float, *, estimated: bool) -> InputError:
    """The error for records that all have one grade, with no word of what is not listed."""
    pairs = "where every row is a relevant pair, give --positives-only"
    if not estimated:
        return InputError(f"every grade is {grade:g}", f"at least two different grades; {pairs}")
    if grade == 0:
        return InputError("no document was clicked", "a click log with at least one click")
    wanted = f"documents that were clicked more often than others; {pairs}"
    return InputError("every document was clicked equally often", wanted)


def _check_threshold(grades: Grades) -> None:
    """Raise InputError where the threshold does not part what gains more from what gains less."""
    levels, threshold, zero = grades.levels, grades.threshold, grades.zero
    wanted = f"a number above {zero:g} and up to {levels[-1]:g}; the grades are {grades.histogram}"
    if threshold > levels[-1]:
        raise InputError(f"--threshold {threshold:g} makes none of the records relevant", wanted)
    if threshold <= zero and threshold <= levels[0]:
        raise InputError(f"--threshold {threshold:g} makes all of the records relevant", wanted)
    if threshold <= zero:
        raise InputError(f"--threshold {threshold:g} makes a grade of {zero:g} relevant, which has gain 0", wanted)
    rest = [level for level in (zero, *levels) if level < threshold]
    if gains(np.array(rest), zero).max() >= grades.relevant_from:
        problem = f"the grades just below and above the threshold {threshold:g} differ by less than a thousandth"
        raise InputError(problem, "grades at least 0.001 apart; multiply all grades by the same number")
