"""Measures how much memory columns of a Parquet file take, from their page headers and before unpacking any page.

The footer states sizes, too, but they may be wrong; a page header's size is binding, as the reader allocates exactly
that many bytes. Headers are in Thrift's compact protocol; see PageHeader in parquet-format's `parquet.thrift`. The
footer is parsed here as well: pyarrow 26's own `RowGroupMetaData.column` crashes the process if a footer's histograms
do not fit its schema.
"""

from __future__ import annotations

import os
from contextlib import suppress
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
_BOOLEANS, _BYTE, _VARINTS, _DOUBLE, _BINARY, _LISTS, _STRUCT = {1, 2}, 3, {4, 5, 6}, 7, 8, {9, 10}, 12  # of Thrift
_GROUPS, _CHUNKS, _CHUNK = 4, 1, 3  # fields of the footer, of a row group, and of a column's part of it
_ENCODINGS, _VALUES, _PACKED, _DATA, _DICTIONARY = 2, 5, 7, 9, 11  # fields of that part
_DELTAS = {5: "DELTA_BINARY_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY"}
_TAIL = 8  # bytes that follow the footer


@dataclass(frozen=True)
class Plan:
    """How to read columns of a file in bounded memory.

    Attributes:
        rows: the number of rows to read at a time.
        coded: paths of text columns to read as dictionaries, so that repeated values take memory once.
        groups: lists of row groups to read together. Each group is read alone if a column is inside a struct or list,
            as Arrow cannot join dictionaries there.
    """

    rows: int
    coded: list[str]
    groups: list[list[int]]


