"""What columns of a Parquet file take once unpacked, read from the headers of their pages before any is unpacked.

The file's own footer says it, too, but nothing makes it tell the truth; of a page's header the reader of Parquet takes
exactly so many bytes. Headers are Thrift's compact protocol; see parquet-format's `parquet.thrift`, PageHeader.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from nestvec.data.limits import BATCH, BATCH_BYTES, UnpackedLimit
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any, BinaryIO

_HEADER = 512  # bytes that are read of a page; a header has some thirty, more with statistics
_LONGEST_HEADER = 16 << 20  # bytes; what Arrow reads of a header at most
_LEAST_PAGE, _LEAST = 4096, 8  # bytes that a page, and a value, take in memory, however few they take in the file
_BOOLEANS, _BYTE, _VARINTS, _DOUBLE, _BINARY, _STRUCT = {1, 2}, 3, {4, 5, 6}, 7, 8, 12  # fields of Thrift


@dataclass(frozen=True)
class Plan:
    """How columns of a file are read in bounded memory.

    Attributes:
        rows: to be taken at once.
        coded: paths of texts to be read as dictionaries, so that a value that comes again takes its bytes once.
        groups: row groups that can be read together: Arrow cannot join dictionaries inside structs and lists.
    """

    rows: int
    coded: list[str]
    groups: list[list[int]]


def plan_reading(path: Path, metadata: Any, columns: Sequence[str]) -> Plan:  # noqa: ANN401 - pyarrow has no types
    """Find out how much can be read at once.

    Args:
        path: a Parquet file.
        metadata: its footer, a `pyarrow.parquet.FileMetaData`.
        columns: the top-level columns wanted.

    Returns:
        The plan.

    Raises:
        InputError: the file is damaged, the columns unpack to more than `limits.UnpackedLimit` allows, or texts
            inside lists are coded so that their size cannot be told.
    """
    limit, unpacked, rows = UnpackedLimit.of(path), 0, BATCH
    leaves = [leaf for leaf in map(_Leaf, [metadata] * metadata.num_columns, count()) if leaf.is_of(columns)]
    with path.open("rb") as stream:
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            size = 0
            for leaf in leaves:
                size += leaf.measure(path, stream, group.column(leaf.index))
                limit.check(unpacked + size)
            unpacked += size
            if group.num_rows > 0:
                rows = min(rows, BATCH_BYTES * group.num_rows // max(1, size))
    rows = min([rows, *(leaf.most_rows for leaf in leaves)])
    numbers = list(range(metadata.num_row_groups))
    groups = [[number] for number in numbers] if any(leaf.is_inner for leaf in leaves) else [numbers]
    return Plan(max(1, rows), [leaf.path for leaf in leaves if leaf.is_coded], groups)


class _Leaf:
    """A column of texts or numbers, inside others or not, and what is known of its pages.

    Args:
        metadata: the file's footer.
        index: its number.
    """

    def __init__(self, metadata: Any, index: int) -> None:  # noqa: ANN401 - pyarrow has no types
        described = metadata.schema.column(index)
        self.index, self.path, kind = index, described.path, described.physical_type
        self.is_inner = described.path != described.name  # of a struct, list or map
        self._is_text, self._is_listed = kind == "BYTE_ARRAY", described.max_repetition_level > 0
        self._width = max(_LEAST, described.length if kind == "FIXED_LEN_BYTE_ARRAY" else 0)
        self._is_delta, self._largest = False, 1

    def is_of(self, columns: Sequence[str]) -> bool:
        """Whether it belongs to one of some top-level columns."""
        return any(self.path == column or self.path.startswith(f"{column}.") for column in columns)

    @property
    def is_coded(self) -> bool:
        """Whether it can be read as a dictionary: Arrow does not do so with texts in the encodings of differences."""
        return self._is_text and not self._is_delta

    @property
    def most_rows(self) -> int:
        """Rows that may be taken at once: a text in an encoding of differences may be as long as the largest page."""
        return BATCH_BYTES // (self._largest if self._is_text and self._is_delta else self._width)

    def measure(self, path: Path, stream: BinaryIO, chunk: Any) -> int:  # noqa: ANN401 - pyarrow has no types
        """Bytes that a row group's values take at least, of each text in a dictionary once."""
        pages = 0
        for page in _read_page_sizes(path, stream, chunk):
            self._largest = max(self._largest, page)
            pages += max(page, _LEAST_PAGE)
        delta = [encoding for encoding in chunk.encodings if encoding.startswith("DELTA")] if self._is_text else []
        if delta and self._is_listed:
            problem = f"holds lists of texts coded as {delta[0]}, whose size cannot be told before they are read"
            raise InputError(problem, "the file saved with another encoding", file=path, column=self.path)
        self._is_delta = self._is_delta or bool(delta)
        return max(pages, int(chunk.num_values) * self._width)


def _read_page_sizes(path: Path, stream: BinaryIO, chunk: Any) -> Iterator[int]:  # noqa: ANN401 - pyarrow has no types
    """Unpacked bytes of each page of a column chunk; InputError where a header is none."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    end = start + chunk.total_compressed_size
    while start < end:
        unpacked, packed, length = _read_header(path, stream, start)
        yield unpacked
        start += length + packed


def _read_header(path: Path, stream: BinaryIO, start: int) -> tuple[int, int, int]:
    """Unpacked and packed bytes of the page that begins at a place of a file, and of its header."""
    for size in (_HEADER, _LONGEST_HEADER):
        stream.seek(start)
        header = _Header(stream.read(size))
        try:
            fields = header.read_struct()
        except (IndexError, RecursionError):  # a header that goes on, or none
            continue
        unpacked, packed = fields.get(2, -1), fields.get(3, -1)
        if min(unpacked, packed) >= 0:
            return unpacked, packed, header.place
        break
    raise InputError(f"cannot be read (no page at byte {start})", "an undamaged file of its kind", file=path)


class _Header:
    """Reads a struct of Thrift's compact protocol: whole numbers are given, all else is passed over."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def read_struct(self) -> dict[int, int]:
        """Whole numbers by the ids of their fields; IndexError where the content ends before the struct does."""
        fields, field = dict[int, int](), 0
        while head := self._read_byte():
            step = head >> 4
            field = field + step if step else _unzigzag(self._read_varint())
            value = self._read_value(head & 15)
            if value is not None:
                fields[field] = value
        return fields

    def _read_byte(self) -> int:
        self.place += 1
        return self._content[self.place - 1]

    def _read_varint(self) -> int:
        value, shift, byte = 0, 0, 128
        while byte & 128 and shift < 64:
            byte = self._read_byte()
            value |= (byte & 127) << shift
            shift += 7
        return value

    def _read_value(self, kind: int) -> int | None:
        """The number of a field of a kind; None for what is passed over, IndexError for what no page has."""
        if kind in _VARINTS:
            return _unzigzag(self._read_varint())
        if kind == _STRUCT:
            self.read_struct()
        elif kind not in _BOOLEANS:
            sizes = {_BYTE: lambda: 1, _DOUBLE: lambda: 8, _BINARY: self._read_varint}
            if kind not in sizes:
                raise IndexError(kind)
            length = sizes[kind]()
            self.place += length
        return None


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
