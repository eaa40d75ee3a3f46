"""Retrieval metrics per query, one small function each; nothing is averaged over queries.

Each function returns one value between 0 and 1 for each of q queries. A gain is a judged grade as an integer, in
thousandths of a grade. `ranked` holds the gains of each query's k ranked documents, best first, as (q, k). A document
is relevant from the gain `relevant_from` on; `relevant` holds each query's number of relevant documents in the whole
corpus, at least 1. A document that nobody judged has gain `UNJUDGED` and counts as not relevant, with gain 0. All
values agree with trec_eval's on the same files. Metrics named `condensed-…` are computed on rankings from which
unjudged documents were removed (Sakai 2007).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

UNJUDGED = -1
CONDENSED = "condensed-"  # prefix of metrics that are measured without unjudged documents
_DEEPEST = 100  # ranks of the best possible order that are kept


def recall(ranked: NDArray[np.int64], relevant_from: int, relevant: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute recall: the share of each query's relevant documents that are in its ranking."""
    share: NDArray[np.float64] = (ranked >= relevant_from).sum(axis=1) / relevant
    return share


def mean_recall(
    rankings: Mapping[str, Sequence[str]], gains: Mapping[str, Mapping[str, int]], relevant_from: int, cutoff: int
) -> float:
    """Compute the mean recall of rankings given as ids, as an index or an export returns them.

    Args:
        rankings: query id to document ids, best first.
        gains: for each query id, a mapping of document id to gain (grade in thousandths); every ranked query has a
            relevant document.
        relevant_from: gain from which a document is relevant.
        cutoff: how many documents of each ranking count.

    Returns:
        The mean, from 0 to 1; 0 without rankings.
    """
    if not rankings:
        return 0.0
    ranked = np.full((len(rankings), cutoff), UNJUDGED, dtype=np.int64)
    for row, (query, documents) in zip(ranked, rankings.items(), strict=True):
        row_gains = [gains[query].get(document, UNJUDGED) for document in documents[:cutoff]]
        row[: len(row_gains)] = row_gains
    relevant = np.array([sum(gain >= relevant_from for gain in gains[query].values()) for query in rankings])
    return float(recall(ranked, relevant_from, relevant).mean())


def reciprocal_rank(ranked: NDArray[np.int64], relevant_from: int) -> NDArray[np.float64]:
    """Compute the reciprocal rank: 1 / rank of each query's first relevant document; 0 if its ranking has none."""
    hits = ranked >= relevant_from
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def precision(ranked: NDArray[np.int64], relevant_from: int, cutoff: int) -> NDArray[np.float64]:
    """Compute precision: the share of the first `cutoff` ranks that hold a relevant document.

    In a ranking with fewer documents, the empty ranks count as not relevant.
    """
    share: NDArray[np.float64] = (ranked >= relevant_from).sum(axis=1) / cutoff
    return share


def accuracy(ranked: NDArray[np.int64], relevant_from: int) -> NDArray[np.float64]:
    """Return 1 for queries with a relevant document among the ranked ones, else 0."""
    hit: NDArray[np.float64] = np.asarray((ranked >= relevant_from).any(axis=1), dtype=np.float64)
    return hit


