"""Merge judgements of the same query and document into one record, and say what was merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.source import Finding
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EXAMPLES = 3
_SETTLED = {
    "mean": "The record's grade is the mean.",
    "max": "The highest grade counts.",
    "last": "The last grade counts.",
}


def merge_judgements(
    query: NDArray[np.int64],
    document: NDArray[np.int64],
    grade: NDArray[np.float64],
    queries: Sequence[str],
    documents: Sequence[str],
    conflicts: str,
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[Finding]]:
    """Make one record per query and document.

    Args:
        query: (n,) rows of queries.
        document: (n,) rows of documents.
        grade: (n,) grades.
        queries: their texts.
        documents: their texts.
        conflicts: what makes the grade of records that differ: `mean`, `max`, `last`, or `error`.

    Returns:
        Rows of the records that stay, in order of first appearance; their grades; what was merged.

    Raises:
        InputError: grades differ and `conflicts` is `error`.
    """
    keys = query * len(documents) + document
    _, first, group, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == len(keys):
        return np.arange(len(keys)), grade, []
    again = np.flatnonzero(times > 1)  # groups of several rows, which are often few
    again = again[np.argsort(first[again])]
    number = np.full(len(first), -1)
    number[again] = np.arange(len(again))
    rows = np.flatnonzero(number[group] >= 0)
    of_row, given = number[group[rows]], grade[rows]
    low, high = np.full(len(again), np.inf), np.full(len(again), -np.inf)
    np.minimum.at(low, of_row, given)
    np.maximum.at(high, of_row, given)
    last = np.empty(len(again))
    last[of_row] = given  # of several, numpy keeps the one assigned last
    mean = np.where(low == high, low, np.bincount(of_row, weights=given) / times[again])

    def make_finding(mask: NDArray[np.bool_], name: str, action: str) -> list[Finding]:
        examples = []
        for entry in np.flatnonzero(mask)[:_EXAMPLES]:
            row = first[again[entry]]
            texts = queries[query[row]], documents[document[row]][:80]
            grades = f": {low[entry]:g} to {high[entry]:g}" if low[entry] < high[entry] else ""
            examples.append(f"{texts[0]!r} with {texts[1]!r}{grades}")
        return [Finding(name, int((times[again] - 1)[mask].sum()), action, tuple(examples))] if examples else []

    repeated = make_finding(low == high, "judged again with the same grade", "Counted once.")
    differing = make_finding(low < high, "judged again with another grade", _SETTLED.get(conflicts, ""))
    if differing and conflicts == "error":
        raise InputError(f"{differing[0].examples[0]} is judged twice", "one grade, or --conflicts mean, max or last")
    settled = grade.copy()
    settled[first[again]] = {"max": high, "last": last}.get(conflicts, mean)
    kept = np.sort(first)
    return kept, settled[kept], [*repeated, *differing]
