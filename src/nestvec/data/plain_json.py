"""Reads ordinary lines of JSON with Arrow, ten times faster than Python's reader; Python reads all other lines.

Everything that Arrow reads differently from Python is searched for first, so that both give the same texts. If Arrow
finds an error, Python reads the lines again and names the line.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.nested import LARGEST_EXACT, scalar_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_BRACKETS = 100  # of a line; Python refuses some hundreds of nested levels, Arrow does not
_MOST_DIGITS = 4000  # Python refuses integers with somewhat more digits, Arrow does not
_LONG_NUMBER = re.compile(rb"\d{%d}" % _MOST_DIGITS)
_NO_NUMBER = re.compile(rb"[:\[,]\s*-?(?:NaN|Inf)")  # Arrow takes -NaN and Inf for numbers, Python does not


def read_plain_lines(lines: Sequence[bytes], columns: Sequence[str]) -> pa.RecordBatch | None:
    """Read fields of objects as the texts that a CSV would hold.

    Args:
        lines: n lines of a file, one object each.
        columns: the names of the fields.

    Returns:
        n rows; None if a line is unusual or damaged, or a field is not always a text or always a number.
    """
    schema = _find_schema(lines[0], columns)
    if schema is None or not all(map(_is_plain, lines)):
        return None
    table = _parse(b"".join(lines), schema)
    if table is None or table.num_rows != len(lines):  # a line may hold two objects
        return None
    coded = [_code(table.column(column).combine_chunks().dictionary_encode()) for column in columns]
    return None if None in coded else pa.RecordBatch.from_arrays(coded, names=list(columns))


def _find_schema(line: bytes, columns: Sequence[str]) -> pa.Schema | None:
    """Find the columns' types in the first object; None if a value is neither text nor number."""
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    kinds = {str: pa.string(), type(None): pa.string(), int: pa.float64(), float: pa.float64()}
    found = [kinds.get(type(values.get(name))) for name in columns] if isinstance(values, dict) else [None]
    if None in found or any("." in name for name in columns):
        return None
    return pa.schema(list(zip(columns, found, strict=True)))


def _is_plain(line: bytes) -> bool:
    """Whether a line looks like one JSON object, without anything that Arrow reads and Python refuses."""
    return (
        line.startswith(b"{")
        and line.rstrip().endswith(b"}")
        and line.count(b"{") + line.count(b"[") < _MOST_BRACKETS
        and not (len(line) > _MOST_DIGITS and _LONG_NUMBER.search(line))
    )


def _parse(content: bytes, schema: pa.Schema) -> pa.Table | None:
    """Parse the objects with Arrow; None if it finds an error."""
    from pyarrow import json as arrow_json

    if (b"NaN" in content or b"Inf" in content) and _NO_NUMBER.search(content):
        return None
    try:
        content.decode()  # of fields that are not wanted, too
        return arrow_json.read_json(
            pa.BufferReader(content),
            arrow_json.ReadOptions(use_threads=False, block_size=len(content) + 1),
            arrow_json.ParseOptions(schema, unexpected_field_behavior="ignore"),
        )
    except (UnicodeDecodeError, pa.ArrowException):
        return None


def _code(coded: pa.DictionaryArray) -> pa.DictionaryArray | None:
    """Convert the values to texts; None if a number may have been rounded."""
    if not pa.types.is_floating(coded.dictionary.type):
        return coded
    numbers = coded.dictionary.to_numpy(zero_copy_only=False)
    if not (np.abs(numbers) <= LARGEST_EXACT).all():
        return None
    texts = pa.array(map(scalar_text, numbers.tolist()), pa.string())
    return pa.DictionaryArray.from_arrays(coded.indices, texts)
