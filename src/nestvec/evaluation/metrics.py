"""Retrieval metrics per query, over arrays: one small function each, values in, values out, nothing averaged.

All read `ranked`, the gains of what was ranked, and where needed what was there to be found. A document that nobody
judged has gain `UNJUDGED` and counts as not relevant, with gain 0. They agree with trec_eval's on the same files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNJUDGED = -1
CUTOFF = 10


def recall(ranked: NDArray[np.int64], relevant_from: int, relevant: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of a query's relevant documents that are among those ranked.

    Args:
        ranked: (q, k) gains in ranked order.
        relevant_from: gain from which a document is relevant.
        relevant: (q,) relevant documents in the whole corpus, at least 1.

    Returns:
        (q,) values between 0 and 1.
    """
    share: NDArray[np.float64] = (ranked >= relevant_from).sum(axis=1) / relevant
    return share


def reciprocal_rank(ranked: NDArray[np.int64], relevant_from: int) -> NDArray[np.float64]:
    """1 over the rank of the first relevant document; 0 if none is ranked.

    Args:
        ranked: (q, k) gains in ranked order.
        relevant_from: gain from which a document is relevant.

    Returns:
        (q,) values between 0 and 1.
    """
    hits = ranked >= relevant_from
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def ndcg(ranked: NDArray[np.int64], ideal: NDArray[np.int64]) -> NDArray[np.float64]:
    """Discounted cumulative gain over that of the best possible order; the gain is linear in the grade.

    Source: Järvelin & Kekäläinen 2002, with the discount 1 / log2(rank + 1) of trec_eval.

    Args:
        ranked: (q, k) gains in ranked order.
        ideal: (q, c) the query's highest gains up to the cutoff c, descending, 0 where it has fewer; one above 0.

    Returns:
        (q,) values between 0 and 1.
    """
    # summed in ranked order, so that equal rankings give equal bits whatever the number of queries
    found: NDArray[np.float64] = (np.maximum(ranked, 0) * _discount(ranked.shape[1])).sum(axis=1)
    share: NDArray[np.float64] = found / (ideal * _discount(ideal.shape[1])).sum(axis=1)
    return share


def judged(ranked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the places looked at whose document somebody judged for the query.

    Args:
        ranked: (q, k) gains in ranked order, k at least 1; fewer than the cutoff where the corpus is smaller.

    Returns:
        (q,) values between 0 and 1.
    """
    share: NDArray[np.float64] = (ranked > UNJUDGED).mean(axis=1)
    return share


def _discount(places: int) -> NDArray[np.float64]:
    """(places,) what a gain counts at each rank."""
    discount: NDArray[np.float64] = 1 / np.log2(np.arange(2, places + 2))
    return discount


class Judgements:
    """The gains of judged documents, looked up for whole rankings at a time.

    Args:
        query: (n,) int64, row of the query of each judgement, 0 … q - 1.
        document: (n,) int64, row of its document, 0 … d - 1.
        gain: (n,) int64, at least 0.
        shape: (q, d).
        relevant_from: gain from which a document is relevant, above 0.

    Attributes:
        keys: (n,) query x d + document of each judgement, ascending.
        values: (n,) its gain.
        relevant: (q,) relevant documents of each query.
    """

    def __init__(
        self,
        query: NDArray[np.int64],
        document: NDArray[np.int64],
        gain: NDArray[np.int64],
        shape: tuple[int, int],
        relevant_from: int,
    ) -> None:
        self.relevant_from = relevant_from
        self._documents = shape[1]
        order = np.argsort(query * shape[1] + document)
        self.keys = (query * shape[1] + document)[order]
        self.values = gain[order]
        self.relevant = np.bincount(query[gain >= relevant_from], minlength=shape[0])
        self._ideal = _highest(query, gain, shape[0])

    def gains(self, query: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """(r, k) gains of (r, k) ranked documents for (r,) queries; `UNJUDGED` where there is no judgement."""
        keys = query[:, None] * self._documents + documents
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.values[place], UNJUDGED)

    def measure(self, query: NDArray[np.int64], documents: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Every metric of a ranking, per query.

        Args:
            query: (r,) rows of queries, each with a relevant document.
            documents: (r, k) ranked rows of documents; the first `CUTOFF` are looked at.

        Returns:
            Metric name to (r,) values between 0 and 1.
        """
        found = self.gains(query, documents[:, :CUTOFF])
        return {
            f"recall@{CUTOFF}": recall(found, self.relevant_from, self.relevant[query]),
            f"mrr@{CUTOFF}": reciprocal_rank(found, self.relevant_from),
            f"ndcg@{CUTOFF}": ndcg(found, self._ideal[query]),
            f"judged@{CUTOFF}": judged(found),
        }


def _highest(query: NDArray[np.int64], gain: NDArray[np.int64], queries: int) -> NDArray[np.int64]:
    """(q, CUTOFF) every query's highest gains, descending, padded with 0."""
    order = np.lexsort((-gain, query))
    first = np.searchsorted(query[order], np.arange(queries))
    rank = np.arange(len(order)) - first[query[order]]
    kept = rank < CUTOFF
    highest = np.zeros((queries, CUTOFF), dtype=np.int64)
    highest[query[order][kept], rank[kept]] = gain[order][kept]
    return highest
