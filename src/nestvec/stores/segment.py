"""A segment of the embedded store: what was written together, in files that are never changed once they count.

    000000000000.48.int8.faiss   codes of the rows from that number on
    000000000000.words.npy       which of these documents hold which word, where the index has words

A segment's rows lie in tie order (`vectors.topk`): of equal documents the first is found. In indexes of before there
were words they may lie in any order.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.errors import InputError
from nestvec.files import replacing, require_file
from nestvec.stores.postings import Postings
from nestvec.stores.scan import Scan
from nestvec.stores.sqlite_file import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nestvec.stores.store import About
    from nestvec.vectors.codecs import Codec

_WORDS = "words"  # among the checksums, which have the names of the stages' formats else
_PAGE, _PAGES = 4096, 256  # bytes at a time, and how many of them a check reads at most


class Stamp(NamedTuple):
    """What of a file changes with it, or where another takes its place."""

    inode: int
    size: int  # bytes
    changed: int  # when, in nanoseconds


def read_stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Segment:
    """Rows of the codes that were written together.

    Attributes:
        first: the number of its first row.
        row_count: how many.
        scans: its codes, one for each stage.
        postings: its words; None where the index has none.
        stamps: of its files as they were opened; they are mapped, and one that was cut short ends the process.
    """

    first: int
    row_count: int
    scans: tuple[Scan, ...]
    postings: Postings | None = None
    stamps: Mapping[Path, Stamp | None] = field(default_factory=dict)

    @classmethod
    def open(
        cls, folder: Path, about: About, codecs: Sequence[Codec], rows: tuple[int, int], checks: Mapping[str, str]
    ) -> Segment:
        """Open a segment.

        Args:
            folder: where its files are.
            about: what the index serves.
            codecs: of the stages.
            rows: its first, and how many.
            checks: what `save` gave.

        Returns:
            The segment.

        Raises:
            InputError: a file is missing, or its checksum is another.
        """
        paths = {stage.name: _codes_path(folder, rows[0], stage.name) for stage in about.stages}
        if about.hybrid is not None:
            paths[_WORDS] = _words_path(folder, rows[0])
        stamps = {path: read_stamp(path) for path in paths.values()}
        for name, path in paths.items():
            _check_file(path, checks.get(name))
        stages = zip(about.stages, codecs, strict=True)
        scans = [Scan.open(codec, paths[stage.name], rows[1]) for stage, codec in stages]
        words = None if about.hybrid is None else Postings.open(paths[_WORDS], rows)
        return cls(*rows, tuple(scans), words, stamps)

    @property
    def is_unchanged(self) -> bool:
        """Whether its files are those that were opened."""
        return all(read_stamp(path) == stamp for path, stamp in self.stamps.items())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(stamp.size for stamp in self.stamps.values() if stamp)

    def save(self, folder: Path, about: About) -> dict[str, str]:
        """Write its files, each whole or not at all; gives their checksums."""
        checks = {}
        for stage, scan in zip(about.stages, self.scans, strict=True):
            checks[stage.name] = _write_file(_codes_path(folder, self.first, stage.name), scan.save)
        if self.postings is not None:
            checks[_WORDS] = _write_file(_words_path(folder, self.first), self.postings.save)
        return checks


def _codes_path(folder: Path, first: int, stage: str) -> Path:
    return folder / f"{first:012d}.{stage}.faiss"


def _words_path(folder: Path, first: int) -> Path:
    return folder / f"{first:012d}.{_WORDS}.npy"


def _write_file(path: Path, save: Callable[[Path], None]) -> str:
    with replacing(path) as temporary:
        save(temporary)
        return _file_checksum(temporary)


def _check_file(path: Path, expected: str | None) -> None:
    """Raise InputError where a file has another checksum."""
    require_file(path, EXPECTED)
    if _file_checksum(path) != expected:
        raise InputError("is damaged or another index's: its checksum is another", EXPECTED, file=path)


def _file_checksum(path: Path) -> str:
    """A file's size, and a CRC-32 of pages spread over it: a swapped or shortened file shows, at any size at once."""
    size, checksum = path.stat().st_size, 0
    with path.open("rb") as stream:
        for offset in np.unique(np.linspace(0, max(0, size - _PAGE), _PAGES).astype(np.int64)).tolist():
            stream.seek(offset)
            checksum = zlib.crc32(stream.read(_PAGE), checksum)
    return f"{size}:{checksum:08x}"
