"""The same query and document judged more than once: one record, and a word about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.records import Finding
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_EXAMPLES = 3
_SETTLED = {
    "mean": "The record's grade is the mean.",
    "max": "The highest grade counts.",
    "last": "The last grade counts.",
}


def merged(
    query: NDArray[np.int64],
    document: NDArray[np.int64],
    grade: NDArray[np.float64],
    texts: tuple[Sequence[str], Sequence[str]],
    conflicts: str,
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[Finding]]:
    """One record per query and document.

    Args:
        query: (n,) rows of queries.
        document: (n,) rows of documents.
        grade: (n,) grades.
        texts: of the queries and of the documents.
        conflicts: what makes the grade of records that differ: `mean`, `max`, `last`, or `error`.

    Returns:
        Rows of the records that stay, in order of first appearance; their grades; what was merged.

    Raises:
        InputError: grades differ and `conflicts` is `error`.
    """
    keys = query * len(texts[1]) + document
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(keys):
        return np.arange(len(keys)), grade, []
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    np.minimum.at(low, group, grade)
    np.maximum.at(high, group, grade)
    order, times = np.argsort(first), np.bincount(group)

    def finding(mask: NDArray[np.bool_], name: str, action: str, word: Callable[[Any], str]) -> list[Finding]:
        chosen = [entry for entry in order if mask[entry]][:_EXAMPLES]
        pairs = [(texts[0][query[first[entry]]], texts[1][document[first[entry]]][:80]) for entry in chosen]
        examples = tuple(f"{a!r} with {b!r}{word(entry)}" for (a, b), entry in zip(pairs, chosen, strict=True))
        return [Finding(name, int((times - 1)[mask].sum()), action, examples)] if len(chosen) else []

    found = finding((times > 1) & (low == high), "judged again with the same grade", "Counted once.", lambda _: "")
    differing = finding(
        low < high,
        "judged again with another grade",
        _SETTLED.get(conflicts, ""),
        lambda entry: f": {low[entry]:g} to {high[entry]:g}",
    )
    if differing and conflicts == "error":
        raise InputError(f"{differing[0].examples[0]} is judged twice", "one grade, or --conflicts mean, max or last")
    settled = _settled(grade, group, (low, high), conflicts)
    return first[order], settled[order], [*found, *differing]


def _settled(
    grade: NDArray[np.float64],
    group: NDArray[np.int64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    conflicts: str,
) -> NDArray[np.float64]:
    """The grade of every group."""
    if conflicts == "max":
        return ends[1]
    if conflicts == "last":
        last = np.empty(len(ends[0]))
        last[group] = grade  # of several, numpy keeps the one assigned last
        return last
    return np.where(ends[0] == ends[1], ends[0], np.bincount(group, weights=grade) / np.bincount(group))
