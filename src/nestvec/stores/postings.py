"""The postings of a segment of an embedded index: which documents contain which word, and how often.

They are counted once and kept in a memory-mapped file. The file holds counts and not BM25 weights, because a weight
depends on all documents of the index (`word_index.py`).
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
Span = tuple[int, int]  # columns of a word's entries: the first, and the one after the last


@dataclass(frozen=True)
class Postings:
    """The postings of a segment: which of its d documents contain which word, and how often.

    Attributes:
        entries: int32 array with two rows. Each of the first d columns has a document's row number and its number of
            words. Then follow, word after word, a column for each document that contains the word: its row number and
            how often it contains the word.
        documents: d, the number of documents.
        path: the file; None before the postings are saved.
    """

    entries: NDArray[np.int32]
    documents: int
    path: Path | None = None
    _checked: set[Span] = field(default_factory=set, init=False, compare=False)

    @classmethod
    def count(cls, texts: Sequence[str], forms: WordForms, first: int) -> tuple[Postings, Mapping[str, Span]]:
        """Count the words of a segment's documents, given their texts and the row number of the first document.

        Returns the postings, and for each word the range of its columns in `entries`.
        """
        counted = WordCounts.of(texts, forms)
        rows = np.concatenate([np.arange(len(texts)), counted.counts.indices]) + first
        times = np.concatenate([counted.lengths, counted.counts.data])
        ends = (counted.counts.indptr + len(texts)).tolist()
        spans = {word: (ends[place], ends[place + 1]) for word, place in counted.places.items()}
        return cls(np.stack([rows, times]).astype(np.int32), len(texts)), spans

    @classmethod
    def open(cls, path: Path, rows: tuple[int, int]) -> Postings:
        """Memory-map the postings file of a segment; `rows` is the segment's first row number and number of rows.

        Raises InputError if the file is damaged or belongs to other documents.
        """
        first, documents = rows
        entries = map_array(path, np.int32, EXPECTED).view(np.ndarray)
        if entries.ndim != 2 or len(entries) != 2 or entries.shape[1] < documents:
            problem = f"is damaged: its shape is {entries.shape}, not (2, {documents} or more)"
            raise InputError(problem, EXPECTED, file=path)
        own, lengths = entries[:, :documents]
        if not np.array_equal(own, np.arange(first, first + documents)) or lengths.min(initial=0) < 0:
            raise InputError("is damaged: it belongs to other documents", EXPECTED, file=path)
        return cls(entries, documents, path)

    def save(self, path: Path) -> None:
        """Write the postings to an .npy file."""
        with path.open("wb") as stream:
            np.save(stream, self.entries, allow_pickle=False)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The number of words of each of the segment's documents."""
        return self.entries[1, : self.documents]

    def find(self, span: Span) -> NDArray[np.int32]:
        """Read a word's postings from its range of columns, `span`.

        Returns an array with two rows: ascending row numbers of the documents that contain the word, and how often each
        contains it. Raises InputError if the file is damaged there.
        """
        if span not in self._checked:
            self._check(span)
            self._checked.add(span)
        return self.entries[:, span[0] : span[1]]

    def _check(self, span: Span) -> None:
        """Raise InputError if a word's range of columns is outside the file, or the postings there are impossible."""
        start, stop = span
        if self.documents <= start < stop <= self.entries.shape[1]:
            rows, counts = self.entries[:, start:stop]
            own = self.entries[0, : self.documents]
            if own[0] <= rows[0] and rows[-1] <= own[-1] and (np.diff(rows) > 0).all() and counts.min() > 0:
                return
        raise InputError("is damaged: the postings of a word are missing or wrong", EXPECTED, file=self.path)
