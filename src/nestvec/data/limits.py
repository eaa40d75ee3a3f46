"""Limits of how much is read at a time, and of the size of a record, a table and an unpacked file.

A file that is too large is refused before it fills the memory: while its lines are read, by its page headers (Parquet),
or while it is decompressed.
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

LONGEST = 8 << 20  # bytes of a record, or of a Parquet value; twice the Bible, and models read about a page
BATCH = 50_000  # rows that are read at a time
BATCH_BYTES = 64 << 20  # bytes of text that are read at a time
MOST_COLUMNS = 10_000  # of a table; the widest published ones have some thousands
MOST_SET_ASIDE = 250_000  # bad rows; each stays in memory with the start of its text


def too_long_error(file: object, row: int | None, column: str | None = None) -> InputError:
    """Make the error for a record or value of more than `LONGEST` bytes."""
    problem = f"is longer than {LONGEST >> 20} MB"
    wanted = f"at most {LONGEST >> 20} MB in a record or value: shorten the value, or remove the record"
    return InputError(problem, wanted, file=file, row=row, column=column)


def refuse_many_columns(count: int, file: object) -> None:
    """Raise InputError for a table with more than `MOST_COLUMNS` columns."""
    if count > MOST_COLUMNS:
        wanted = "a table that holds only the columns that are read"
        raise InputError(f"has more than {MOST_COLUMNS:,} columns", wanted, file=file)


def find_repeated(names: Iterable[str]) -> list[str]:
    """List the names that occur more than once, sorted."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


@dataclass(frozen=True)
class UnpackedLimit:
    """A limit on the number of bytes that compressed files may unpack to.

    Attributes:
        files: the files.
        ratio: the files may unpack to this many times their size.
        least: bytes that the files may always unpack to, however small they are.
    """

    files: tuple[Path, ...]
    ratio: int
    least: int

    @classmethod
    def of(cls, *files: Path) -> UnpackedLimit:
        """Make the limit for decompressing files: 200 times their size, at least 64 MiB."""
        return cls(files, 200, 64 << 20)  # judgements compress to about a tenth, at best to a fiftieth

    @classmethod
    def of_rows(cls, *files: Path) -> UnpackedLimit:
        """Make the limit for a table's rows, counting repeated texts: 2,000 times the file size, at least 1 GiB."""
        return cls(files, 2000, 1 << 30)

    @cached_property
    def size(self) -> int:
        """The limit on unpacked bytes."""
        return max(self.least, self.ratio * sum(file.stat().st_size for file in self.files))

    def check(self, unpacked: int) -> None:
        """Raise InputError if more bytes were unpacked than allowed."""
        if unpacked > self.size:
            problem = f"unpacks to more than {self.size >> 20} MiB, over {self.ratio} times its size"
            wanted = "a table of judgements; if this is one, decompress it first (Parquet: save it without compression)"
            raise InputError(problem, wanted, file=self.files[0])


def split_rows(sizes: NDArray[np.int64], most: int = BATCH_BYTES) -> Iterator[slice]:
    """Split rows with (n,) sizes in bytes into consecutive slices of at most `most` bytes, or of a single row."""
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        before = int(ends[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(first, stop)
        first = stop
