"""Exact search: finds the best documents of every query, in chunks, with one rule for ties.

Ties follow trec_eval: higher score (as float32) first, then the greater document id. Callers pass documents sorted by
`tie_order`, which gives the greater id the smaller row, so "smaller row first" is the same rule.

A matrix product rounds differently by chunk size, by position and by processor, which would order equal documents at
random. Therefore the matrix product only selects contenders; each contender is then scored again in a fixed way.

All queries share one pass over the documents, which are decoded one block at a time; only one block is in memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec.processors import count_processors, map_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Decode = Callable[[NDArray[np.generic]], NDArray[np.float32]]

_CELLS = 4_000_000  # scores in memory at a time: 16 MB, which fit into a processor's last-level cache
_QUERIES = 4096  # most queries that share a pass over the documents
_FEWEST = 256  # fewest queries that are worth a thread
_STEP = 512  # documents decoded, and pairs scored exactly, at a time
_ROOM = 256  # least number of contenders kept for a query
_WORD = 8  # booleans compared as one 64-bit word
_GROUP = _WORD * _WORD


def tie_order(document_ids: Sequence[str]) -> NDArray[np.int64]:
    """Sort documents by id, compared as UTF-8 bytes, the greatest first; returns their rows in this order."""
    keys = [identifier.encode("utf-8") for identifier in document_ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=True), dtype=np.int64)


def top_k(
    queries: NDArray[np.float32], codes: NDArray[np.generic], k: int, decode: Decode | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k documents with the highest dot product for each query.

    Args:
        queries: (q, w) float32, the vectors of q queries, each of w numbers.
        codes: one code (stored vector) per row for d documents, in the order of `tie_order`; or float32 vectors.
        k: documents to find for each query, at least 1.
        decode: decodes rows of codes to float32 vectors; the vector of a code must be the same in any batch. None if
            `codes` are vectors.

    Returns:
        For each query, in a row, the rows of the k best documents, best first; and, in the same form, their float32
        scores. With fewer than k documents, all documents.
    """
    decode, k = decode or _as_they_are, min(k, len(codes))
    step = max(1, min(_QUERIES, 4 * _CELLS // _contender_room(k), _share_of_queries(len(queries))))
    starts = range(0, max(1, len(queries)), step)
    parts = map_in_threads(lambda first: _top_k(queries[first : first + step], codes, k, decode), starts)
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def _share_of_queries(queries: int) -> int:
    """Choose how many queries each search thread takes; a few queries get a single thread."""
    return max(_FEWEST, -(-queries // count_processors()))


def _top_k(
    queries: NDArray[np.float32], codes: NDArray[np.generic], k: int, decode: Decode
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k best documents of each query of one thread, in a single pass over the documents."""
    contenders = _Contenders(len(queries), k, partial(score_pairs, queries, codes, decode))
    size = max(1, _CELLS // max(1, len(queries)))
    cells = np.empty(len(queries) * min(size, len(codes)), dtype=np.float32)
    reached = np.empty(len(cells) + _GROUP, dtype=np.bool_)
    error = 2 * _rounding_error(queries.shape[1]) * _longest_length(queries)  # doubled: the subtraction rounds, too
    for first in range(0, len(codes), size):
        decoded = decode(codes[first : first + size])
        rough = cells[: len(queries) * len(decoded)].reshape(len(queries), len(decoded))
        np.matmul(queries, decoded.T, out=rough)
        contenders.slack = max(contenders.slack, np.float32(error * _longest_length(decoded)))
        if first == 0:
            contenders.start(rough)
        places = _find_reaching(rough, contenders.least - contenders.slack, reached)
        query, row = _split_flat(places, len(decoded))
        contenders.add_scores(query, row + first, rough.reshape(-1)[places])
    return _rank_pairs(queries, codes, contenders.finish(), k, decode)


class _Contenders:
    """Contenders: documents that may be among the k best of a query, with their approximate scores, for all queries.

    Args:
        queries: q, the number of queries.
        k: number of documents wanted for each query.
        exact: computes the exact scores of pairs, given the row of the query and the row of the document of each.

    Attributes:
        least: (q,) for each query, an approximate score that at least k documents reach; raised when its list of
            contenders is full.
        slack: by how much a document's approximate score may fall short of `least` without excluding it.
    """

    def __init__(
        self, queries: int, k: int, exact: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
    ) -> None:
        self._k = k
        self._exact = exact
        self._room = _contender_room(k)
        self._count = np.zeros(queries, dtype=np.int64)
        self._scores = np.full((queries, self._room), -np.inf, dtype=np.float32)
        self._rows = np.zeros((queries, self._room), dtype=np.int64)
        self.least = np.full(queries, -np.inf, dtype=np.float32)
        self.slack = np.float32(0)

    def start(self, rough: NDArray[np.float32]) -> None:
        """Set each query's lowest useful score, `least`, from approximate scores of the first block of documents."""
        if 0 < self._k <= rough.shape[1]:
            last = rough.shape[1] - self._k
            self.least = np.partition(rough, last, axis=1)[:, last]

    def add_scores(self, query: NDArray[np.int64], rows: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Add documents to the queries' contenders: pairs of a query and a document row, sorted by query, then row.

        Each row must be greater than all rows that were added before.
        """
        while len(query):
            added = np.bincount(query, minlength=len(self._count))
            column = np.arange(len(query)) - (np.cumsum(added) - added - self._count)[query]
            fits = column < self._room
            self._scores[query[fits], column[fits]] = scores[fits]
            self._rows[query[fits], column[fits]] = rows[fits]
            self._count = np.minimum(self._count + added, self._room)
            if fits.all():
                return
            self._drop_hopeless(np.unique(query[~fits]))
            left = np.flatnonzero(~fits & (scores >= (self.least - self.slack)[query]))
            query, rows, scores = query[left], rows[left], scores[left]

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Drop contenders that cannot be among the k best; return the others as pairs of query and document row."""
        self._drop_hopeless(np.arange(len(self._count)))
        filled = np.arange(self._room) < self._count[:, None]
        return np.repeat(np.arange(len(filled)), self._count), self._rows[filled]

    def _drop_hopeless(self, full: NDArray[np.int64]) -> None:
        """Drop contenders of these queries that cannot be among the k best, until each list is at most half full."""
        scores, last = self._scores[full], self._room - self._k
        if self._k:
            self.least[full] = np.maximum(self.least[full], np.partition(scores, last, axis=1)[:, last])
        possible = scores >= (self.least[full] - self.slack)[:, None]
        possible &= np.arange(self._room) < self._count[full, None]
        for row in np.flatnonzero(possible.sum(axis=1) > self._room // 2).tolist():  # with many near-equal documents
            self._keep_best(int(full[row]), possible[row])
        self._count[full] = possible.sum(axis=1)
        order = np.argsort(~possible, axis=1, kind="stable")
        self._scores[full] = np.take_along_axis(np.where(possible, scores, np.float32(-np.inf)), order, axis=1)
        self._rows[full] = np.take_along_axis(self._rows[full], order, axis=1)

    def _keep_best(self, query: int, kept: NDArray[np.bool_]) -> None:
        """Keep only the k contenders of a query with the best exact scores."""
        columns = np.flatnonzero(kept)
        scores = self._exact(np.full(len(columns), query), self._rows[query, columns])
        kept[:] = False
        kept[columns[best_rows(scores, self._k)]] = True


def _contender_room(k: int) -> int:
    """Choose how many contenders of a query fit in memory: enough that the limit is rarely reached."""
    return max(_ROOM, 4 * k)


def _find_reaching(
    rough: NDArray[np.float32], least: NDArray[np.float32], room: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Find the scores of a block that reach their query's `least`; gives ascending positions in the flattened block.

    `rough` has a row of scores for each query, of which few reach the limit. To find these fast, the comparison's
    booleans are read as 64-bit words, eight words at a time. `room` is working memory for the booleans.
    """
    padded = -(-rough.size // _GROUP) * _GROUP
    room[rough.size : padded] = False
    np.greater_equal(rough, least[:, None], out=room[: rough.size].reshape(rough.shape))
    words = room[:padded].view(np.uint64).reshape(_WORD, -1)
    columns = np.flatnonzero(np.bitwise_or.reduce(words, axis=0))
    part, column = _split_flat(np.flatnonzero(words[:, columns]), len(columns))
    word = part * words.shape[1] + columns[column]
    which, byte = _split_flat(np.flatnonzero(room[:padded].reshape(-1, _WORD)[word]), _WORD)
    places: NDArray[np.int64] = word[which] * _WORD + byte
    return places


def _split_flat(places: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = places // max(1, width)
    return rows, places - rows * width


def rerank(
    queries: NDArray[np.float32], codes: NDArray[np.generic], rows: NDArray[np.int64], decode: Decode | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rank a shortlist of s documents for each of q queries by exact dot products.

    Args:
        queries: (q, w) float32, the vectors of q queries, each of w numbers.
        codes: one code (stored vector) per row for all documents, in the order of `tie_order`; or float32 vectors.
        rows: (q, s) the rows of each query's documents, without repeats.
        decode: decodes rows of codes to float32 vectors; None if `codes` are vectors.

    Returns:
        (q, s) the same rows of documents, best first for each query, and their (q, s) float32 scores.
    """
    query = np.repeat(np.arange(len(rows)), rows.shape[1])
    pairs = query, np.sort(rows, axis=1).reshape(-1)
    return _rank_pairs(queries, codes, pairs, rows.shape[1], decode or _as_they_are)


def _rank_pairs(
    queries: NDArray[np.float32],
    codes: NDArray[np.generic],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    k: int,
    decode: Decode,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rank each query's candidate documents by exact scores; returns the rows and scores of the k best.

    `pairs` holds the query and the document row of each candidate, sorted by query, then row; each query must have at
    least k candidates.
    """
    query, rows = pairs
    exact = score_pairs(queries, codes, decode, query, rows)
    counts = np.bincount(query, minlength=len(queries))
    first = np.cumsum(counts) - counts
    table = np.full((len(queries), int(counts.max(initial=k))), -np.inf, dtype=np.float32)
    table[query, np.arange(len(query)) - first[query]] = exact
    best = first[:, None] + np.argsort(-table, axis=1, kind="stable")[:, :k]
    return rows[best], exact[best]


def score_pairs(
    queries: NDArray[np.float32],
    codes: NDArray[np.generic],
    decode: Decode,
    query: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Compute exact dot products for n pairs of a query and a document; the same pair always gets the same score.

    Args:
        queries: (q, w) float32, the vectors of q queries, each of w numbers.
        codes: one code (stored vector) per row for all documents.
        decode: decodes rows of codes to float32 vectors.
        query: (n,) the row of each pair's query.
        rows: (n,) the row of each pair's document.

    Returns:
        (n,) float32 scores.
    """
    scores = np.empty(len(rows), dtype=np.float32)
    order = np.argsort(rows, kind="stable")  # so that each document is decoded once for all its queries
    distinct, place = np.unique(rows[order], return_inverse=True)
    for first in range(0, len(distinct), _STEP):
        documents = decode(codes[distinct[first : first + _STEP]]).astype(np.float64)
        start, end = np.searchsorted(place, [first, first + _STEP]).tolist()
        for at in range(start, end, _STEP):
            pairs = order[at : min(at + _STEP, end)]
            scores[pairs] = _dot_rows(documents[place[at : at + len(pairs)] - first], queries[query[pairs]])
    return scores


def _as_they_are(codes: NDArray[np.generic]) -> NDArray[np.float32]:
    return codes.astype(np.float32, copy=False)


def best_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the indices of the k highest scores, highest first, equal scores by index; needs at least k scores."""
    candidates = np.arange(len(scores))
    if k < len(scores):
        candidates = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    return candidates[np.argsort(-scores[candidates], kind="stable")[:k]]


def _dot_rows(documents: NDArray[np.float64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the dot product of each document with the query in the same row, summed in float64 and rounded once.

    Each row is summed alone, so that equal rows give the same float32 to the last bit.
    """
    product: NDArray[np.float32] = (documents * queries).sum(axis=1).astype(np.float32)
    return product


def _rounding_error(width: int) -> float:
    """Bound the difference between two float32 computations of the same dot product of unit vectors, in any sum order.

    Source: Higham 2002, section 3.1. Each computation is off by at most w u / (1 - w u) times the product of the
    lengths, for vectors of w numbers and the unit roundoff u.
    """
    unit = (width + 4) * float(np.finfo(np.float32).eps) / 2  # 4 more for the last roundings
    return 2 * unit / (1 - unit)


def _longest_length(rows: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0)))
