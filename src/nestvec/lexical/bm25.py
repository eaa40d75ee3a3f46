"""Keyword search with BM25 in Lucene's form, over word counts from which scores for any k1 and b can be computed.

A `Bm25` index stores how often each document contains each word, not the weights that result for one k1 and b. Tuning,
a growing index and a database can therefore compute new weights from the same counts. The library bm25s stores only
weights, so nestvec keeps the counts in a SciPy matrix instead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.lexical.corrections import Corrector
from nestvec.lexical.words import ENGLISH, WordForms, split_words
from nestvec.vectors.topk import best_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.lexical.corrections import CorrectionRules

_STEP = 64  # queries scored at a time, and between two progress reports
_PAIRS = 65_536  # of a query and a document, scored at a time


@dataclass(frozen=True)
class LexicalSettings:
    """Settings of keyword search with BM25; the defaults are the usual values, not tuned on any data.

    Attributes:
        forms: how texts are split into words: language, stemming and stop words.
        k1: how much repetitions of a word raise the score; 0 ignores repetitions.
        b: how much long documents are penalised, from 0 (not at all) to 1.
        correction: rules that replace query words that no document contains by words of the documents; None turns
            spelling correction off.
    """

    forms: WordForms = ENGLISH
    k1: float = 1.5
    b: float = 0.75
    correction: CorrectionRules | None = None


UNTUNED = LexicalSettings()


@dataclass(frozen=True)
class WordCounts:
    """How often each of d documents contains each word of the vocabulary.

    Attributes:
        forms: how the texts were split into words: language, stemming and stop words.
        places: each word's row in `counts`; the words are in alphabetical order.
        counts: SciPy CSR array with a row for each word and a column for each document: how often the document contains
            the word.
    """

    forms: WordForms
    places: dict[str, int]
    counts: Any

    @classmethod
    def of(cls, documents: Sequence[str], forms: WordForms) -> WordCounts:
        """Count the words of each document's text; raises MissingExtraError if PyStemmer is not installed."""
        from scipy.sparse import csr_array

        held = split_words(documents, forms)
        places = {word: place for place, word in enumerate(sorted(set().union(*held)))}
        rows = np.fromiter((places[word] for words in held for word in words), np.int64)
        columns = np.repeat(np.arange(len(held)), [len(words) for words in held])
        once = np.ones(len(rows), dtype=np.int32)  # SciPy sums what stands at one place
        return cls(forms, places, csr_array((once, (rows, columns)), shape=(len(places), len(held))))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each of the d documents in words, as a (d,) array."""
        lengths: NDArray[np.int64] = np.asarray(self.counts.sum(axis=0), dtype=np.int64)
        return lengths

    @cached_property
    def holders(self) -> NDArray[np.int64]:
        """The document frequency of each word: the number of documents that contain the word."""
        holders: NDArray[np.int64] = np.diff(self.counts.indptr).astype(np.int64)
        return holders

    def count_queries(self, queries: Sequence[str]) -> Any:  # noqa: ANN401 - SciPy has no types
        """Count the words of q queries; words that no document contains are left out.

        Returns a SciPy CSR array of float64 with a row for each query and a column for each word of the vocabulary.
        """
        from scipy.sparse import csr_array

        held = [Counter(word for word in words if word in self.places) for words in split_words(queries, self.forms)]
        rows = np.repeat(np.arange(len(held)), [len(counter) for counter in held])
        columns = np.fromiter((self.places[word] for counter in held for word in counter), np.int64)
        times = np.fromiter((count for counter in held for count in counter.values()), np.float64)
        return csr_array((times, (rows, columns)), shape=(len(held), len(self.places)))


def weigh_rarity(documents: int, holders: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the idf of n words in Lucene's form from their document frequencies and the number of documents."""
    rarity: NDArray[np.float64] = np.log1p((documents - holders + 0.5) / (holders + 0.5))
    return rarity


def damp_lengths(lengths: NDArray[np.int64], mean: float, k1: float, b: float) -> NDArray[np.float64]:
    """Compute BM25's length normalisation k1 (1 - b + b length / mean) of n documents from their lengths in words."""
    return np.asarray(k1 * (1 - b + b * lengths / (mean or 1)), dtype=np.float64)


