"""Which fields of a file of documents are numbers, and their values as an index is given them.

A column of a file of text is numbers only where every value is written as the number prints, so that `0123`, `1e5`,
`19.90`, `12345678901234567890` and `NaN` stay the texts that they are. JSON and Parquet say what a number is.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from nestvec.data.json_lines import json_objects
from nestvec.data.source import SET_ASIDE, Rejects
from nestvec.data.streams import suffix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nestvec.data.source import Source

Value = str | float | int
_EXACT = 2**53  # up to here every reader of JSON knows whole numbers exactly
_PRINTED = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?")


def find_numeric_columns(path: Path, source: Source, fields: Sequence[str]) -> set[str]:
    """The fields of a file of text that hold numbers only; reads the file once, InputError where it is damaged."""
    if not fields or suffix(path) == ".parquet":
        return set()
    if suffix(path) == ".jsonl":
        return _find_json_numbers(path, fields)
    numeric = set(fields)
    for batch in source.read(list(fields), Rejects(SET_ASIDE)):  # bad rows are named when their texts are read
        for name in sorted(numeric):
            texts = set(batch.values.column(name).to_pylist()) - {None, ""}
            if not all(_prints_as_written(text) for text in texts):
                numeric.remove(name)
    return numeric


def read_field(values: Sequence[Any], numeric: bool) -> list[Value | None]:
    """Turn a column's values into finite numbers or texts; None for nothing.

    Args:
        values: n values as a reader gives them.
        numeric: whether texts among them are numbers, as `find_numeric_columns` found.

    Returns:
        n values.
    """
    return [_read_value(_parse_number(value) if numeric and isinstance(value, str) else value) for value in values]


def _find_json_numbers(path: Path, fields: Sequence[str]) -> set[str]:
    """The fields whose values are all JSON numbers, at least one."""
    numbers, others = set[str](), set[str]()
    for _, values in json_objects(path, Rejects(SET_ASIDE)):
        for name in fields:
            value = values.get(name)
            if value is not None:
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                (numbers if is_number else others).add(name)
    return numbers - others


def _prints_as_written(text: str) -> bool:
    """Whether a text is a number in the very form in which the number prints."""
    number = _parse_number(text) if _PRINTED.fullmatch(text) else None
    return number is not None and repr(number) == text and (isinstance(number, float) or abs(number) <= _EXACT)


def _parse_number(text: str) -> int | float | None:
    """A text that is a number as that number; None for no text."""
    if not text:
        return None
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)


def _read_value(value: Any) -> Value | None:  # noqa: ANN401 - whatever a table holds
    """A value that can be filtered by; a whole number that readers of JSON would round is a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is None else str(value) or None