def plan_reading(path: Path, metadata: Any, columns: Sequence[str]) -> Plan:  # noqa: ANN401 - pyarrow has no types
    """Plan how many rows can be read at a time.

    Args:
        path: a Parquet file.
        metadata: the file's footer, a `pyarrow.parquet.FileMetaData`.
        columns: the requested top-level columns.

    Returns:
        The plan.

    Raises:
        InputError: the file is damaged, the columns unpack to more than `limits.UnpackedLimit` allows, or texts inside
            lists have an encoding that hides their size.
    """
    limit, unpacked, rows = UnpackedLimit.of(path), 0, BATCH
    leaves = [leaf for leaf in map(_Leaf, [metadata] * metadata.num_columns, count()) if leaf.is_of(columns)]
    with path.open("rb") as stream:
        for number, chunks in enumerate(_read_chunks(path, stream, metadata)):
            size, group_rows = 0, metadata.row_group(number).num_rows
            for leaf in leaves:
                size += leaf.measure(path, stream, chunks[leaf.index])
                limit.check(unpacked + size)
            unpacked += size
            if group_rows > 0:
                rows = min(rows, BATCH_BYTES * group_rows // max(1, size))
    rows = min([rows, *(leaf.most_rows for leaf in leaves)])
    numbers = list(range(metadata.num_row_groups))
    groups = [[number] for number in numbers] if any(leaf.is_inner for leaf in leaves) else [numbers]
    return Plan(max(1, rows), [leaf.path for leaf in leaves if leaf.is_coded], groups)


class _Leaf:
    """An innermost column of a Parquet file, with what the file's footer and page headers say about its size.

    Args:
        metadata: the file's footer.
        index: the column's number in the file.
    """

    def __init__(self, metadata: Any, index: int) -> None:  # noqa: ANN401 - pyarrow has no types
        described = metadata.schema.column(index)
        self.index, self.path, kind = index, described.path, described.physical_type
        self.is_inner = described.path != described.name  # of a struct, list or map
        self._is_text, self._is_listed = kind == "BYTE_ARRAY", described.max_repetition_level > 0
        self._width = max(_LEAST, described.length if kind == "FIXED_LEN_BYTE_ARRAY" else 0)
        self._is_delta, self._largest = False, 1

    def is_of(self, columns: Sequence[str]) -> bool:
        """Whether the column belongs to one of the given top-level columns."""
        return any(self.path == column or self.path.startswith(f"{column}.") for column in columns)

    @property
    def is_coded(self) -> bool:
        """Whether Arrow can read the column as a dictionary, which it cannot for texts in Parquet's delta encodings."""
        return self._is_text and not self._is_delta

    @property
    def most_rows(self) -> int:
        """How many rows may be read at once; in a delta encoding, each text may be as long as the largest page."""
        return BATCH_BYTES // (self._largest if self._is_text and self._is_delta else self._width)

    def measure(self, path: Path, stream: BinaryIO, chunk: dict[int, Any]) -> int:
        """Least number of bytes that the values of a row group take; a text in a dictionary is counted once."""
        pages = 0
        for page in _read_page_sizes(path, stream, chunk):
            self._largest = max(self._largest, page)
            pages += max(page, _LEAST_PAGE)
        delta = [_DELTAS[encoding] for encoding in chunk[_ENCODINGS] if encoding in _DELTAS] if self._is_text else []
        if delta and self._is_listed:
            problem = f"holds lists of texts encoded as {delta[0]}, whose size is unknown until they are read"
            wanted = "the file saved again, in pyarrow's default encoding"
            raise InputError(problem, wanted, file=path, column=self.path)
        self._is_delta = self._is_delta or bool(delta)
        return max(pages, int(chunk[_VALUES]) * self._width)


def _read_chunks(path: Path, stream: BinaryIO, metadata: Any) -> list[list[dict[int, Any]]]:  # noqa: ANN401 - pyarrow
    """Read each column chunk's fields from the footer, by row group; InputError where the footer is damaged."""
    stream.seek(-metadata.serialized_size - _TAIL, os.SEEK_END)
    with suppress(AttributeError, IndexError, KeyError, TypeError, RecursionError):
        footer = _Thrift(stream.read(metadata.serialized_size)).read_struct()
        groups = [[chunk[_CHUNK] for chunk in group[_CHUNKS]] for group in footer[_GROUPS]]
        are_whole = [len(chunks) for chunks in groups] == [metadata.num_columns] * metadata.num_row_groups
        if are_whole and all(_are_numbers(chunk) for chunks in groups for chunk in chunks):
            return groups
    raise InputError("cannot be read (its footer is damaged)", "an undamaged Parquet file", file=path)


def _are_numbers(chunk: dict[int, Any]) -> bool:
    """Whether all needed fields of a column chunk are integers; raises KeyError if a field is missing."""
    used = chunk[_VALUES], chunk[_PACKED], chunk[_DATA], chunk.get(_DICTIONARY, 0), *chunk[_ENCODINGS]
    return all(isinstance(number, int) for number in used)


def _read_page_sizes(path: Path, stream: BinaryIO, chunk: dict[int, Any]) -> Iterator[int]:
    """List the unpacked size of each page of a column chunk; InputError if a page header cannot be parsed."""
    start = chunk[_DATA]
    if 0 < chunk.get(_DICTIONARY, 0) < start:
        start = chunk[_DICTIONARY]
    end = start + chunk[_PACKED]
    while start < end:
        unpacked, packed, length = _read_header(path, stream, start)
        yield unpacked
        start += length + packed


def _read_header(path: Path, stream: BinaryIO, start: int) -> tuple[int, int, int]:
    """Read the page header at a place in the file: the page's unpacked and packed size, and the header's size."""
    for size in (_HEADER, _LONGEST_HEADER):
        stream.seek(start)
        header = _Thrift(stream.read(size))
        try:
            fields = header.read_struct()
        except (IndexError, RecursionError):  # a header that goes on, or none
            continue
        unpacked, packed = fields.get(2), fields.get(3)
        if isinstance(unpacked, int) and isinstance(packed, int) and min(unpacked, packed) >= 0:
            return unpacked, packed, header.place
        break
    raise InputError(f"cannot be read (no page at byte {start})", "an undamaged Parquet file", file=path)


class _Thrift:
    """Reads structs in Thrift's compact protocol, with their whole numbers, lists and structs; texts are skipped."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def read_struct(self) -> dict[int, Any]:
        """Parse a struct to a dictionary of values by field id; IndexError if the bytes end inside the struct."""
        fields: dict[int, Any] = {}
        field = 0
        while head := self._read_byte():
            step = head >> 4
            field = field + step if step else _unzigzag(self._read_varint())
            value = None if head & 15 in _BOOLEANS else self._read_value(head & 15)
            if value is not None:
                fields[field] = value
        return fields

    def _read_list(self) -> list[Any]:
        head = self._read_byte()
        size = self._read_varint() if head >> 4 == 15 else head >> 4
        return [self._read_value(head & 15) for _ in range(size)]

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

    def _read_value(self, kind: int) -> Any:  # noqa: ANN401 - a number, a list or a dict
        """Parse a value of a Thrift type; None for a type that is skipped, IndexError for an unknown type."""
        if kind in _VARINTS:
            return _unzigzag(self._read_varint())
        if kind == _STRUCT:
            return self.read_struct()
        if kind in _LISTS:
            return self._read_list()
        if kind in _BOOLEANS:  # of a list; a struct's field holds it in its head
            self._read_byte()
            return None
        sizes = {_BYTE: lambda: 1, _DOUBLE: lambda: 8, _BINARY: self._read_varint}
        if kind not in sizes:
            raise IndexError(kind)
        length = sizes[kind]()
        self.place += length
        if self.place > len(self._content):  # a list of texts might claim to go on for ever
            raise IndexError(self.place)
        return None


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
