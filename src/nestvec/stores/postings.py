"""Which documents of a segment hold which word: counted once, as a file that is mapped and not read.

What a word weighs depends on all documents that are there, so counts are kept and no weights (`word_index.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.lexical.bm25 import WordCounts

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
    """

    entries: NDArray[np.int32]
    documents: int

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
    def open(cls, path: Path, documents: int) -> Postings:
        """Map a file that `save` wrote; ValueError where it is another one."""
        return cls(np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray), documents)

    def save(self, path: Path) -> None:
        """Write them in NumPy's form."""
        with path.open("wb") as stream:
            np.save(stream, self.entries, allow_pickle=False)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(d,) words of each document."""
        return self.entries[1, : self.documents]

    def find(self, span: Span) -> NDArray[np.int32]:
        """(2, n) of a word: rows of documents, ascending, and how often each holds it."""
        return self.entries[:, span[0] : span[1]]
