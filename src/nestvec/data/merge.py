"""Merges judgements of the same query and document into one record, and reports what was merged."""

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
        queries: the queries' texts.
        documents: the documents' texts.
        conflicts: which grade is kept if grades differ: `mean`, `max`, `last`, or `error`.

    Returns:
        Rows of the records that are kept, in order of first appearance; their grades; findings on what was merged.

    Raises:
        InputError: grades differ and `conflicts` is `error`.
    """
    keys = query * len(documents) + document
    order = np.argsort(keys, kind="stable")  # rows of one pair beside each other, each pair's in their order
    same = np.diff(keys[order]) == 0
    if not same.any():
        return np.arange(len(keys)), grade, []
    again = np.append(same, False) | np.append(False, same)  # rows of pairs judged more than once, often few
    rows, starts = order[again], ~np.append(False, same)[again]
    group, given = np.cumsum(starts) - 1, grade[rows]
    first, times = rows[starts], np.bincount(group)
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    np.minimum.at(low, group, given)
    np.maximum.at(high, group, given)
    last = np.empty(len(first))
    last[group] = given  # of several, numpy keeps the one assigned last
    mean = np.where(low == high, low, np.bincount(group, weights=given) / times)

    def make_finding(mask: NDArray[np.bool_], name: str, action: str) -> list[Finding]:
        examples = []
        found = np.flatnonzero(mask)
        for entry in found[np.argsort(first[found])][:_EXAMPLES]:
            texts = queries[query[first[entry]]], documents[document[first[entry]]][:80]
            grades = f": {low[entry]:g} to {high[entry]:g}" if low[entry] < high[entry] else ""
            examples.append(f"{texts[0]!r} with {texts[1]!r}{grades}")
        return [Finding(name, int((times - 1)[mask].sum()), action, tuple(examples))] if examples else []

    repeated = make_finding(low == high, "judged again with the same grade", "Counted once.")
    differing = make_finding(low < high, "judged again with another grade", _SETTLED.get(conflicts, ""))
    if differing and conflicts == "error":
        raise InputError(f"{differing[0].examples[0]} is judged twice", "one grade, or --conflicts mean, max or last")
    settled = grade.copy()
    settled[first] = {"max": high, "last": last}.get(conflicts, mean)
    kept = np.ones(len(grade), dtype=bool)
    kept[rows[~starts]] = False
    return np.flatnonzero(kept), settled[kept], [*repeated, *differing]
