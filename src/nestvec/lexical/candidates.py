"""Fuses keyword and vector search: each document that one of them found gets both scores, which are then combined.

The evaluation, the stores and the server all use this code, so that the server returns the rankings that were measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.lexical.fusion import Fusion


class Found(NamedTuple):
    """The k best documents of each of q queries, and their scores.

    Attributes:
        rows: (q, k) row numbers of the documents, best first.
        scores: (q, k) float32 scores of these documents.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Leg(NamedTuple):
    """The results of one search (keyword or vector search) for q queries, and a function that scores more documents.

    Attributes:
        found: the k documents that this search found for each query, with their scores.
        score_pairs: computes the float32 scores of n pairs from the pairs' query rows and document rows. For a document
            in `found` it returns exactly the score in `found`.
    """

    found: Found
    score_pairs: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]

    @classmethod
    def of_one(
        cls,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        score_rows: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    ) -> Leg:
        """Wrap the keyword results or the vector results of a single query.

        Args:
            rows: row numbers of the k documents that the search found, in any order.
            scores: float32 scores of these documents.
            score_rows: computes the scores of documents from their row numbers, which are ascending.

        Returns:
            The results of one query, sorted by row number.
        """
        order = np.argsort(rows)
        return cls(Found(rows[order][None], scores[order][None]), lambda _, rows: score_rows(rows))


class Candidates(NamedTuple):
    """The documents that keyword search or vector search found for each of q queries, with both scores.

    Attributes:
        rows: (q, n) row numbers of up to n candidates for each query, ascending.
        words: (q, n) BM25 scores of the candidates; -inf fills the row of a query with fewer than n candidates.
        vectors: (q, n) cosines of the candidates, as exact as the precision of the vectors allows.
    """

    rows: NDArray[np.int64]
    words: NDArray[np.float32]
    vectors: NDArray[np.float32]


def gather_candidates(vectors: Leg, words: Leg) -> Candidates:
    """Collect the documents that keyword search or vector search found, and give each a BM25 score and a cosine.

    Args:
        vectors: results of vector search; every query needs at least one, unless keyword search found none either.
        words: results of keyword search; documents with score 0 share no word with the query and are not candidates.

    Returns:
        The candidates of each query.
    """
    depth = vectors.found.rows.shape[1]
    lexical = np.where(words.found.scores > 0, words.found.rows, vectors.found.rows[:, :1])  # repeated: left out below
    rows = np.concatenate([vectors.found.rows, lexical], axis=1)
    order = np.argsort(rows, axis=1, kind="stable")
    ranked = np.take_along_axis(rows, order, axis=1)
    repeated = np.zeros_like(ranked, dtype=np.bool_)
    repeated[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    new = np.zeros_like(repeated)
    np.put_along_axis(new, order, ~repeated, axis=1)
    by_vectors = np.zeros(rows.shape, dtype=np.float32)
    by_vectors[:, :depth] = vectors.found.scores
    query, column = np.nonzero(new[:, depth:])
    by_vectors[query, depth + column] = vectors.score_pairs(query, lexical[query, column])
    by_words = np.full(rows.shape, -np.inf, dtype=np.float32)
    by_words[query, depth + column] = words.found.scores[query, column]
    pairs = np.repeat(np.arange(len(rows)), depth), vectors.found.rows.reshape(-1)
    by_words[:, :depth] = words.score_pairs(*pairs).reshape(len(rows), depth)
    return Candidates(ranked, *(np.take_along_axis(scores, order, axis=1) for scores in (by_words, by_vectors)))


def fuse_candidates(candidates: Candidates, fusion: Fusion, depth: int) -> Found:
    """Rank each query's candidates by fused score and return the `depth` best; of equal scores, smaller rows first."""
    fused = fusion.fuse(candidates.words, candidates.vectors)
    best = np.argsort(-fused, axis=1, kind="stable")[:, :depth]
    return Found(np.take_along_axis(candidates.rows, best, axis=1), np.take_along_axis(fused, best, axis=1))


def fuse_one(vectors: Leg, words: Leg, fusion: Fusion) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Fuse the vector and keyword results of one query; returns the documents' rows, ascending, and fused scores."""
    candidates = gather_candidates(vectors, words)
    fused = fusion.fuse(candidates.words, candidates.vectors)[0]
    kept = ~np.isneginf(fused)
    return candidates.rows[0][kept], fused[kept]
