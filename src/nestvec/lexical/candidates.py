"""Fuses keyword and vector search: documents that either finds are scored by both and ranked by the fused score.

"Leg" means one of the two searches. The evaluation, the stores and the server all use this code, so that the server
returns what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.lexical.fusion import Fusion


class Found(NamedTuple):
    """The best documents of each query.

    Attributes:
        rows: (q, k) documents, best first.
        scores: (q, k) float32.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Leg(NamedTuple):
    """The results of one leg (keyword or vector search) for q queries, and how that leg scores the other's results.

    Attributes:
        found: (q, k) rows of documents and their scores.
        score_pairs: gives (n,) rows of queries and (n,) rows of documents their (n,) float32 scores, the same to the
            last bit as those of `found`.
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
        """Bundle what vector search or keyword search found for a single query.

        Args:
            rows: (k,) documents found, in any order.
            scores: (k,) their float32 scores.
            score_rows: returns the (n,) scores of (n,) ascending rows.

        Returns:
            The leg, with its rows ascending.
        """
        order = np.argsort(rows)
        return cls(Found(rows[order][None], scores[order][None]), lambda _, rows: score_rows(rows))


class Candidates(NamedTuple):
    """Documents that can be among a query's best when both legs are fused, with the scores of both.

    Attributes:
        rows: (q, n) documents, ascending.
        words: (q, n) BM25's scores; -inf where a query has fewer than n candidates.
        vectors: (q, n) cosines, or estimates of them.
    """

    rows: NDArray[np.int64]
    words: NDArray[np.float32]
    vectors: NDArray[np.float32]


def gather_candidates(vectors: Leg, words: Leg) -> Candidates:
    """Score the documents that keyword or vector search found by both searches.

    Args:
        vectors: results of vector search: at least one document per query, if keyword search found any.
        words: results of keyword search; documents with score 0 share no word with the query and are not candidates.

    Returns:
        The candidates of each query, at most as many as both legs found together.
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
    """Rank each query's candidates by fused score, equal scores by row, and return the `depth` best."""
    fused = fusion.fuse(candidates.words, candidates.vectors)
    best = np.argsort(-fused, axis=1, kind="stable")[:, :depth]
    return Found(np.take_along_axis(candidates.rows, best, axis=1), np.take_along_axis(fused, best, axis=1))


def fuse_one(vectors: Leg, words: Leg, fusion: Fusion) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Fuse the vector and keyword scores of a single query's n candidates; returns their ascending rows and scores."""
    candidates = gather_candidates(vectors, words)
    fused = fusion.fuse(candidates.words, candidates.vectors)[0]
    kept = ~np.isneginf(fused)
    return candidates.rows[0][kept], fused[kept]
