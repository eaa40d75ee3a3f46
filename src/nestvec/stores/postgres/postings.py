"""The binary format of postings (which documents contain a word, how often) in PostgreSQL, and BM25 computed from them.

Each document has a number. Block b of a word's postings covers the documents with the numbers 65,536 b to
65,536 (b + 1) - 1. A block begins with two bytes: how many bytes each count takes, and how many each length takes. Then
follow three lists about the n documents that contain the word: their numbers minus 65,536 b, ascending, as uint16; the
word's counts in these documents; and the documents' lengths in words. BM25's weights are not stored, because they
change with every document that is added or removed.
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

BLOCK = 65_536  # documents in a block
_LONGEST = 200  # most bytes of a word as a key; PostgreSQL's indexes take keys of some 2,700 bytes
_ROOM = 4  # candidates kept while scanning blocks, for each wanted document


class Totals(NamedTuple):
    """Totals over all documents of an index, which BM25 needs.

    Attributes:
        documents: number of documents.
        words: number of words in all documents.
        ordered: number of documents at the build, which are numbered from 0, the greatest id first; documents that were
            added after the build have higher numbers, in any order.
    """

    documents: int = 0
    words: int = 0
    ordered: int = 0

    def pack(self) -> bytes:
        """Pack the totals over all documents as bytes for the database."""
        return np.array(self, dtype="<i8").tobytes()

    @classmethod
    def parse(cls, raw: bytes) -> Totals:
        """Read totals from the bytes that `pack` returned."""
        return cls(*np.frombuffer(raw, dtype="<i8").tolist())


@dataclass(frozen=True, eq=False)
class Postings:
    """The documents of one block that contain a word, with how often each contains the word.

    Attributes:
        places: each document's number minus the block's first number, ascending, as uint16.
        counts: how often each document contains the word.
        lengths: the number of words of each document.
    """

    places: NDArray[np.uint16]
    counts: NDArray[np.unsignedinteger]
    lengths: NDArray[np.unsignedinteger]

    @classmethod
    def of(cls, entries: array[int]) -> Postings:
        """Make postings from a flat array that has three numbers for each document, see `places`, `counts`, `lengths`.

        The places must be ascending.
        """
        places, counts, lengths = np.array(entries, dtype=np.uint32).reshape(-1, 3).T
        return cls(places.astype(np.uint16), counts, lengths)

    def pack(self) -> bytes:
        """Pack a word's postings as bytes for the database."""
        sides = [side.astype(np.min_scalar_type(int(side.max(initial=1)))) for side in (self.counts, self.lengths)]
        parts = [self.places.astype("<u2"), *(side.astype(side.dtype.newbyteorder("<")) for side in sides)]
        return bytes(side.itemsize for side in sides) + b"".join(part.tobytes() for part in parts)

    @classmethod
    def parse(cls, raw: bytes) -> Postings:
        """Read postings from the bytes that `pack` returned."""
        widths = (2, raw[0], raw[1])
        size = (len(raw) - 2) // sum(widths)
        starts = (2, 2 + 2 * size, 2 + (2 + raw[0]) * size)
        return cls(
            *(np.frombuffer(raw, f"<u{width}", size, start) for width, start in zip(widths, starts, strict=True))
        )

    def replace(self, gone: Sequence[int], new: Postings) -> Postings:
        """Return a copy of a word's postings without the documents at the places `gone`, with those of `new` added.

        No document of `new` may have the place of a document that remains.
        """
        left = ~np.isin(self.places, np.array(gone, dtype=np.uint16))
        sides = ((self.places, new.places), (self.counts, new.counts), (self.lengths, new.lengths))
        places, counts, lengths = (np.concatenate([old[left], added]) for old, added in sides)
        order = np.argsort(places, kind="stable")
        return Postings(places[order], counts[order], lengths[order])


def word_key(word: str) -> str:
    """Return a word's key in the database: the word itself; or, for a long word, "#" and a hash of the word."""
    stored = word.encode()
    return word if len(stored) <= _LONGEST else f"#{hashlib.sha256(stored).hexdigest()}"


def join_words(words: Sequence[str]) -> str:
    """Join a document's words to one text, with a space after each word; words may be empty but contain no space."""
    return "".join(f"{word} " for word in words)


def count_words(joined: str) -> Counter[str]:
    """Count how often each word occurs in a text that `join_words` made."""
    return Counter(joined.split(" ")[:-1])


class WordScores:
    """The BM25 scores of all documents that contain any word of a query.

    Scores are summed in float64 over the words in alphabetical order and rounded once to float32, so that they equal
    the scores of the evaluation.

    Args:
        asked: how often the query contains each word.
        postings: postings by `word_key` and block number, of all words of the query that any document contains.
        totals: totals over all documents.
        lexical: BM25's k1 and b.
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
        """Return the BM25 scores of documents, given by number; 0 for a document without any word of the query."""
        wanted = np.array(numbers, dtype=np.int64)
        scores = np.zeros(len(wanted), dtype=np.float32)
        for block in np.unique(wanted // BLOCK).tolist():
            if block in self._blocks:
                inside = wanted // BLOCK == block
                scores[inside] = self._blocks[block][wanted[inside] % BLOCK]
        return scores

    def best(self, k: int) -> NDArray[np.int64]:
        """Return the numbers of the k best documents, or of all if there are fewer, in arbitrary order.

        Of documents with equal scores, those with greater ids are better. The numbers of documents that were added
        after the build don't tell whose id is greater. So all of these that tie for the last place are returned, and
        there may be more than k numbers.
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
