"""The histogram of grades, the threshold from which a document is relevant, and the gain of a grade.

If no threshold is given, it is the dip between the histogram's two humps, or the middle of the range if there is no
dip. If a source lists only relevant documents, every listed document is relevant.
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
_SHOWN = 12  # most bars of a histogram in a message
_ORIGINS = {  # where a threshold comes from, for messages
    "given": "as given",
    "dip": "the dip of the grades' histogram",
    "middle": "no dip: the middle of the range",
    "listed": "all listed documents are relevant, unlisted ones have grade 0",
}


@dataclass(frozen=True)
class Grades:
    """The grades of a data set, and the threshold of relevance.

    Attributes:
        levels: the distinct grades, ascending.
        counts: the number of records of each level.
        threshold: a document is relevant if its grade is at least this.
        threshold_source: `given`, `dip`, `middle` (of the range, where there is no dip) or `listed` (the lowest grade,
            where only relevant documents are listed).
        dip: the histogram's dip; None if it has none.
        zero: the grade with gain 0; lower grades have gain 0, too.
        unlisted: the grade of documents that are not listed; None where the data lists low grades itself.
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
        """The gain of the lowest relevant grade, in thousandths of a grade; relevant documents have at least this."""
        relevant = [level for level in self.levels if level >= self.threshold]
        return int(gains(np.array(relevant[:1]), self.zero)[0])

    @property
    def relevant_count(self) -> int:
        """Number of records whose grade reaches the threshold of relevance."""
        return sum(count for level, count in zip(self.levels, self.counts, strict=True) if level >= self.threshold)

    @property
    def relevant_share(self) -> float:
        """The share of the records that are relevant, 0 to 1."""
        return self.relevant_count / sum(self.counts)

    @property
    def too_many_relevant(self) -> bool:
        """Whether more than 60 % of the judged records are relevant, so that the threshold should be checked."""
        return self.unlisted is None and self.relevant_share > MANY

    @property
    def origin(self) -> str:
        """Where the threshold of relevance comes from, as a phrase for messages, such as `as given`."""
        return _ORIGINS[self.threshold_source]

    @property
    def histogram(self) -> str:
        """The number of records of each grade, as text; of twelve ranges if there are more than twelve grades."""
        if len(self.levels) <= _SHOWN:
            return ", ".join(f"{level:g}: {count:,}" for level, count in zip(self.levels, self.counts, strict=True))
        sizes, edges = np.histogram(self.levels, _SHOWN, weights=self.counts)
        ranges = zip(edges[:-1], edges[1:], sizes, strict=True)
        return ", ".join(f"{low:g} to {high:g}: {int(size):,}" for low, high, size in ranges if size)

    def to_json(self) -> dict[str, Any]:
        """Convert to the content of `data/grades.json`."""
        return {
            **asdict(self),
            "lowest": self.levels[0],
            "highest": self.levels[-1],
            "relevant_from": self.relevant_from,
            "relevant_share": self.relevant_share,
        }


def gains(grade: NDArray[np.float64], zero: float) -> NDArray[np.int64]:
    """Convert (n,) grades to gains: whole thousandths above `zero`, the grade with gain 0, and never below 0."""
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
        threshold: the threshold of relevance; None chooses one.
        unlisted: the grade of documents that are not listed; None where low grades are listed, too.
        estimated: whether the grades were estimated from clicks: grade 0 then has gain 0, and not every listed document
            counts as relevant.

    Returns:
        The histogram with its threshold.

    Raises:
        InputError: the threshold makes no record relevant, or all; there is only one grade, and unlisted documents have
            no known grade; or no grade has a gain above 0.
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
    """Describe the threshold, where it comes from, and the histogram, for a message."""
    return f"relevant from grade {grades.threshold:g} on ({grades.origin}); records of each grade: {grades.histogram}"


def find_too_many(grades: Grades) -> Finding | None:
    """Make the finding for more than 60 % relevant records; None if there are fewer."""
    if not grades.too_many_relevant:
        return None
    action = "Too many to tell systems apart. "
    action += f"Relevant from grade {grades.threshold:g} on ({grades.origin}); --threshold sets another."
    examples = (f"records of each grade: {grades.histogram}",)
    return Finding("relevant records, more than 60 % of all", grades.relevant_count, action, examples)


def _find_zero(lowest: float, unlisted: float | None) -> float:
    """Find the grade with gain 0: that of unlisted documents, else 0, or the lowest grade if that is above 0."""
    return float(max(lowest, 0.0) if unlisted is None else unlisted)


def _single_grade_error(grade: float, *, estimated: bool) -> InputError:
    """Make the error for records that all have the same grade."""
    pairs = "where every row is a relevant pair, give --positives-only"
    if not estimated:
        return InputError(f"every grade is {grade:g}", f"at least two different grades; {pairs}")
    if grade == 0:
        return InputError("no document was clicked", "a click log with at least one click")
    wanted = f"documents that were clicked more often than others; {pairs}"
    return InputError("every document was clicked equally often", wanted)


def _check_threshold(grades: Grades) -> None:
    """Raise InputError if the threshold makes none or all records relevant, or grades with gain 0."""
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
        raise InputError(problem, "grades at least 0.001 apart: multiply every grade in the source by 1000")
