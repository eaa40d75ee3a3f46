"""Exact search: the best documents of every query, in chunks, with one rule for ties.

Ties follow trec_eval: higher score (as float32) first, then the greater document id. Callers hand in documents sorted
by `tie_order`, where the greater id has the smaller row, so that "smaller row first" is the same rule.

A matrix product rounds differently by chunk, by a column's place in it and by processor, which would part equal
documents at random. So it only finds the contenders; each of them is then scored anew, always in the same way.

All queries share one pass over the documents, which are decoded a block at a time and never held decoded.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Decode = Callable[[NDArray[np.generic]], NDArray[np.float32]]

_CELLS = 16_000_000  # scores held at a time: 64 MB
_QUERIES = 4096  # that share a pass over the documents
_STEP = 4096  # documents scored anew at a time
_MANY = 20_000  # contenders of one query that are kept unsettled


def tie_order(document_ids: Sequence[str]) -> NDArray[np.int64]:
    """(d,) rows of the documents from the greatest id to the smallest, compared byte by byte as C's strcmp does."""
    keys = [identifier.encode("utf-8") for identifier in document_ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=True), dtype=np.int64)


def top_k(
    queries: NDArray[np.float32], codes: NDArray[np.generic], k: int, decode: Decode | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k documents with the highest dot product for each query.

    Args:
        queries: (q, w) float32.
        codes: (d, …) codes of the documents in tie order, or their (d, w) float32 vectors.
        k: at least 1; at most d are returned.
        decode: turns codes into (n, w) float32, the same whatever the batch; None where they are vectors.

    Returns:
        (q, min(k, d)) rows of documents, best first, and (q, min(k, d)) float32 scores.
    """
    decode = decode or _as_they_are
    parts = [
        _top_k(queries[first : first + _QUERIES], codes, min(k, len(codes)), decode)
        for first in range(0, max(1, len(queries)), _QUERIES)
    ]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def _top_k(
    queries: NDArray[np.float32], codes: NDArray[np.generic], k: int, decode: Decode
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The same for queries that share a pass."""
    found = [_Contenders(k) for _ in queries]
    least = np.full(len(queries), -np.inf, dtype=np.float32)  # what a document must reach
    longest = _longest(queries)
    for first, last in _blocks(len(codes), len(queries), k):
        held = decode(codes[first:last])
        rough = queries @ held.T
        slack = np.float32(_rounding(queries.shape[1]) * longest * _longest(held))
        reaching = rough >= (least - slack)[:, None]
        for query in np.flatnonzero(reaching.any(axis=1)).tolist():
            rows = np.flatnonzero(reaching[query])
            least[query] = found[query].take(rows + first, rough[query, rows], slack)
            if len(found[query].rows) > _MANY + 2 * k:  # as many equal documents have: settle it, or memory goes
                found[query].settle(partial(_exact, codes, decode, queries[query]))
    return _scored(queries, codes, [one.rows for one in found], k, decode)


class _Contenders:
    """Documents that may be among the best k of one query.

    Args:
        k: how many are wanted.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._slack = np.float32(0)
        self.rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._scores: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def take(self, rows: NDArray[np.int64], scores: NDArray[np.float32], slack: np.float32) -> np.float32:
        """Add rows with their rough scores, drop what cannot be among the best, and say what the k-th best has."""
        self._slack = max(self._slack, slack)
        scores = np.concatenate([self._scores, scores])
        kept = _at_least_kth(scores, self._k, float(2 * self._slack))
        self.rows, self._scores = np.concatenate([self.rows, rows])[kept], scores[kept]
        if len(self._scores) < self._k:
            return np.float32(-np.inf)
        least: np.float32 = np.partition(self._scores, len(self._scores) - self._k)[len(self._scores) - self._k]
        return least - self._slack

    def settle(self, exact: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> None:
        """Keep the best k by their exact scores, which nothing that comes later can change."""
        order = np.argsort(self.rows)
        rows, scores = self.rows[order], self._scores[order]
        best = np.sort(best_rows(exact(rows), self._k))
        self.rows, self._scores = rows[best], scores[best]


def _blocks(documents: int, queries: int, k: int) -> Iterator[tuple[int, int]]:
    """Ends of the blocks of documents: the first is small, for all of it are contenders."""
    size = max(1, _CELLS // max(1, queries))
    first = 0
    while first < documents:
        last = min(documents, first + (min(size, 4 * k) if first == 0 else size))
        yield first, last
        first = last


def rerank(
    queries: NDArray[np.float32], codes: NDArray[np.generic], rows: NDArray[np.int64], decode: Decode | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Some documents for each query, ranked by their dot product with it.

    Args:
        queries: (q, w) float32.
        codes: as for `top_k`.
        rows: (q, s) rows of documents, each once for a query.
        decode: as for `top_k`.

    Returns:
        (q, s) the same rows, best first, and their float32 scores.
    """
    return _scored(queries, codes, np.sort(rows, axis=1), rows.shape[1], decode or _as_they_are)


def _scored(
    queries: NDArray[np.float32],
    codes: NDArray[np.generic],
    contenders: Sequence[NDArray[np.int64]] | NDArray[np.int64],
    k: int,
    decode: Decode,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each query's contenders, which are ascending rows."""
    rows = np.empty((len(queries), k), dtype=np.int64)
    best = np.empty((len(queries), k), dtype=np.float32)
    for place, mine in enumerate(contenders):
        exact = _exact(codes, decode, queries[place], mine)
        chosen = best_rows(exact, k)
        rows[place], best[place] = mine[chosen], exact[chosen]
    return rows, best


def _exact(
    codes: NDArray[np.generic], decode: Decode, query: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(s,) scores of some documents, a few thousand at a time."""
    parts = [_dot(decode(codes[rows[at : at + _STEP]]), query) for at in range(0, len(rows), _STEP)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _as_they_are(codes: NDArray[np.generic]) -> NDArray[np.float32]:
    """Vectors that nothing has coded."""
    return codes.astype(np.float32, copy=False)


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
    product: NDArray[np.float32] = (documents.astype(np.float64) * query).sum(axis=1).astype(np.float32)
    return product


def _rounding(width: int) -> float:
    """How far apart rounding can put two equal float32 dot products of unit vectors, whatever the order of their sums.

    Source: Higham 2002, section 3.1: each is off by at most w u / (1 - w u) times the product of the lengths.
    """
    unit = (width + 4) * float(np.finfo(np.float32).eps) / 2  # and the last roundings
    return 2 * unit / (1 - unit)


def _longest(rows: NDArray[np.float32]) -> float:
    """The length of the longest row."""
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0)))
