"""Keyword search of the embedded store: BM25 over the documents of one state of the index, as in the evaluation.

Words that many documents contain have little weight and take most of the time. They are processed last, and skipped
once documents without any of the rarer words can no longer be among the best (Turtle & Flood 1995): over a million
titles, a search takes 0.5 ms instead of 5 ms. The remaining candidates are scored exactly, by adding the words' weights
in the same order as `Bm25` does.
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
    """A word of a query, with the n documents that contain the word.

    Attributes:
        rows: (n,) row numbers of these documents, ascending.
        counts: (n,) how often each document contains the word.
        rarity: the word's inverse document frequency (idf).
        times: how often the query contains the word.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    rarity: float
    times: int

    @property
    def most(self) -> float:
        """The most that the word can add to a document's BM25 score."""
        return self.times * self.rarity


class WordIndex:
    """A BM25 index over all segments of an embedded index; one thread at a time may search it.

    Args:
        postings: the postings of all segments, in the order of their rows.
        live: for each row, whether its document is still in the index.
        settings: BM25's parameters, and how texts are split into words.
        look_up: a function that finds the entries of words in the postings of each segment.
        read_texts: a function that yields the texts of all documents, from which spelling correction learns words.
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
        """Return the queries with the spelling correction that keyword search applies; see `Store.correct`."""
        return self._corrector.correct(texts) if self._corrector else list(texts)

    def ask(self, text: str) -> AskedWords:
        """Correct a query's spelling, and find the documents that contain any of the query's words."""
        asked = Counter(split_words(self.correct([text]), self._settings.forms)[0])
        spans = self._look_up(list(asked))
        found = (self._find_word(spans[word], asked[word]) for word in sorted(spans))  # in the order of BM25's sums
        return AskedWords([word for word in found if len(word.rows)], self._damp, self._sums)

    @cached_property
    def _corrector(self) -> Corrector | None:
        """The spelling corrector for queries; None if the run used no spelling correction."""
        rules = self._settings.correction
        return Corrector.of(self._read_texts(), self._settings.forms, rules) if rules else None

    def _find_word(self, spans: Mapping[int, Span], times: int) -> _AskedWord:
        """Collect the documents that contain a word; `spans` has the place of the word's entries by segment number."""
        entries = [self._postings[number].find(span) for number, span in sorted(spans.items())]
        rows, counts = entries[0] if len(entries) == 1 else np.concatenate(entries, axis=1)
        if self._documents < len(self._live):
            kept = self._live[rows]
            rows, counts = rows[kept], counts[kept]
        return _AskedWord(rows, counts, float(weigh_rarity(self._documents, np.array([len(rows)]))[0]), times)


@dataclass(frozen=True)
class AskedWords:
    """The words of a query and the documents that contain them.

    Attributes:
        words: the query's words that some document contains, in the order in which BM25 adds them up.
        damp: (rows,) BM25's length normalisation of each row's document.
        sums: (rows,) zeros, used as working memory; each search sets them back to zeros.
    """

    words: Sequence[_AskedWord]
    damp: NDArray[np.float64]
    sums: NDArray[np.float64]

    def find_best(self, k: int, allowed: NDArray[np.bool_] | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find candidates that are certain to include the k best documents and all that tie with the k-th.

        Args:
            k: number of documents, at least 1.
            allowed: (rows,) whether each row may be returned; None allows all.

        Returns:
            (n,) rows, ascending, and their scores, each above 0.
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
        """Compute the (n,) BM25 scores of (n,) ascending rows."""
        scores = np.zeros(len(rows))
        for word in self.words:
            place = np.minimum(np.searchsorted(word.rows, rows), len(word.rows) - 1)
            holds = np.flatnonzero(word.rows[place] == rows)
            scores[holds] += self._weigh(word, place[holds])
        return scores.astype(np.float32)

    def _find_least(self, reached: NDArray[np.int64], k: int) -> float:
        """Return the k-th highest partial BM25 score of the given rows; 0 if there are fewer than k rows."""
        if len(reached) < k:
            return 0.0
        return float(np.partition(self.sums[reached], len(reached) - k)[len(reached) - k])

    def _add_word(self, word: _AskedWord, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Add a word's weights to the documents' partial BM25 scores; returns rows that had no score before."""
        kept = slice(None) if allowed is None else np.flatnonzero(allowed[word.rows])
        rows: NDArray[np.int64] = word.rows[kept].astype(np.int64)
        sums = self.sums[rows]
        self.sums[rows] = sums + self._weigh(word, kept)
        return np.asarray(rows[sums == 0])

    def _weigh(self, word: _AskedWord, places: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute what a word adds to BM25 scores of documents; `places` selects them among the word's documents."""
        return word.times * weigh_words(word.rarity, word.counts[places], self.damp[word.rows[places]])
