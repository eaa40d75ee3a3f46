"""Reads files as bytes: decompresses .gz and .zst, and converts text to UTF-8.

A file that decompresses to far more than real tables do is refused before it fills the memory.
"""

from __future__ import annotations

import codecs
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from nestvec.data.limits import LONGEST, UnpackedLimit, too_long_error
from nestvec.data.source import Rejects, damaged_error
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKED = {".gz": "gzip", ".zst": "zstd"}
PIECE = 1 << 20  # bytes read at a time
_MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNDEFINED = "nestvec.latin-1"  # error handler for bytes that Windows-1252 does not define


def _keep_byte(error: UnicodeError) -> tuple[str, int]:
    """Decode undecodable bytes as Latin-1, as the web's standard for Windows-1252 requires."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_UNDEFINED, _keep_byte)


def suffix(path: Path) -> str:
    """Return the ending of the format, in lower case: `.csv` for `judged.csv.gz`."""
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings else ""


class Unpacked(io.RawIOBase):
    """A file's bytes, decompressed while they are read.

    Args:
        path: the file.

    Raises:
        InputError: while reading: the file is damaged, or decompresses to more than `UnpackedLimit` allows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packing = PACKED.get(path.suffix.lower())
        self._stream = pa.input_stream(str(path), compression=self._packing)
        self._limit = UnpackedLimit.of(path)
        self._seen = 0

    def readable(self) -> bool:
        """Tell `io` that the stream can be read: always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes, at most `PIECE`, so that a decompression bomb is noticed in time."""
        try:
            content: bytes = self._stream.read(PIECE if size is None or size < 0 else min(size, PIECE))
        except (OSError, pa.ArrowException) as error:
            raise damaged_error(self._path, error) from error
        self._seen += len(content)
        if self._packing:
            self._limit.check(self._seen)
        return content

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer; returns how many."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
        super().close()


class Recoded(io.RawIOBase):
    """A text file's bytes, converted to UTF-8 without a byte order mark while they are read.

    Args:
        path: the file.
        encoding: the file's encoding. Bytes that Windows-1252 does not define are read as Latin-1, as browsers do.
        tail: bytes to append at the end.

    Raises:
        InputError: while reading: as `Unpacked` raises, or the text is not valid in that encoding; names the line.
    """

    def __init__(self, path: Path, encoding: str, tail: bytes = b"") -> None:
        self._path, self._encoding, self._tail = path, encoding, tail
        self._stream = Unpacked(path)
        self._decoder = None
        if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
            errors = _UNDEFINED if codecs.lookup(encoding).name == "cp1252" else "strict"
            self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._ready, self._start = b"", 0
        self._begun, self._ended, self._lines = False, False, 1

    def readable(self) -> bool:
        """Tell `io` that the stream can be read: always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read the next `size` bytes, fewer only at the end of the file; all remaining bytes if `size` is negative."""
        parts, missing = [], size if size >= 0 else sys.maxsize
        while missing and (part := self._take(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer; returns how many."""
        content = self._take(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()

    def _take(self, size: int) -> bytes:
        """Return at most `size` converted bytes; none at the end of the file."""
        while self._start >= len(self._ready) and not self._ended:
            self._ready, self._start = self._recode(self._stream.read()), 0
        content = self._ready[self._start : self._start + size]
        self._start += len(content)
        return content

    def _recode(self, piece: bytes) -> bytes:
        """Convert a piece of the file to UTF-8; an empty piece means the end of the file."""
        self._ended = not piece
        if self._decoder is not None:
            try:
                text = self._decoder.decode(piece, self._ended)
                self._lines += text.count("\n")
                piece = text.encode()
            except UnicodeError as error:
                lines = self._lines + piece[: getattr(error, "start", 0)].count(b"\n")
                reason = getattr(error, "reason", error)
                problem = f"line {lines} or one near it is not valid {self._encoding} ({reason})"
                raise InputError(problem, "--encoding to name the file's encoding", file=self._path) from error
        if not self._begun:
            self._begun, piece = True, piece.removeprefix(codecs.BOM_UTF8)
        return piece + self._tail if self._ended else piece


def read_lines(path: Path, rejects: Rejects | None = None, encoding: str | None = None) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a text file that are not blank.

    Args:
        path: the file.
        rejects: raises for lines of more than `LONGEST` bytes or sets them aside; None stops at the first.
        encoding: the encoding to convert from; None keeps the bytes, except for UTF-16 and UTF-32 with a mark.

    Yields:
        Number (from 1) and decompressed bytes of every line.

    Raises:
        InputError: a line is too long and `rejects` stops at it; or as `Unpacked` and `Recoded` raise.
    """
    recoded = encoding or find_mark(path)
    stream: io.RawIOBase = Unpacked(path) if recoded is None else Recoded(path, recoded)
    with io.BufferedReader(stream, PIECE) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(LONGEST + 1), b""), start=1):
            if len(line) > LONGEST:
                (rejects or Rejects()).refuse(too_long_error(path, number), line[:PIECE].decode("utf-8", "replace"))
                while line and not line.endswith(b"\n"):
                    line = lines.readline(PIECE)
            elif line.strip():
                yield number, line


def find_mark(path: Path) -> str | None:
    """Return the encoding of a UTF-16 or UTF-32 byte order mark; None if the file has no such mark."""
    with Unpacked(path) as stream:
        start = stream.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
