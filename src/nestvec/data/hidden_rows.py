"""Finds rows that a stray quote has joined: a quoted value whose lines look like rows of the table.

An ordinary value may hold line breaks and delimiters, too. But its lines rarely have exactly as many fields as the
table has columns, numbers where the table has numbers, and no space after a delimiter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.dialect import NUMBER
from nestvec.data.values import may_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_FEWEST = 2  # lines of a value that look like rows
_LEAST_SIGNS = 2  # delimiters and unmistakable fields that must speak for rows
_MOST_LABELS = 8  # distinct values
_MOST_FORMS = 3  # of ids: D0012 is letters and digits


@dataclass(frozen=True)
class HiddenRows:
    """A value in quotes that seems to hold several rows of the table.

    Attributes:
        index: the row of the batch in which the value is.
        column: the column in which the value is.
        lines: the number of lines of the value.
        rows: how many of these lines look like rows of the table.
    """

    index: int
    column: str
    lines: int
    rows: int


@dataclass(frozen=True)
class Kind:
    """What the values of a column look like, such as numbers, labels, ids or prose.

    Attributes:
        telling: whether the values are easily told from prose, as numbers, labels and ids are.
        fits: a function that returns whether a text looks like a value of the column.
    """

    telling: bool
    fits: Callable[[str], bool]


class RowShape:
    """What the rows of a table look like, learnt from some of its records.

    Args:
        delimiter: the character between fields.
        width: how many columns there are.
        sample: records of the table.
    """

    def __init__(self, delimiter: str, width: int, sample: Sequence[Sequence[str]]) -> None:
        self.delimiter, self.width = delimiter, width
        rows = [row for row in sample if len(row) == width and not any(_has_break(field) for field in row)]
        self.kinds = [_find_kind([row[column] for row in rows]) for column in range(width)]

    def fits(self, fields: Sequence[str], loose: int | None = None) -> bool:
        """Whether fields look like a row of the table: as many as its columns, and alike in all columns but `loose`."""
        return (
            len(fields) == self.width
            and any(fields)
            and all(
                index == loose or kind.fits(field)
                for index, (field, kind) in enumerate(zip(fields, self.kinds, strict=True))
            )
        )

    def starts(self, fields: Sequence[str], column: int) -> bool:
        """Whether fields look like a row whose value in `column` holds delimiters: the fields after that value fit."""
        kinds = self.kinds[column + 1 :]
        return self.fits(fields, column) or (
            len(fields) > self.width
            and any(kind.telling for kind in kinds)
            and all(kind.fits(field) for field, kind in zip(fields[-len(kinds) :], kinds, strict=True))
        )


def _find_kind(values: list[str]) -> Kind:
    """Find out what the values of a column look like; a blank value fits every look except free text."""
    stripped = [value.strip() for value in values if value.strip()]
    given = set(stripped)
    if given and all(NUMBER.fullmatch(value) for value in given):
        return Kind(True, lambda field: not field or NUMBER.fullmatch(field.strip()) is not None)
    if given and not any(re.search(r"\s", value) for value in given):
        changes = sum(value != other for value, other in pairwise(stripped))
        if len(given) <= _MOST_LABELS and changes >= 2 * len(given):  # labels alternate; sorted values come once
            return Kind(True, lambda field: not field or field.strip() in given)
        forms = {_find_form(value) for value in given}
        if len(forms) <= _MOST_FORMS:
            telling = all("0" in form for form in forms)
            return Kind(telling, lambda field: not field or _find_form(field.strip()) in forms)
    if any(value.startswith(" ") for value in values):
        return Kind(False, lambda field: True)
    return Kind(False, lambda field: not field.startswith(" "))


def _find_form(value: str) -> str:
    """Reduce a value to its pattern: one letter for each run of letters, one digit for each run of digits."""
    return re.sub(r"\s+", " ", re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", value)))


def _has_break(value: str) -> bool:
    return "\n" in value or "\r" in value


def find_hidden_rows(values: pa.RecordBatch, shape: RowShape) -> Iterator[HiddenRows]:
    """Find values of a batch that seem to hold several rows of the table.

    Args:
        values: all columns of some records, as text.
        shape: what a row looks like; in a table of one column, such values cannot be found.

    Yields:
        The first such value of every record that has one, in the order of the records.
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
    """Tell which of n values hold a line break."""
    broken: NDArray[np.bool_] = np.zeros(len(column), dtype=bool)
    for mark in ("\n", "\r"):
        if may_hold(column, mark):
            broken |= np.asarray(pc.match_substring(column, mark))
    return broken


def _look_into(fields: list[str], column: int, shape: RowShape) -> tuple[int, int] | None:
    """Count the lines of a value and the lines that look like rows; None if these are few or could be prose."""
    lines = [line.split(shape.delimiter) for line in re.split(r"\r\n|\n|\r", fields[column])]
    rows = [line for line in lines[1:-1] if shape.fits(line)]
    signs = 2 * shape.kinds[column].telling  # a number, a label or an id has no lines
    signs += len(rows) * sum(kind.telling for kind in shape.kinds)
    if shape.starts([*fields[:column], *lines[0]], column):
        rows.append(lines[0])
        signs += sum(kind.telling for kind in shape.kinds[column + 1 :])
    spaced = lines[-1][-1].startswith(" ") and not shape.kinds[column].telling
    if shape.fits([*lines[-1], *fields[column + 1 :]], column) and not spaced:
        rows.append(lines[-1])
        signs += sum(kind.telling for kind in shape.kinds[:column])
    signs += sum(_count_signs(line) for line in rows)
    hidden = len(rows) >= _FEWEST and 2 * len(rows) > len(lines) and signs >= _LEAST_SIGNS
    return (len(lines), len(rows)) if hidden else None


def _count_signs(line: list[str]) -> int:
    """Find the delimiters of a line, except those between digits, as in `2,5 kg`."""
    return sum(not (before[-1:].isdigit() and after[:1].isdigit()) for before, after in pairwise(line))
