"""Exact search: the best documents of every query, in chunks, with one rule for ties.

Ties follow trec_eval: higher score (as float32) first, then the greater document id. Callers hand in documents sorted
by `tie_order`, where the greater id has the smaller row, so that "smaller row first" is the same rule.

A matrix product rounds differently by chunk, by a column's place in it and by processor, which would part equal
documents at random. So it only finds the contenders; each of them is then scored anew, always in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_CELLS = 16_000_000  # scores held at a time: 64 MB
_STEP = 4096  # documents scored anew at a time


def tie_order(document_ids: Sequence[str]) -> NDArray[np.int64]:
    """(d,) rows of the documents from the greatest id to the smallest, compared byte by byte as C's strcmp does."""
    keys = [identifier.encode("utf-8") for identifier in document_ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=True), dtype=np.int64)


def top_k(
    queries: NDArray[np.float32], documents: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k documents with the highest dot product for each query.

    Args:
        queries: (q, w) float32.
        documents: (d, w) float32, in tie order.
        k: at least 1; at most d are returned.

    Returns:
        (q, min(k, d)) rows of `documents`, best first, and (q, min(k, d)) float32 scores.
    """
    k = min(k, len(documents))
    chunk = max(1, _CELLS // max(1, len(documents)))
    rows = np.empty((len(queries), k), dtype=np.int64)
    best = np.empty((len(queries), k), dtype=np.float32)
    slack = _rounding(queries, documents)
    for first in range(0, len(queries), chunk):
        rough = queries[first : first + chunk] @ documents.T
        for place, scores in enumerate(rough, start=first):
            contenders = _at_least_kth(scores, k, slack)
            exact = _dot(documents[contenders], queries[place])
            chosen = best_rows(exact, k)
            rows[place], best[place] = contenders[chosen], exact[chosen]
    return rows, best


def ranked(
    scored: Callable[[int], NDArray[np.float32]], queries: int, documents: int, k: int, chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of scores that come in chunks of queries.

    Args:
        scored: called with a chunk's first query, gives (≤ chunk, d) float32 scores over documents in tie order.
        queries: how many there are.
        documents: d.
        k: at least 1; at most d are returned.
        chunk: queries per call.

    Returns:
        (q, min(k, d)) rows of documents, best first, and their float32 scores.
    """
    k = min(k, documents)
    rows = np.empty((queries, k), dtype=np.int64)
    best = np.empty((queries, k), dtype=np.float32)
    for first in range(0, queries, chunk):
        for place, scores in enumerate(scored(first), start=first):
            rows[place] = best_rows(scores, k)
            best[place] = scores[rows[place]]
    return rows, best


def best_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(k,) places of the k highest of (d,) scores, highest first, of equal ones the smaller place; k at most d."""
    candidates = _at_least_kth(scores, k, 0)
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    chosen: NDArray[np.int64] = candidates[order]
    return chosen


def _at_least_kth(scores: NDArray[np.float32], k: int, slack: float) -> NDArray[np.int64]:
    """Ascending places of the scores that reach the k-th highest of (d,) less `slack`; all where k is d."""
    if k >= len(scores):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k] - np.float32(slack))


def _dot(documents: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """(d,) dot products, each summed alone in float64 and rounded once: equal rows get equal bits wherever they are."""
    parts = [
        (documents[first : first + _STEP].astype(np.float64) * query).sum(axis=1).astype(np.float32)
        for first in range(0, len(documents), _STEP)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _rounding(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> float:
    """How far apart rounding can put two float32 dot products that are equal, whatever the order of their sums.

    Source: Higham 2002, section 3.1: each is off by at most w u / (1 - w u) times the product of the lengths.
    """
    unit = (queries.shape[1] + 4) * float(np.finfo(np.float32).eps) / 2  # and the last roundings
    longest = [float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0))) for rows in (queries, documents)]
    return float(2 * unit / (1 - unit) * longest[0] * longest[1])
