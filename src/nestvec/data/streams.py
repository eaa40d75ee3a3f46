"""Files as bytes: unpacked where they are .gz or .zst, and which encoding their text is in.

A packed file that unpacks to far more than real tables do is refused before it fills the machine.
"""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from nestvec.data.source import damaged_error
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKED = {".gz": "gzip", ".zst": "zstd"}
PIECE = 1 << 20  # bytes read at a time
_LARGEST_RATIO = 200  # of unpacked to packed bytes; judgements pack to a tenth, and at most to a fiftieth
_ALWAYS_ALLOWED = 64 << 20  # bytes that may be unpacked whatever the ratio
_EXAMPLES = 3


def suffix(path: Path) -> str:
    """The ending that says the format: that of `judged.csv.gz` is `.csv`."""
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings else ""


class Unpacked(io.RawIOBase):
    """A file's bytes, unpacked on the way.

    Args:
        path: the file.

    Raises:
        InputError: on reading: it is damaged, or unpacks to an absurd size.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packing = PACKED.get(path.suffix.lower())
        self._stream = pa.input_stream(str(path), compression=self._packing)
        self._allowed = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * path.stat().st_size)
        self._seen = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; `size` is at most a piece, so that a bomb cannot go off in one go."""
        try:
            content: bytes = self._stream.read(PIECE if size is None or size < 0 else min(size, PIECE))
        except (OSError, pa.ArrowException) as error:
            raise damaged_error(self._path, error) from error
        self._seen += len(content)
        if self._packing and self._seen > self._allowed:
            raise InputError(
                f"unpacks to more than {self._allowed >> 20} MiB, over {_LARGEST_RATIO} times its size",
                "a table of judgements",
                file=self._path,
            )
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


def read_lines(path: Path, longest: int = -1) -> Iterator[tuple[int, bytes]]:
    """Number and unpacked bytes of every line that is not blank; one of more than `longest` bytes counts as several."""
    with io.BufferedReader(Unpacked(path), PIECE) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(longest), b""), start=1):
            if line.strip():
                yield number, line


@dataclass(frozen=True)
class Encoding:
    """How a file's text is encoded.

    Attributes:
        name: `utf-8`, with or without its mark, or `latin-1`, which anything can be read as.
        mixed: lines outside ASCII that are UTF-8, in a file that as a whole is not.
        examples: rows of the first such lines.
    """

    name: str
    mixed: int = 0
    examples: tuple[str, ...] = ()


def find_encoding(path: Path) -> Encoding:
    """UTF-8 if all of a file's bytes are, else Latin-1 with a count of the lines that are UTF-8 all the same."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with Unpacked(path) as stream:
            for index, piece in enumerate(iter(stream.read, b"")):
                if index == 0 and piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise InputError("is in UTF-16", "UTF-8 or Latin-1", file=path)
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        lines = [number for number, line in read_lines(path) if _is_utf8(line)]
        return Encoding("latin-1", len(lines), tuple(f"line {number}" for number in lines[:_EXAMPLES]))
    return Encoding("utf-8")


def _is_utf8(line: bytes) -> bool:
    """Whether a line has letters outside ASCII, all of them in UTF-8: none is lost on the way there and back."""
    return not line.isascii() and line.decode(errors="ignore").encode() == line
