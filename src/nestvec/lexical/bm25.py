"""BM25 in Lucene's form: words are counted once and weighted with any k1 and b.

The index keeps counts, not weights, so that tuning, an index that grows and a database can compute new weights from
the same counts. bm25s keeps only weights for one k1 and b, so the counts are in a SciPy matrix instead.
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
    """Settings of BM25; the defaults are the usual, untuned ones.

    Attributes:
        forms: which words count, and in which form.
        k1: how much repetitions of a word raise the score; 0 ignores repetitions.
        b: how much long documents are penalised, from 0 (not at all) to 1.
        correction: how query words that are in no document are corrected to words of the documents; None corrects none.
    """

    forms: WordForms = ENGLISH
    k1: float = 1.5
    b: float = 0.75
    correction: CorrectionRules | None = None


UNTUNED = LexicalSettings()


@dataclass(frozen=True)
class WordCounts:
    """How often each word occurs in each of d documents.

    Attributes:
        forms: which words were counted, and in which form.
        places: word to its row in `counts`, in alphabetical order.
        counts: (words, d) CSR array of SciPy with the numbers of occurrences.
    """

    forms: WordForms
    places: dict[str, int]
    counts: Any

    @classmethod
    def of(cls, documents: Sequence[str], forms: WordForms) -> WordCounts:
        """Count the words of d texts; raises MissingExtraError if PyStemmer is not installed."""
        from scipy.sparse import csr_array

        held = split_words(documents, forms)
        places = {word: place for place, word in enumerate(sorted(set().union(*held)))}
        rows = np.fromiter((places[word] for words in held for word in words), np.int64)
        columns = np.repeat(np.arange(len(held)), [len(words) for words in held])
        once = np.ones(len(rows), dtype=np.int32)  # SciPy sums what stands at one place
        return cls(forms, places, csr_array((once, (rows, columns)), shape=(len(places), len(held))))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words in each of the d documents."""
        lengths: NDArray[np.int64] = np.asarray(self.counts.sum(axis=0), dtype=np.int64)
        return lengths

    @cached_property
    def holders(self) -> NDArray[np.int64]:
        """(words,) number of documents that hold each word (document frequency)."""
        holders: NDArray[np.int64] = np.diff(self.counts.indptr).astype(np.int64)
        return holders

    def count_queries(self, queries: Sequence[str]) -> Any:  # noqa: ANN401 - SciPy has no types
        """Count the words of q queries that occur in documents: a sparse matrix, queries x words, of float64."""
        from scipy.sparse import csr_array

        held = [Counter(word for word in words if word in self.places) for words in split_words(queries, self.forms)]
        rows = np.repeat(np.arange(len(held)), [len(counter) for counter in held])
        columns = np.fromiter((self.places[word] for counter in held for word in counter), np.int64)
        times = np.fromiter((count for counter in held for count in counter.values()), np.float64)
        return csr_array((times, (rows, columns)), shape=(len(held), len(self.places)))


