"""Segments of an embedded index: documents that were added together, in files that never change once committed.

    000000000000.48.int8.faiss   the documents' encoded vectors; the name begins with the segment's first row number
    000000000000.words.npy       which of these documents contain which word, if the index has keyword search

A segment's documents are sorted by id, the greatest first: if scores are equal, a search returns the greatest id first.
In indexes built before nestvec had keyword search, they may be in any order.
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

_WORDS = "words"  # this file's key among the checksums; the other keys are the names of the stages' formats
_PAGE, _PAGES = 4096, 256  # bytes per page, and the most pages that a checksum reads


class Stamp(NamedTuple):
    """A file's inode, size and time of last change, by which nestvec notices that a file was changed or replaced."""

    inode: int
    size: int  # bytes
    changed: int  # time of the last change, in nanoseconds


def read_stamp(path: Path) -> Stamp | None:
    """Read a file's inode, size and time of last change; returns None if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Segment:
    """A segment of an embedded index: documents that were added together, with their vectors and postings.

    Attributes:
        first: row number of the segment's first document.
        row_count: number of rows of the segment.
        scans: the encoded vectors, one faiss index for each vector format of the index.
        postings: which documents contain which word; None if the index was built without keyword search.
        stamps: inode, size and time of last change of each file when it was opened. They are compared before a search,
            because reading a memory-mapped file that was shortened meanwhile would kill the process.
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
        """Check and memory-map the files of a segment.

        Args:
            folder: the folder of the segment's files.
            about: description of the index: its system, vector formats and search settings.
            codecs: one codec for each vector format of the index.
            rows: the segment's first row number and its number of rows.
            checks: the files' checksums, as `save` returned them.

        Returns:
            The segment.

        Raises:
            InputError: a file is missing, or its checksum does not match.
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
        """Whether the segment's files on disk are the same as when they were opened: not changed, not replaced."""
        return all(read_stamp(path) == stamp for path, stamp in self.stamps.items())

    @property
    def size(self) -> int:
        """Total size of the segment's files in bytes."""
        return sum(stamp.size for stamp in self.stamps.values() if stamp)

    def save(self, folder: Path, about: About) -> dict[str, str]:
        """Write the segment's files, each completely or not at all, and return their checksums."""
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
    """Raise InputError if a segment's file is missing or its checksum differs from the expected one."""
    require_file(path, EXPECTED)
    if _file_checksum(path) != expected:
        raise InputError("checksum mismatch: the file is damaged or from another index", EXPECTED, file=path)


def _file_checksum(path: Path) -> str:
    """Compute a quick checksum of a file: its size, and a CRC-32 of at most 256 pages spread evenly over the file.

    This takes the same short time for a file of any size. It detects a swapped or shortened file, but not every change.
    """
    size, checksum = path.stat().st_size, 0
    with path.open("rb") as stream:
        for offset in np.unique(np.linspace(0, max(0, size - _PAGE), _PAGES).astype(np.int64)).tolist():
            stream.seek(offset)
            checksum = zlib.crc32(stream.read(_PAGE), checksum)
    return f"{size}:{checksum:08x}"
