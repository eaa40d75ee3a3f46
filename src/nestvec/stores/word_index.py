"""Keyword search of an embedded index: BM25 with the same scores as in the evaluation.

Words that many documents contain have little weight and take most of the time. A search reads the rarer words of the
query first. It skips the frequent words once documents without any rarer word can no longer be among the best (Turtle &
Flood 1995): over a million titles, a search takes 0.5 ms instead of 5 ms. The candidates are then scored by all words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.lexical.bm25 import damp_lengths, weigh_rarity, weigh_words
from nestvec.lexical.corrections import Corrector
from nestvec.lexical.words import split_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nestvec.lexical.bm25 import LexicalSettings
    from nestvec.stores.postings import Postings, Span

    LookUp = Callable[[Sequence[str]], Mapping[str, Mapping[int, Span]]]  # words to {word: {segment's number: span}}

_SLACK = 1 - 1e-6  # float64 sums whose ratio is closer to 1 may round to the same float32 score


class _AskedWord(NamedTuple):
    """A word of a query, and the documents that contain the word.

    Attributes:
        rows: row numbers of these documents, ascending.
        counts: how often each of these documents contains the word.
        rarity: the word's idf.
        times: how often the query contains the word.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    rarity: float
    times: int

    @property
    def most(self) -> float:
        """The most that the word can add to the BM25 score of any document."""
        return self.times * self.rarity


class WordIndex:
    """The keyword index (BM25) over all segments of an embedded index. One thread at a time may search it.

    Args:
        postings: the postings of all segments, in the order of their rows.
        live: boolean for each row: whether its document is still in the index.
        settings: how texts are split into words, and BM25's parameters.
        look_up: finds where each segment's postings of given words begin and end.
        read_texts: yields the texts of all documents; spelling correction learns its vocabulary from them.
    """

    def __init__(
        self,
        postings: Sequence[Postings],
        live: NDArray[np.bool_],
        settings: LexicalSettings,
        look_up: LookUp,
        read_texts: Callable[[], Iterable[str]],
    ) -> None:
        self._postings, self._live, self._settings, self._look_up = postings, live, settings, look_up
        self._read_texts = read_texts
        lengths = np.concatenate([np.zeros(0, dtype=np.int64), *(part.lengths for part in postings)])
        self._documents = int(live.sum())
        mean = lengths[live].sum() / max(1, self._documents)
        self._damp = damp_lengths(lengths, mean, settings.k1, settings.b)
        self._sums = np.zeros(len(live))  # 0 between searches

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with corrected spelling, or unchanged if the index does not correct spelling."""
        return self._corrector.correct(texts) if self._corrector else list(texts)

    def ask(self, text: str) -> AskedWords:
        """Correct a query's spelling and find the documents that contain any of its words."""
        asked = Counter(split_words(self.correct([text]), self._settings.forms)[0])
        spans = self._look_up(list(asked))
        found = (self._find_word(spans[word], asked[word]) for word in sorted(spans))  # in the order of BM25's sums
        return AskedWords([word for word in found if len(word.rows)], self._damp, self._sums)

    @cached_property
    def _corrector(self) -> Corrector | None:
        """The object that corrects the spelling of queries; None if the index does not correct spelling."""
        rules = self._settings.correction
        return Corrector.of(self._read_texts(), self._settings.forms, rules) if rules else None

    def _find_word(self, spans: Mapping[int, Span], times: int) -> _AskedWord:
        """Collect the documents that contain a word from the postings of all segments.

        `spans` says for each segment's number where its postings of the word begin and end; `times` is how often the
        query contains the word.
        """
        entries = [self._postings[number].find(span) for number, span in sorted(spans.items())]
        rows, counts = entries[0] if len(entries) == 1 else np.concatenate(entries, axis=1)
        if self._documents < len(self._live):
            kept = self._live[rows]
            rows, counts = rows[kept], counts[kept]
        return _AskedWord(rows, counts, float(weigh_rarity(self._documents, np.array([len(rows)]))[0]), times)


@dataclass(frozen=True)
class AskedWords:
    """The words of a query, and the documents that contain them.

    Attributes:
        words: the query's words that at least one document contains, in alphabetical order.
        damp: BM25's length normalisation of each row's document.
        sums: a zero for each row, used as working memory; each search sets it back to zero.
    """

    words: Sequence[_AskedWord]
    damp: NDArray[np.float64]
    sums: NDArray[np.float64]

    def find_best(self, k: int, allowed: NDArray[np.bool_] | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find candidates that are certain to include the k documents with the highest BM25 scores, ties included.

        Args:
            k: number of documents to find, at least 1.
            allowed: boolean for each row: whether its document may be returned; None allows all.

        Returns:
            The candidates' row numbers, ascending, and their BM25 scores, each above 0.
        """
        rarest = sorted(self.words, key=lambda word: -word.most)
        rests = list(accumulate(word.most for word in reversed(rarest)))[::-1]  # the most that the words left can add
        reached, least = np.zeros(0, dtype=np.int64), 0.0
        try:
            for word, rest in zip([*rarest, None], [*rests, 0.0], strict=True):
                least = self._find_least(reached, k)
                if word is None or rest < least * _SLACK:
                    break
                reached = np.concatenate([reached, self._add_word(word, allowed)])
            rows = np.sort(reached[self.sums[reached] + rest >= least * _SLACK])
        finally:
            self.sums[reached] = 0
        return rows, self.score(rows)

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute the query's BM25 scores of the documents in the given rows, which must be ascending."""
        scores = np.zeros(len(rows))
        for word in self.words:
            place = np.minimum(np.searchsorted(word.rows, rows), len(word.rows) - 1)
            holds = np.flatnonzero(word.rows[place] == rows)
            scores[holds] += self._weigh(word, place[holds])
        return scores.astype(np.float32)

    def _find_least(self, reached: NDArray[np.int64], k: int) -> float:
        """Return the k-th highest score so far among the candidates' rows; 0 if there are fewer than k candidates."""
        if len(reached) < k:
            return 0.0
        return float(np.partition(self.sums[reached], len(reached) - k)[len(reached) - k])

    def _add_word(self, word: _AskedWord, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Add a word's BM25 weights to the scores of its documents; returns rows that contain no earlier word."""
        kept = slice(None) if allowed is None else np.flatnonzero(allowed[word.rows])
        rows: NDArray[np.int64] = word.rows[kept].astype(np.int64)
        sums = self.sums[rows]
        self.sums[rows] = sums + self._weigh(word, kept)
        return np.asarray(rows[sums == 0])

    def _weigh(self, word: _AskedWord, places: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute what a word adds to the BM25 scores of some of its documents, given by places in `word.rows`."""
        return word.times * weigh_words(word.rarity, word.counts[places], self.damp[word.rows[places]])
