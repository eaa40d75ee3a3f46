"""Rows that a stray quote holds together: a quoted value whose lines look like rows of the table.

An honest value may hold line breaks and delimiters, too. Its lines rarely have exactly as many fields as the table has
columns, with a number where the table has numbers, and no space after a delimiter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.dialect import NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_NUMBER, _WORD, _TEXT, _SPACED = "number", "word", "text", "spaced text"
_FEWEST = 2  # lines of a value that look like rows


@dataclass(frozen=True)
class HiddenRows:
    """A value that holds rows.

    Attributes:
        index: its row in the batch.
        column: its column.
        lines: lines of the value.
        rows: how many of them look like rows.
    """

    index: int
    column: str
    lines: int
    rows: int


class RowShape:
    """What a row of a table looks like, as far as some of its records say.

    Args:
        delimiter: the character between fields.
        width: how many columns there are.
        sample: records of the table.
    """

    def __init__(self, delimiter: str, width: int, sample: Sequence[Sequence[str]]) -> None:
        self.delimiter, self.width = delimiter, width
        rows = [row for row in sample if len(row) == width and not any(_has_break(field) for field in row)]
        self._kinds = [_find_kind([row[column] for row in rows]) for column in range(width)]

    def fits(self, fields: Sequence[str]) -> bool:
        """Whether fields are as many as the table has columns, and like those."""
        return len(fields) == self.width and self._all_fit(fields, self._kinds)

    def starts(self, fields: Sequence[str], column: int) -> bool:
        """Whether fields begin a row whose value in `column` may hold delimiters: what follows it fits."""
        after = self.width - 1 - column
        return self.fits(fields) or (
            len(fields) > self.width
            and _NUMBER in self._kinds[column + 1 :]
            and self._all_fit(fields[-after:], self._kinds[column + 1 :])
        )

    def _all_fit(self, fields: Sequence[str], kinds: Sequence[str]) -> bool:
        return all(_FITS[kind](field) for field, kind in zip(fields, kinds, strict=True))


def _find_kind(values: list[str]) -> str:
    given = [value.strip() for value in values if value.strip()]
    if given and all(NUMBER.fullmatch(value) for value in given):
        return _NUMBER
    if given and not any(re.search(r"\s", value) for value in given):
        return _WORD
    return _SPACED if any(value.startswith(" ") for value in values) else _TEXT


_FITS: dict[str, Callable[[str], bool]] = {
    _NUMBER: lambda field: NUMBER.fullmatch(field.strip()) is not None,
    _WORD: lambda field: bool(field.strip()) and re.search(r"\s", field.strip()) is None,
    _TEXT: lambda field: not field.startswith(" "),
    _SPACED: lambda field: True,
}


def _has_break(value: str) -> bool:
    return "\n" in value or "\r" in value


def find_hidden_rows(values: pa.RecordBatch, shape: RowShape) -> Iterator[HiddenRows]:
    """Find values of a batch that hold rows.

    Args:
        values: all columns of some records, as text.
        shape: what a row looks like; a table of one column hides nothing that could be told.

    Yields:
        The first such value of every record that has one, in their order.
    """
    if shape.width < 2:
        return
    broken = [_break_rows(column) for column in values.columns]
    for index in np.flatnonzero(np.any(broken, axis=0)).tolist():
        fields = [column[index].as_py() for column in values.columns]
        for column, rows in enumerate(broken):
            found = _look_into(fields, column, shape) if rows[index] else None
            if found is not None:
                yield HiddenRows(index, values.schema.names[column], *found)
                break


def _break_rows(column: pa.Array) -> NDArray[np.bool_]:
    """(n,) which values hold a line break."""
    letters = column.buffers()[2]
    content = b"" if letters is None else letters.to_pybytes()  # far faster to look through than value by value
    broken: NDArray[np.bool_] = np.zeros(len(column), dtype=bool)
    for mark in ("\n", "\r"):
        if mark.encode() in content:
            broken |= np.asarray(pc.match_substring(column, mark))
    return broken


def _look_into(fields: list[str], column: int, shape: RowShape) -> tuple[int, int] | None:
    """Lines of a value and how many look like rows; None if these are few."""
    lines = re.split(r"\r\n|\n|\r", fields[column])
    first = [*fields[:column], *lines[0].split(shape.delimiter)]
    last = [*lines[-1].split(shape.delimiter), *fields[column + 1 :]]
    rows = sum(shape.fits(line.split(shape.delimiter)) for line in lines[1:-1])
    rows += shape.starts(first, column) + shape.fits(last)
    return (len(lines), rows) if rows >= _FEWEST and 2 * rows > len(lines) else None
