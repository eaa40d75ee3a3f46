"""Finds which fields of a file of documents are numbers, and converts their values for an index.

A column of a CSV or TSV is numeric only if every value is written exactly as Python prints it, so that `0123`, `1e5`,
`19.90`, `12345678901234567890` and `NaN` stay texts. JSON and Parquet files state types.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from nestvec.data.json_lines import json_objects, list_fields
from nestvec.data.limits import refuse_many_columns
from nestvec.data.nested import list_values
from nestvec.data.source import SET_ASIDE, Rejects
from nestvec.data.streams import suffix

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from nestvec.data.source import Source

Value = str | float | int
Kind = Literal["number", "boolean", "text"]
_EXACT = 2**53  # up to here every reader of JSON knows whole numbers exactly
_PRINTED = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?")
_BOOLEANS = {"1": "true", "0": "false", "1.0": "true", "0.0": "false"}  # as a reader of JSON writes them


def find_kinds(path: Path, source: Source, fields: Sequence[str] | None, others: Collection[str]) -> dict[str, Kind]:
    """Find a file's fields and their kinds; CSV, TSV and JSONL files are read once for that.

    Args:
        path: the file.
        source: the opened file.
        fields: the requested fields; None takes all columns, including those that appear late in a JSON file.
        others: columns that are not fields unless `fields` names them.

    Returns:
        The kind of each field, by its name; `text` for Parquet columns, whose values keep their own types.

    Raises:
        InputError: the file is damaged.
    """
    columns = [name for name in source.columns if name not in others]
    if suffix(path) == ".jsonl":
        found = _scan_json(path)
        late = [name for name in found if name not in others and not _is_known(name, source.columns)]
        return {name: found.get(name, "text") for name in ([*columns, *late] if fields is None else fields)}
    wanted = columns if fields is None else list(fields)
    numeric = set[str]() if suffix(path) == ".parquet" or not wanted else _find_printed_numbers(source, wanted)
    return {name: "number" if name in numeric else "text" for name in wanted}


def read_field(column: pa.Array, kind: Kind) -> list[Value | None]:
    """Convert a column's n values to finite numbers or texts, None for missing ones; `kind` is from `find_kinds`."""
    values = list_values(column)
    if pa.types.is_floating(column.type) and not pa.types.is_float64(column.type):  # 0.1, not 0.10000000149011612
        width = column.type.to_pandas_dtype()
        values = [None if value is None else float(str(np.dtype(width).type(value))) for value in values]
    if kind == "boolean":
        return [_BOOLEANS.get(value, value) if value else None for value in values]
    if kind == "number":
        values = [_parse_number(value) if isinstance(value, str) else value for value in values]
    return list(map(_read_value, values))


def _is_known(name: str, columns: Sequence[str]) -> bool:
    """Whether a name is a column of the file, or a JSON object whose fields are columns."""
    return name in columns or any(column.startswith(f"{name}.") for column in columns)


def _find_printed_numbers(source: Source, fields: Sequence[str]) -> set[str]:
    """List the columns of a delimited file in which every value is written exactly as the number prints."""
    numeric = set(fields)
    for batch in source.read(list(fields), Rejects(SET_ASIDE)):  # bad rows are named when their texts are read
        for name in sorted(numeric):
            texts = set(batch.values.column(name).to_pylist()) - {None, ""}
            if not all(map(_prints_as_written, texts)):
                numeric.remove(name)
    return numeric


def _scan_json(path: Path) -> dict[str, Kind]:
    """List the fields of a JSON file that hold values other than lists, each with the kind that fits all values."""
    kinds: dict[str, set[Kind]] = {}
    for _, values in json_objects(path, Rejects(SET_ASIDE)):
        for name, value in list_fields(path, values):
            if value is not None and not isinstance(value, list):
                kinds.setdefault(name, set()).add(_kind_of(value))
                refuse_many_columns(len(kinds), path)
    return {name: held.pop() if len(held) == 1 else "text" for name, held in kinds.items()}


def _kind_of(value: object) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def _prints_as_written(text: str) -> bool:
    """Whether a text is written exactly as the number prints: `12` is, but `012`, `1e5` and `12.50` are not."""
    number = _parse_number(text) if _PRINTED.fullmatch(text) else None
    return number is not None and repr(number) == text and (isinstance(number, float) or abs(number) <= _EXACT)


def _parse_number(text: str) -> int | float | None:
    """Convert a text that is a number to that number; None stays None."""
    if not text:
        return None
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)


def _read_value(value: Any) -> Value | None:  # noqa: ANN401 - whatever a table holds
    """Convert a value to a number or text to filter by; integers that JSON readers would round become text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") or None
    return None if value is None else str(value) or None
