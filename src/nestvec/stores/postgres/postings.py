"""Which documents hold a word: postings in blocks of documents, packed as the database keeps them, and BM25 over them.

A document has a number. A word's postings in documents 65,536 b to 65,536 (b + 1) - 1 are its block b: two bytes say
how many bytes a count and a length take; then follow (n,) numbers less 65,536 b, ascending, as uint16; (n,) how often
the word stands in each document; and (n,) how many words each has. Counts are kept and not weights, as these change
with every document that comes or goes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.lexical.bm25 import damp_lengths, weigh_rarity, weigh_words

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nestvec.lexical.bm25 import LexicalSettings

BLOCK = 65_536  # documents
_LONGEST = 200  # bytes of a word as a key: PostgreSQL's indexes take some 2,700
_ROOM = 4  # times as many documents are held as are wanted, while more are looked at


class Totals(NamedTuple):
    """What BM25 needs of all documents together.

    Attributes:
        documents: how many there are.
        words: how many words they have together.
        ordered: numbers below this one are in tie order, the greatest id first; later documents follow as they come.
    """

    documents: int = 0
    words: int = 0
    ordered: int = 0

    def pack(self) -> bytes:
        """As the database keeps it."""
        return np.array(self, dtype="<i8").tobytes()

    @classmethod
    def parse(cls, raw: bytes) -> Totals:
        """What `pack` was given."""
        return cls(*np.frombuffer(raw, dtype="<i8").tolist())


@dataclass(frozen=True, eq=False)
class Postings:
    """A word's postings in a block.

    Attributes:
        places: (n,) uint16 numbers of documents in the block, ascending.
        counts: (n,) unsigned, how often the word stands in each.
        lengths: (n,) unsigned, how many words each has.
    """

    places: NDArray[np.uint16]
    counts: NDArray[np.unsignedinteger]
    lengths: NDArray[np.unsignedinteger]

    @classmethod
    def of(cls, entries: array[int]) -> Postings:
        """Postings of place, count and length in turn, of ascending places."""
        places, counts, lengths = np.array(entries, dtype=np.uint32).reshape(-1, 3).T
        return cls(places.astype(np.uint16), counts, lengths)

    def pack(self) -> bytes:
        """As the database keeps them."""
        sides = [side.astype(np.min_scalar_type(int(side.max(initial=1)))) for side in (self.counts, self.lengths)]
        parts = [self.places.astype("<u2"), *(side.astype(side.dtype.newbyteorder("<")) for side in sides)]
        return bytes(side.itemsize for side in sides) + b"".join(part.tobytes() for part in parts)

    @classmethod
    def parse(cls, raw: bytes) -> Postings:
        """What `pack` was called of."""
        widths = (2, raw[0], raw[1])
        size = (len(raw) - 2) // sum(widths)
        starts = (2, 2 + 2 * size, 2 + (2 + raw[0]) * size)
        return cls(
            *(np.frombuffer(raw, f"<u{width}", size, start) for width, start in zip(widths, starts, strict=True))
        )

    def replace(self, gone: Sequence[int], new: Postings) -> Postings:
        """These without the documents at some places, and with others that are at none that is left."""
        left = ~np.isin(self.places, np.array(gone, dtype=np.uint16))
        sides = ((self.places, new.places), (self.counts, new.counts), (self.lengths, new.lengths))
        places, counts, lengths = (np.concatenate([old[left], added]) for old, added in sides)
        order = np.argsort(places, kind="stable")
        return Postings(places[order], counts[order], lengths[order])


def word_key(word: str) -> str:
    """A word as the database looks it up: long ones by their hash, with a sign before it that no word has."""
    stored = word.encode()
    return word if len(stored) <= _LONGEST else f"#{hashlib.sha256(stored).hexdigest()}"


def join_words(words: Sequence[str]) -> str:
    """A document's words as one text, a space after each: a stem can be empty, but holds no space."""
    return "".join(f"{word} " for word in words)


def count_words(joined: str) -> Counter[str]:
    """How often each of the words stands that `join_words` joined."""
    return Counter(joined.split(" ")[:-1])


class WordScores:
    """What a query's words make of every document that holds any of them.

    Scores are summed in float64 in the words' order and rounded once to float32, as `Bm25` has them.

    Args:
        asked: how often each word stands in the query.
        postings: of a word, by block, those of all the query's words that documents hold.
        totals: of all documents.
        lexical: k1 and b.
    """

    def __init__(
        self,
        asked: Mapping[str, int],
        postings: Mapping[str, Mapping[int, Postings]],
        totals: Totals,
        lexical: LexicalSettings,
    ) -> None:
        mean = totals.words / max(1, totals.documents)
        sums: dict[int, NDArray[np.float64]] = {}
        for word in sorted(asked):
            held = postings.get(word_key(word), {})
            holders = sum(len(part.places) for part in held.values())
            rarity = weigh_rarity(totals.documents, np.array([holders]))
            for block, part in held.items():
                if block not in sums:
                    sums[block] = np.zeros(BLOCK)
                damp = damp_lengths(part.lengths.astype(np.int64), mean, lexical.k1, lexical.b)
                sums[block][part.places] += asked[word] * weigh_words(rarity, part.counts, damp)
        self._blocks = {block: sums[block].astype(np.float32) for block in sorted(sums)}
        self._ordered = totals.ordered

    def of(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """(n,) scores of documents by their numbers, 0 where they hold none of the words."""
        wanted = np.array(numbers, dtype=np.int64)
        scores = np.zeros(len(wanted), dtype=np.float32)
        for block in np.unique(wanted // BLOCK).tolist():
            if block in self._blocks:
                inside = wanted // BLOCK == block
                scores[inside] = self._blocks[block][wanted[inside] % BLOCK]
        return scores

    def best(self, k: int) -> NDArray[np.int64]:
        """Numbers of the k best documents, of equal ones the greater ids first, in no order; all if there are fewer.

        Of documents that tie for the last place, all whose numbers are not in tie order are among them.
        """
        numbers, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        least = np.float32(0)
        for block, values in self._blocks.items():
            places = np.flatnonzero(values >= least if least else values)
            numbers, scores = np.concatenate([numbers, places + block * BLOCK]), np.append(scores, values[places])
            if len(scores) > (_ROOM * k if least else k):
                least = np.partition(scores, len(scores) - k)[len(scores) - k]
                numbers, scores = numbers[scores >= least], scores[scores >= least]
        if len(scores) <= k:
            return numbers
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        tied = numbers[scores == least]
        above = numbers[scores > least]
        return np.concatenate([above, tied[tied < self._ordered][: k - len(above)], tied[tied >= self._ordered]])
