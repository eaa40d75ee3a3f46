"""The words of all documents that an embedded store holds at one moment, searched by BM25 as the evaluation does.

Words that many documents hold weigh little and take the time. So they come last, and are passed over where documents
that hold none of the rarer words cannot be among the best any more (Turtle & Flood 1995): at a million titles that is
half a millisecond in place of five. Whatever is left is then scored exactly, in `Bm25`'s own order.
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

    LookUp = Callable[[Sequence[str]], Mapping[str, Mapping[int, Span]]]  # word to the spans in segments, by number

_SLACK = 1 - 1e-6  # what falls short of a score by less may round to the same float32


class _AskedWord(NamedTuple):
    """A word of a query that some documents hold.

    Attributes:
        rows: (n,) of these documents, ascending.
        counts: (n,) how often each holds it.
        rarity: see `bm25.weigh_rarity`.
        times: how often the query holds it.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    rarity: float
    times: int

    @property
    def most(self) -> float:
        """The most that it can add to a score."""
        return self.times * self.rarity


class WordIndex:
    """See the module. One thread at a time may search.

    Args:
        postings: of all segments, whose rows follow each other.
        live: (rows,) which rows hold a document.
        settings: how words match.
        look_up: finds words in the segments.
        read_texts: gives the texts of all documents, which correct queries.
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
        """Queries as their words are searched, see `Store.correct`."""
        return self._corrector.correct(texts) if self._corrector else list(texts)

    def ask(self, text: str) -> AskedWords:
        """Find the documents that hold the words of a query, once it is corrected."""
        asked = Counter(split_words(self.correct([text]), self._settings.forms)[0])
        spans = self._look_up(list(asked))
        found = (self._find_word(spans[word], asked[word]) for word in sorted(spans))  # in the order of BM25's sums
        return AskedWords([word for word in found if len(word.rows)], self._damp, self._sums)

    @cached_property
    def _corrector(self) -> Corrector | None:
        """What corrects queries; None where the run did not correct them."""
        rules = self._settings.correction
        return Corrector.of(self._read_texts(), self._settings.forms, rules) if rules else None

    def _find_word(self, spans: Mapping[int, Span], times: int) -> _AskedWord:
        """A word with its documents in all segments, by the segments' numbers."""
        entries = [self._postings[number].find(span) for number, span in sorted(spans.items())]
        rows, counts = entries[0] if len(entries) == 1 else np.concatenate(entries, axis=1)
        if self._documents < len(self._live):
            kept = self._live[rows]
            rows, counts = rows[kept], counts[kept]
        return _AskedWord(rows, counts, float(weigh_rarity(self._documents, np.array([len(rows)]))[0]), times)


@dataclass(frozen=True)
class AskedWords:
    """The words of a query and the documents that hold them.

    Attributes:
        words: those that some document holds, in the order of BM25's sums.
        damp: (rows,) see `bm25.damp_lengths`.
        sums: (rows,) zeros to count in; they are zeros again after each search.
    """

    words: Sequence[_AskedWord]
    damp: NDArray[np.float64]
    sums: NDArray[np.float64]

    def find_best(self, k: int, allowed: NDArray[np.bool_] | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Documents among which the k best are, with all that tie with the last of them.

        Args:
            k: at least 1.
            allowed: (rows,) which documents may be found; None: all.

        Returns:
            (n,) rows, ascending, and their scores, each more than 0.
        """
        rarest = sorted(self.words, key=lambda word: -word.most)
        rests = list(accumulate(word.most for word in reversed(rarest)))[::-1]  # all that is still to come
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
        """(n,) BM25's scores of (n,) ascending rows."""
        scores = np.zeros(len(rows))
        for word in self.words:
            place = np.minimum(np.searchsorted(word.rows, rows), len(word.rows) - 1)
            holds = np.flatnonzero(word.rows[place] == rows)
            scores[holds] += self._weigh(word, place[holds])
        return scores.astype(np.float32)

    def _find_least(self, reached: NDArray[np.int64], k: int) -> float:
        """The sum so far that k of (n,) rows reach; 0 where there are fewer."""
        if len(reached) < k:
            return 0.0
        return float(np.partition(self.sums[reached], len(reached) - k)[len(reached) - k])

    def _add_word(self, word: _AskedWord, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Add a word's weights to the sums; gives the rows that no word before had reached."""
        kept = slice(None) if allowed is None else np.flatnonzero(allowed[word.rows])
        rows: NDArray[np.int64] = word.rows[kept].astype(np.int64)
        sums = self.sums[rows]
        self.sums[rows] = sums + self._weigh(word, kept)
        return np.asarray(rows[sums == 0])

    def _weigh(self, word: _AskedWord, places: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """What a word adds to the scores of the documents at some places of its rows."""
        return word.times * weigh_words(word.rarity, word.counts[places], self.damp[word.rows[places]])
