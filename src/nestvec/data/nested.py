"""Gives nested fields dotted names, and converts numbers, lists and other values to the text a CSV would hold.

`query.text` is the field `text` of the field `query`; but if a field itself is named `query.text`, that field is read.
A list of texts becomes one text, joined by spaces; a map becomes `key: value, key: value`.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.limits import find_repeated
from nestvec.errors import InputError, Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

LARGEST_WHOLE = 2**63  # whole floats below it are written as integers
LARGEST_EXACT = 2**53 - 1  # whole numbers up to it are floats of their own; of larger ones, two may be one float
_LONGEST_INTEGER = 10**100
_SHOWN = 60  # letters of a value in a message
_DATES = (date, time, timedelta)
_LEAST, _OBJECT = 8, 64  # bytes of any value, and of one as a Python object
_TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
)

ArrowPath = tuple[str, ...]


def list_leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """List a JSON object's innermost fields in order: dotted name and value."""
    levels = [("", iter(values.items()))]
    while levels:
        prefix, fields = levels[-1]
        name, value = next(fields, (None, None))
        if name is None:
            levels.pop()
        elif isinstance(value, dict):
            levels.append((f"{prefix}{name}.", iter(value.items())))
        else:
            yield prefix + name, value


def reach(values: Mapping[str, Any], name: str) -> object:
    """Return the value of a JSON object's field by its dotted name; None if there is no such field.

    An object is returned only if no innermost field has that name.
    """
    found = values.get(name)
    if "." not in name or (found is not None and not isinstance(found, dict)):
        return found
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        inner = values.get(".".join(parts[:length]))
        value = reach(inner, ".".join(parts[length:])) if isinstance(inner, dict) else None
        if value is not None and not isinstance(value, dict):
            return value
        found = value if found is None else found
    return found


def find_arrow_leaves(schema: pa.Schema, file: str) -> dict[str, ArrowPath]:
    """List all columns of a schema, with the fields of structs as columns of their own.

    Args:
        schema: the table's schema.
        file: the table's name, for messages.

    Returns:
        The path of each column by its dotted name, in the table's order.

    Raises:
        InputError: two columns, or two fields of a struct, have the same name.
    """
    paths = list(_list_paths((), schema, file))
    leaves: dict[str, ArrowPath] = {}
    for path in sorted(paths, key=len):  # a name that itself holds a dot goes first
        leaves.setdefault(".".join(path), path)
    return {name: leaves[name] for name in dict.fromkeys(map(".".join, paths))}


def _list_paths(parent: ArrowPath, fields: Iterable[pa.Field], file: str) -> Iterator[ArrowPath]:
    """List the paths of all fields that are not structs; InputError if two fields of one level have the same name."""
    fields = list(fields)
    if twice := find_repeated(field.name for field in fields):
        name = ".".join((*parent, twice[0]))
        raise InputError(f"two columns are called {name!r}", "a different name for each column", file=file)
    for field in fields:
        path = (*parent, field.name)
        if pa.types.is_struct(field.type):
            yield from _list_paths(path, field.type, file)
        else:
            yield path


def take_leaf(values: pa.RecordBatch, path: ArrowPath) -> pa.Array:
    """Extract a column, or a field of a struct column, from a batch; null where the struct is null."""
    column = values.column(values.schema.get_all_field_indices(path[0])[0])
    for name in path[1:]:
        column = pc.struct_field(column, [column.type.get_all_field_indices(name)[0]])
    return column


def decode(column: pa.Array) -> pa.Array:
    """Convert a column to plain values: undo run-end encoding, extension types, and dictionaries except of texts."""
    while True:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        elif pa.types.is_dictionary(column.type) and not is_coded_text(column.type):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        elif holds_lists(column.type):
            return column.cast(_plain_type(column.type))
        else:
            return column


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Replace dictionary types inside a list or map type by their value types."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind


def list_values(array: pa.Array) -> list[Any]:
    """Convert a column to n Python values; repeated texts of a dictionary column are one object."""
    if not pa.types.is_dictionary(array.type):
        values: list[Any] = array.to_pylist()
        return values
    known = [*array.dictionary.to_pylist(), None]  # value by value, Arrow takes fifteen times as long
    return [known[index] for index in pc.fill_null(array.indices, len(known) - 1).to_pylist()]


def is_coded_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a dictionary of texts."""
    values = kind.value_type if pa.types.is_dictionary(kind) else None
    return values is not None and bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def holds_lists(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are lists or maps."""
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return pa.types.is_nested(kind) and not (pa.types.is_struct(kind) or pa.types.is_union(kind))


