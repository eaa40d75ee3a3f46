"""Exact search: the best documents of every query, in chunks, with one rule for ties.

Ties follow trec_eval: higher score (as float32) first, then the greater document id. Callers hand in documents sorted
by `tie_order`, where the greater id has the smaller row, so that "smaller row first" is the same rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_CELLS = 16_000_000  # scores held at a time: 64 MB


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
    chunk = max(1, _CELLS // max(1, len(documents)))
    transposed = documents.T

    def scored(first: int) -> NDArray[np.float32]:
        return queries[first : first + chunk] @ transposed

    return ranked(scored, len(queries), len(documents), k, chunk)


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
    if k < len(scores):
        bar = np.partition(scores, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero(scores >= bar)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    chosen: NDArray[np.int64] = candidates[order]
    return chosen