def weigh_words(
    rarity: NDArray[np.float64] | float, counts: NDArray[np.integer[Any]], damp: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the BM25 weight of a word in a document, for n pairs of a word and a document.

    Args:
        rarity: the word's idf for each pair, or one idf if all pairs have the same word, see `weigh_rarity`.
        counts: for each pair, how often the document contains the word.
        damp: for each pair, the length normalisation of the document, see `damp_lengths`.

    Returns:
        The n weights. A document's score for a query is the sum over the query's words, in alphabetical order, of the
        word's weight times the number of its occurrences in the query.
    """
    times = counts.astype(np.float64)
    return rarity * times / (times + damp)


class Bm25:
    """BM25 index of d documents; a document that shares no word with a query scores 0. Searches are thread-safe.

    Scores are summed in float64 over the words in alphabetical order and rounded once to float32, so that equal
    documents get equal scores, here and in every store that computes BM25 from such counts.
    Source: Robertson & Zaragoza 2009, with the idf of Lucene, which is never negative.

    Args:
        counts: word counts of d documents, which are in tie order (greatest document id first).
        k1: how much repetitions of a word raise the score.
        b: how much long documents are penalised.
        corrector: corrects the spelling of queries before their words are counted; None leaves queries as they are.
    """

    def __init__(self, counts: WordCounts, k1: float, b: float, corrector: Corrector | None = None) -> None:
        self.counts, self.corrector = counts, corrector
        self.k1, self.b = k1, b

    @classmethod
    def of(cls, documents: Sequence[str], settings: LexicalSettings = LexicalSettings()) -> Bm25:
        """Index the texts of d documents, which must be in tie order (greatest document id first).

        Raises MissingExtraError if PyStemmer, or symspellpy for the correction of queries, is not installed.
        """
        rules = settings.correction
        corrector = Corrector.of(documents, settings.forms, rules) if rules else None
        return cls(WordCounts.of(documents, settings.forms), settings.k1, settings.b, corrector)

    @property
    def settings(self) -> LexicalSettings:
        """The BM25 settings that this index uses."""
        return LexicalSettings(self.counts.forms, self.k1, self.b, self.corrector.rules if self.corrector else None)

    def correct(self, queries: Sequence[str]) -> list[str]:
        """Correct the spelling of queries; an index without a corrector returns the queries unchanged."""
        return self.corrector.correct(queries) if self.corrector else list(queries)

    def count_queries(self, queries: Sequence[str]) -> Any:  # noqa: ANN401 - SciPy has no types
        """Correct the spelling of q queries and count their words, without words that no document contains.

        Returns a SciPy CSR array with a row for each query and a column for each word of the vocabulary.
        """
        return self.counts.count_queries(self.correct(queries))

    def top_k(
        self, queries: Sequence[str], k: int, advance: Callable[[int], None] = lambda _: None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the k documents with the highest BM25 scores for each query.

        Documents that share no word with the query score 0 and fill the ranking up to k, the greatest document id
        first.

        Args:
            queries: texts of q queries.
            k: number of documents to return for each query, at least 1; never more than the index holds.
            advance: called with the number of queries that were finished since the call before.

        Returns:
            For each of the q queries the rows of its documents, best first, and their float32 scores.
        """
        return self.rank(self.count_queries(queries), k, advance)

    def rank(
        self,
        asked: Any,  # noqa: ANN401 - SciPy has no types
        k: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the k documents with the highest BM25 scores for queries whose words are already counted.

        Args:
            asked: the word counts of q queries, as `count_queries` returns them.
            k: number of documents to return for each query, at least 1; never more than the index holds.
            advance: called with the number of queries that were finished since the call before.

        Returns:
            For each of the q queries the rows of its documents, best first, and their float32 scores.
        """
        queries, k = asked.shape[0], min(k, self.counts.counts.shape[1])
        rows, best = np.empty((queries, k), dtype=np.int64), np.empty((queries, k), dtype=np.float32)
        for first in range(0, queries, _STEP):
            scores = asked[first : first + _STEP] @ self._weights
            for place in range(scores.shape[0]):
                held = slice(scores.indptr[place], scores.indptr[place + 1])
                found = scores.indices[held], scores.data[held].astype(np.float32)
                rows[first + place], best[first + place] = _best_of(*found, k, scores.shape[1])
            advance(scores.shape[0])
        return rows, best

    def score_pairs(
        self,
        asked: Any,  # noqa: ANN401 - SciPy has no types
        query: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Compute the BM25 scores of n pairs of a query and a document; the scores equal those that `rank` returns.

        Args:
            asked: the word counts of q queries, as `count_queries` returns them.
            query: for each pair, the query's row in `asked`.
            rows: for each pair, the document's row.

        Returns:
            The n scores.
        """
        scores = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), _PAIRS):
            part = slice(first, first + _PAIRS)
            scores[part] = asked[query[part]].multiply(self._by_document[rows[part]]).sum(axis=1)
        return scores

    def score_all(self, asked: Any) -> NDArray[np.float32]:  # noqa: ANN401 - SciPy has no types
        """Compute the BM25 scores of all d documents for q queries whose words are counted; returns (q, d) float32."""
        scores = np.empty((asked.shape[0], self.counts.counts.shape[1]), dtype=np.float32)
        for first in range(0, len(scores), _STEP):
            scores[first : first + _STEP] = (asked[first : first + _STEP] @ self._weights).toarray()
        return scores

    @cached_property
    def _weights(self) -> Any:  # noqa: ANN401 - SciPy has no types
        """SciPy CSR array with a row for each word and a column for each document: the word's BM25 weight in it."""
        counts, documents = self.counts.counts, self.counts.counts.shape[1]
        rarity = np.repeat(weigh_rarity(documents, self.counts.holders), self.counts.holders)
        damp = damp_lengths(self.counts.lengths, self.counts.lengths.sum() / max(1, documents), self.k1, self.b)
        weights = counts.astype(np.float64)
        weights.data = weigh_words(rarity, counts.data, damp[counts.indices])
        return weights

    @cached_property
    def _by_document(self) -> Any:  # noqa: ANN401
        """SciPy CSR array of BM25 weights with a row for each document and a column for each word."""
        return self._weights.T.tocsr()


def _best_of(
    rows: NDArray[np.int32], scores: NDArray[np.float32], k: int, documents: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k best documents of a query from its scored ones; documents with score 0 fill up, in row order.

    Only documents that share a word with the query are scored and sorted: a tenth of the time of sorting all.
    """
    if len(rows) < k:
        whole = np.zeros(documents, dtype=np.float32)
        whole[rows] = scores
        best = best_rows(whole, k)
        return best, whole[best]
    order = np.argsort(rows)
    rows, scores = rows[order], scores[order]
    best = best_rows(scores, k)
    return rows[best].astype(np.int64), scores[best]