def measure_values(array: pa.Array) -> NDArray[np.int64]:
    """Estimate the bytes that each of a column's n values takes in memory, contents of lists included: (n,)."""
    if isinstance(array, pa.ExtensionArray):
        return measure_values(array.storage)
    kind, sizes = array.type, np.full(len(array), _LEAST, dtype=np.int64)
    if pa.types.is_dictionary(kind):
        known = np.append(measure_values(array.dictionary), _LEAST)  # the last one is that of null
        sizes = known[pc.fill_null(array.indices.cast(pa.int64()), len(known) - 1).to_numpy()]
    elif any(is_kind(kind) for is_kind in _TEXTS):
        sizes += pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
    elif pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):  # a view begins with its length
        views = np.frombuffer(array.buffers()[1], dtype=np.int32).reshape(-1, 4)[array.offset :][: len(array), 0]
        sizes += np.where(array.is_valid(), views, 0)
    elif pa.types.is_struct(kind):
        sizes = np.sum([sizes, *map(measure_values, array.flatten())], axis=0)
    elif holds_lists(kind):
        if pa.types.is_map(kind):
            array = array.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
        counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        ends = np.cumsum(np.append(0, measure_values(array.flatten()) + _OBJECT))
        stops = np.cumsum(counts)
        sizes += ends[stops] - ends[stops - counts]
    return sizes


def flatten_column(column: pa.Array, places: list[Location]) -> tuple[pa.Array, dict[int, InputError]]:
    """Convert a column's lists and maps to texts.

    Args:
        column: n values.
        places: n locations of the values, for messages.

    Returns:
        The column as texts; and, for each value that cannot be converted, its index and the error.
    """
    texts: list[str | None] = []
    bad: dict[int, InputError] = {}
    is_map = pa.types.is_map(column.type)
    for index, (value, place) in enumerate(zip(column.to_pylist(), places, strict=True)):
        try:
            texts.append(_map_text(value, place) if is_map else cell_text(value, place, joined=True))
        except InputError as error:
            bad[index] = error
            texts.append(None)
    return pa.array(texts, pa.string()), bad


def _map_text(entries: list[tuple[object, object]] | None, place: Location) -> str | None:
    """Write a map as `key: value, key: value`, without keys that have no value."""
    if entries is None:
        return None
    pairs = [(cell_text(key, place), cell_text(value, place, joined=True)) for key, value in entries]
    return ", ".join(f"{key}: {value}" for key, value in pairs if value)


def cell_text(value: object, place: Location, *, joined: bool = False) -> str | None:
    """Convert a value to the text that a CSV would hold.

    Args:
        value: a value of a JSON or Parquet file. True and false become 1 and 0, floats without a fraction are written
            as integers, and NaN becomes None.
        place: the value's location, for messages.
        joined: whether a list may be joined to one text.

    Returns:
        The text; None for a missing value.

    Raises:
        InputError: the value cannot be converted.
    """
    if isinstance(value, list | tuple) and joined:
        parts = [cell_text(part, place) for part in value]
        return " ".join(part for part in parts if part) or None
    if value is None or isinstance(value, str):
        return _refuse_surrogates(value, place)
    text = scalar_text(value)
    if text is None and not (isinstance(value, float) and value != value):  # NaN is no value
        wanted = "text, a number or a list of these" if joined else "text or a number"
        raise InputError(f"is {shorten_value(value)}", wanted, file=place.file, row=place.row, column=place.column)
    return text


def scalar_text(value: object) -> str | None:
    """Convert a number, a date or bytes to text; None for NaN and for any other type."""
    if isinstance(value, bool | int):
        return repr(int(value)) if abs(value) < _LONGEST_INTEGER else None
    if isinstance(value, float):
        return None if value != value else _float_text(value)  # NaN
    if isinstance(value, Decimal):
        return repr(int(value)) if value == value.to_integral_value() else str(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, _DATES):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None


def _float_text(value: float) -> str:
    return repr(int(value)) if abs(value) < LARGEST_WHOLE and value == int(value) else repr(value)


def _refuse_surrogates(value: str | None, place: Location) -> str | None:
    """Return the text unchanged; raises InputError if the text holds an unpaired surrogate, which no file can store."""
    if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
        problem, wanted = "holds an unpaired surrogate", "valid Unicode text"
        raise InputError(problem, wanted, file=place.file, row=place.row, column=place.column)
    return value


def shorten_value(value: object) -> str:
    """Write a value for a message, cut to at most 60 characters."""
    try:
        text = json.dumps(value, default=str)
    except (RecursionError, ValueError):  # nested too deep, or a number too long to print
        text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"
