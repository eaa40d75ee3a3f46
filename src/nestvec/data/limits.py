"""How much of a file is taken at once, and how large a record, a table or an unpacked file may be.

A file is refused before what it would take is in memory: by its lines as they are read, by what Parquet says of its
pages, and by what comes out while it is unpacked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST = 8 << 20  # bytes of a record, or of a value in Parquet: twice the Bible, of which a model reads the first page
BATCH = 50_000  # rows that are taken at once
BATCH_BYTES = 64 << 20  # of text that are taken at once
MOST_COLUMNS = 10_000  # of tables; the widest that are published have some thousands
MOST_SET_ASIDE = 250_000  # bad rows; each is kept in memory with the start of its text


def too_long_error(file: object, row: int | None, column: str | None = None) -> InputError:
    """The error for a record, or a value, of more than `LONGEST` bytes."""
    problem = f"is longer than {LONGEST >> 20} MB"
    return InputError(problem, "a record or value of at most that size", file=file, row=row, column=column)


def refuse_many_columns(count: int, file: object) -> None:
    """Raise InputError for a table with more than `MOST_COLUMNS` columns."""
    if count > MOST_COLUMNS:
        wanted = "a table that holds only the columns that are read"
        raise InputError(f"has more than {MOST_COLUMNS:,} columns", wanted, file=file)


def find_repeated(names: Iterable[str]) -> list[str]:
    """Names that come more than once, sorted."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


@dataclass(frozen=True)
class UnpackedLimit:
    """How many bytes files may unpack to.

    Attributes:
        files: the files.
        ratio: times their own size.
        least: bytes that they may unpack to whatever their size.
    """

    files: tuple[Path, ...]
    ratio: int
    least: int

    @classmethod
    def of(cls, *files: Path) -> UnpackedLimit:
        """The limit of what is unpacked of files."""
        return cls(files, 200, 64 << 20)  # judgements pack to a tenth, and at most to a fiftieth

    @classmethod
    def of_rows(cls, *files: Path) -> UnpackedLimit:
        """The limit of all rows of a table, each with its own copy of texts that its files may hold once."""
        return cls(files, 2000, 1 << 30)

    @cached_property
    def size(self) -> int:
        """The bytes that are allowed."""
        return max(self.least, self.ratio * sum(file.stat().st_size for file in self.files))

    def check(self, unpacked: int) -> None:
        """Raise InputError for files that unpack to more than they may."""
        if unpacked > self.size:
            problem = f"unpacks to more than {self.size >> 20} MiB, over {self.ratio} times its size"
            wanted = "a table of judgements; if this is one, decompress it first (Parquet: save it without compression)"
            raise InputError(problem, wanted, file=self.files[0])


def split_rows(sizes: NDArray[np.int64], most: int = BATCH_BYTES) -> Iterator[slice]:
    """Slices of (n,) rows of so many bytes, in order: each of `most` bytes at most, or of a single row."""
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        before = int(ends[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(first, stop)
        first = stop
