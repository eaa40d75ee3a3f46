"""Which documents of a segment hold which word: counted once, as a file that is mapped and not read.

What a word weighs depends on all documents that are there, so counts are kept and no weights (`word_index.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.lexical.bm25 import WordCounts
from nestvec.stores.sqlite_file import EXPECTED
from nestvec.vectors.npy_file import map_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.lexical.words import WordForms

TABLE = """
CREATE TABLE words (
    word TEXT NOT NULL, first INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    PRIMARY KEY (word, first)
) WITHOUT ROWID;
"""
INSERT = "INSERT INTO words VALUES (?, ?, ?, ?)"
Span = tuple[int, int]  # a word's entries: from, and to but not including


@dataclass(frozen=True)
class Postings:
    """The words of a segment of d documents.

    Attributes:
        entries: (2, d + n) int32. The first d columns are the documents: row, and how many words it has. Then come
            those of one word after the other: rows of documents that hold it, ascending, and how often each does.
        documents: d.
        path: of the file; None before they are saved.
    """

    entries: NDArray[np.int32]
    documents: int
    path: Path | None = None
    _checked: set[Span] = field(default_factory=set, init=False, compare=False)

    @classmethod
    def count(cls, texts: Sequence[str], forms: WordForms, first: int) -> tuple[Postings, Mapping[str, Span]]:
        """Count the words of d texts whose rows begin at `first`; gives the span of each word's entries, too."""
        counted = WordCounts.of(texts, forms)
        rows = np.concatenate([np.arange(len(texts)), counted.counts.indices]) + first
        times = np.concatenate([counted.lengths, counted.counts.data])
        ends = (counted.counts.indptr + len(texts)).tolist()
        spans = {word: (ends[place], ends[place + 1]) for word, place in counted.places.items()}
        return cls(np.stack([rows, times]).astype(np.int32), len(texts)), spans

    @classmethod
    def open(cls, path: Path, rows: tuple[int, int]) -> Postings:
        """Map a file that `save` wrote for rows given by the first and their number; InputError where it is another."""
        first, documents = rows
        entries = map_array(path, np.int32, EXPECTED).view(np.ndarray)
        if entries.ndim != 2 or len(entries) != 2 or entries.shape[1] < documents:
            raise InputError("is damaged: it has another shape", EXPECTED, file=path)
        own, lengths = entries[:, :documents]
        if not np.array_equal(own, np.arange(first, first + documents)) or lengths.min(initial=0) < 0:
            raise InputError("is damaged: it is of other documents", EXPECTED, file=path)
        return cls(entries, documents, path)

    def save(self, path: Path) -> None:
        """Write them in NumPy's form."""
        with path.open("wb") as stream:
            np.save(stream, self.entries, allow_pickle=False)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(d,) words of each document."""
        return self.entries[1, : self.documents]

    def find(self, span: Span) -> NDArray[np.int32]:
        """(2, n) of a word: rows of documents, ascending, and how often each holds it; InputError for damage."""
        if span not in self._checked:
            self._check(span)
            self._checked.add(span)
        return self.entries[:, span[0] : span[1]]

    def _check(self, span: Span) -> None:
        """Raise where a span, or what the file has there, is not as `count` made it."""
        start, stop = span
        if self.documents <= start < stop <= self.entries.shape[1]:
            rows, counts = self.entries[:, start:stop]
            own = self.entries[0, : self.documents]
            if own[0] <= rows[0] and rows[-1] <= own[-1] and (np.diff(rows) > 0).all() and counts.min() > 0:
                return
        raise InputError("is damaged: a word's entries are not there", EXPECTED, file=self.path)