def average_precision(
    ranked: NDArray[np.int64], relevant_from: int, relevant: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute average precision: the precision at each relevant document's rank, averaged over all relevant documents.

    A relevant document that is not ranked counts as 0. The values are those of trec_eval's `map`.
    """
    hits = ranked >= relevant_from
    at = hits.cumsum(axis=1) / np.arange(1, ranked.shape[1] + 1)
    average: NDArray[np.float64] = np.where(hits, at, 0.0).sum(axis=1) / relevant
    return average


def ndcg(ranked: NDArray[np.number], ideal: NDArray[np.number]) -> NDArray[np.float64]:
    """Compute nDCG: the discounted cumulative gain of a ranking, divided by the gain of the best possible ranking.

    Source: Järvelin & Kekäläinen 2002, with the discount 1 / log2(rank + 1) of trec_eval.

    Args:
        ranked: (q, k) the gains of each query's ranked documents, best first, linear in the grade or exponential
            (`exponential_gains`).
        ideal: (q, c) each query's c highest gains, descending, padded with 0; the first is above 0.

    Returns:
        (q,) values between 0 and 1.
    """
    # summed in ranked order, so that equal rankings give equal bits whatever the number of queries
    gained: NDArray[np.float64] = (np.maximum(ranked, 0) * _rank_discount(ranked.shape[1])).sum(axis=1)
    share: NDArray[np.float64] = gained / (ideal * _rank_discount(ideal.shape[1])).sum(axis=1)
    return share


def exponential_gains(gains: NDArray[np.int64]) -> NDArray[np.float64]:
    """Convert gains, which are grades times 1,000, to 2^grade - 1 (Burges et al. 2005); negative gains become 0."""
    values: NDArray[np.float64] = np.exp2(np.maximum(gains, 0) / 1000) - 1
    return values


def condense_rankings(ranked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move the gains of judged documents to the front of each ranking, in their order, and `UNJUDGED` to the end."""
    order = np.argsort(ranked == UNJUDGED, axis=1, kind="stable")
    return np.take_along_axis(ranked, order, axis=1)


def judged_share(ranked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the share of each query's ranked documents that somebody judged."""
    share: NDArray[np.float64] = (ranked > UNJUDGED).mean(axis=1)
    return share


def _rank_discount(places: int) -> NDArray[np.float64]:
    """Compute nDCG's discount 1 / log2(rank + 1) for each rank from 1 to the given number."""
    discount: NDArray[np.float64] = 1 / np.log2(np.arange(2, places + 2))
    return discount


class Judgements:
    """The gains of judged documents, and the metrics of rankings by these gains.

    Args:
        query: (n,) int64, for each of n judgements the row of the judged query, 0 … q - 1.
        document: (n,) int64, for each judgement the row of the judged document, 0 … d - 1.
        gain: (n,) int64, for each judgement the grade in thousandths, at least 0.
        shape: the number of queries q and the number of documents d.
        relevant_from: gain from which a document is relevant, above 0.

    Attributes:
        keys: (n,) query row x d + document row of each judgement, ascending.
        values: (n,) the gain of each judgement, in the order of `keys`.
        relevant: (q,) the number of relevant documents of each query.
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
        self._ideal = _highest_gains(query, gain, shape[0])

    def gains(self, query: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up the gain of every document in r rankings; `UNJUDGED` for a document without a judgement.

        `query`, (r,), is the row of each ranking's query; `documents`, (r, k), are the rows of its k documents.
        """
        keys = query[:, None] * self._documents + documents
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.values[at], UNJUDGED)

    def measure(
        self, query: NDArray[np.int64], documents: NDArray[np.int64], cutoffs: Sequence[int] = (10,)
    ) -> dict[str, NDArray[np.float64]]:
        """Compute every metric of r rankings.

        Args:
            query: (r,) the row of each ranking's query, which has at least one relevant document.
            documents: (r, k) the rows of the documents of each ranking, best first.
            cutoffs: numbers of ranks to measure, 1 … 100; `map` uses the whole ranking.

        Returns:
            For each metric name, (r,) values between 0 and 1. The metrics are recall, mrr, ndcg, judged, precision,
            ndcg-exp and accuracy at each cutoff, such as `recall@10`, and map. All but judged are also computed without
            unjudged documents, with names that begin with `condensed-`.
        """
        gains = self.gains(query, documents)
        usual = self._measure_gains(query, gains, cutoffs)
        judged_only = self._measure_gains(query, condense_rankings(gains), cutoffs)
        named = {f"{CONDENSED}{name}": values for name, values in judged_only.items() if not name.startswith("judged")}
        return usual | named

    def _measure_gains(
        self, query: NDArray[np.int64], gains: NDArray[np.int64], cutoffs: Sequence[int]
    ) -> dict[str, NDArray[np.float64]]:
        """Compute every metric of r rankings, given the gains of their k documents in ranked order."""
        relevant, least = self.relevant[query], self.relevant_from
        values: dict[str, NDArray[np.float64]] = {}
        for cutoff in cutoffs:
            top, ideal = gains[:, :cutoff], self._ideal[query, :cutoff]
            values |= {
                f"recall@{cutoff}": recall(top, least, relevant),
                f"mrr@{cutoff}": reciprocal_rank(top, least),
                f"ndcg@{cutoff}": ndcg(top, ideal),
                f"judged@{cutoff}": judged_share(top),
                f"precision@{cutoff}": precision(top, least, cutoff),
                f"ndcg-exp@{cutoff}": ndcg(exponential_gains(top), exponential_gains(ideal)),
                f"accuracy@{cutoff}": accuracy(top, least),
            }
        return {**values, "map": average_precision(gains, least, relevant)}


def _highest_gains(query: NDArray[np.int64], gain: NDArray[np.int64], queries: int) -> NDArray[np.int64]:
    """Collect the `_DEEPEST` highest gains of each query, in descending order; missing ones are 0."""
    order = np.lexsort((-gain, query))
    first = np.searchsorted(query[order], np.arange(queries))
    rank = np.arange(len(order)) - first[query[order]]
    counted = rank < _DEEPEST
    highest = np.zeros((queries, _DEEPEST), dtype=np.int64)
    highest[query[order][counted], rank[counted]] = gain[order][counted]
    return highest