def weigh_rarity(documents: int, holders: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the idf of words in Lucene's form from (n,) document frequencies; returns (n,)."""
    rarity: NDArray[np.float64] = np.log1p((documents - holders + 0.5) / (holders + 0.5))
    return rarity


def damp_lengths(lengths: NDArray[np.int64], mean: float, k1: float, b: float) -> NDArray[np.float64]:
    """Compute BM25's length normalisation k1 (1 - b + b length / mean) of documents with (n,) words; returns (n,)."""
    return np.asarray(k1 * (1 - b + b * lengths / (mean or 1)), dtype=np.float64)


def weigh_words(
    rarity: NDArray[np.float64] | float, counts: NDArray[np.integer[Any]], damp: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute how much each of n pairs of a word and a document adds to the document's score.

    Args:
        rarity: (n,) idf of the words, or the idf of a single word, see `weigh_rarity`.
        counts: (n,) occurrences of the word in the document.
        damp: (n,) length normalisation of the documents, see `damp_lengths`.

    Returns:
        (n,) weights. A score is the sum over the query's words, in the words' order, of the weight times the word's
        occurrences in the query.
    """
    times = counts.astype(np.float64)
    return rarity * times / (times + damp)


class Bm25:
    """BM25 index of d documents; a document that shares no word with a query scores 0. Searches are thread-safe.

    Scores are summed in float64 in the words' order and rounded once to float32, so that equal documents get equal
    scores, here and in every store that holds the counts.
    Source: Robertson & Zaragoza 2009, with the idf of Lucene, which is never negative.

    Args:
        counts: word counts of d documents in tie order.
        k1: how much repetitions of a word raise the score.
        b: how much long documents are penalised.
        corrector: corrects queries before their words are counted; None leaves queries as they are.
    """

    def __init__(self, counts: WordCounts, k1: float, b: float, corrector: Corrector | None = None) -> None:
        self.counts, self.corrector = counts, corrector
        self.k1, self.b = k1, b

    @classmethod
    def of(cls, documents: Sequence[str], settings: LexicalSettings = LexicalSettings()) -> Bm25:
        """Index d texts in tie order; raises MissingExtraError if a library of the extra is not installed."""
        rules = settings.correction
        corrector = Corrector.of(documents, settings.forms, rules) if rules else None
        return cls(WordCounts.of(documents, settings.forms), settings.k1, settings.b, corrector)

    @property
    def settings(self) -> LexicalSettings:
        """The settings of this index."""
        return LexicalSettings(self.counts.forms, self.k1, self.b, self.corrector.rules if self.corrector else None)

    def correct(self, queries: Sequence[str]) -> list[str]:
        """Correct q queries; without a corrector they are returned unchanged."""
        return self.corrector.correct(queries) if self.corrector else list(queries)

    def count_queries(self, queries: Sequence[str]) -> Any:  # noqa: ANN401 - SciPy has no types
        """Correct q queries and count their known words, as `WordCounts.count_queries` does."""
        return self.counts.count_queries(self.correct(queries))

    def top_k(
        self, queries: Sequence[str], k: int, advance: Callable[[int], None] = lambda _: None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the best documents of each query.

        Documents that score 0 follow in tie order, so that every ranking has k documents.

        Args:
            queries: q texts.
            k: at least 1; at most d are returned.
            advance: called with the number of queries done since the last call.

        Returns:
            (q, min(k, d)) rows of documents, best first, and their float32 scores.
        """
        return self.rank(self.count_queries(queries), k, advance)

    def rank(
        self,
        asked: Any,  # noqa: ANN401 - SciPy has no types
        k: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the best documents of each query whose words are counted already.

        Args:
            asked: what `count_queries` gave for q queries.
            k: at least 1; at most d are returned.
            advance: called with the number of queries done since the last call.

        Returns:
            (q, min(k, d)) rows of documents, best first, and their float32 scores.
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
        """Score pairs of a query and a document with the same scores as `rank`.

        Args:
            asked: what `count_queries` gave for q queries.
            query: (n,) rows of queries.
            rows: (n,) rows of documents.

        Returns:
            (n,) scores.
        """
        scores = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), _PAIRS):
            part = slice(first, first + _PAIRS)
            scores[part] = asked[query[part]].multiply(self._by_document[rows[part]]).sum(axis=1)
        return scores

    def score_all(self, asked: Any) -> NDArray[np.float32]:  # noqa: ANN401 - SciPy has no types
        """Score every document for q counted queries, with the same scores as `rank`: (q, d) float32."""
        scores = np.empty((asked.shape[0], self.counts.counts.shape[1]), dtype=np.float32)
        for first in range(0, len(scores), _STEP):
            scores[first : first + _STEP] = (asked[first : first + _STEP] @ self._weights).toarray()
        return scores

    @cached_property
    def _weights(self) -> Any:  # noqa: ANN401 - SciPy has no types
        """Sparse matrix, words x documents: how much each word adds to each document's score."""
        counts, documents = self.counts.counts, self.counts.counts.shape[1]
        rarity = np.repeat(weigh_rarity(documents, self.counts.holders), self.counts.holders)
        damp = damp_lengths(self.counts.lengths, self.counts.lengths.sum() / max(1, documents), self.k1, self.b)
        weights = counts.astype(np.float64)
        weights.data = weigh_words(rarity, counts.data, damp[counts.indices])
        return weights

    @cached_property
    def _by_document(self) -> Any:  # noqa: ANN401
        """Sparse matrix, documents x words: how much each word adds to each document's score."""
        return self._weights.T.tocsr()


def _best_of(
    rows: NDArray[np.int32], scores: NDArray[np.float32], k: int, documents: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find a query's k best documents; where fewer than k share a word with the query, documents that score 0 follow.

    Sorting only the documents that share a word takes a tenth of the time of sorting all.
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
