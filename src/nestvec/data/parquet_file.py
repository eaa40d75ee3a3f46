"""Reads Parquet files. Fields of structs become columns with dotted names; lists and maps become text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.limits import (
    BATCH,
    BATCH_BYTES,
    LONGEST,
    UnpackedLimit,
    refuse_many_columns,
    split_rows,
    too_long_error,
)
from nestvec.data.nested import (
    ArrowPath,
    decode,
    find_arrow_leaves,
    flatten_column,
    holds_lists,
    list_values,
    measure_values,
    take_leaf,
)
from nestvec.data.parquet_pages import plan_reading
from nestvec.data.source import Batch, Cells, Rejects, Source, damaged_error
from nestvec.errors import InputError, Location
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.data.text_form import TextForm

    ReadBatches = Callable[[list[str], int], Iterator[pa.RecordBatch]]

_CELLS = 1000  # rows that are read at a time if cells may hold long lists


def open_parquet(path: Path, form: TextForm) -> Source:
    """Open a Parquet file; InputError if it is compressed as a whole, damaged or without rows."""
    import pyarrow.parquet as pq

    form.refuse_options(path, "a Parquet file", encoding=False)
    if path.suffix.lower() != ".parquet":
        wanted = "a .parquet file; Parquet compresses its columns itself"
        raise InputError("is a compressed Parquet file", wanted, file=path)
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged_error(path, error) from error
    if metadata.num_rows == 0:
        raise InputError("is empty", "a table with at least one record", file=path)
    refuse_many_columns(metadata.num_columns, path)

    def read_batches(columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
        plan = plan_reading(path, metadata, columns)
        try:
            with pq.ParquetFile(path, read_dictionary=plan.coded) as file:
                for groups in plan.groups:
                    for values in file.iter_batches(min(size, plan.rows), groups, columns):
                        values.validate(full=True)  # damage can hide in text that is not UTF-8
                        yield values
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged_error(path, error) from error

    source = make_arrow_source(str(path), sha256(path), schema, read_batches)
    return replace(source, limit=UnpackedLimit.of_rows(path))


def make_arrow_source(
    name: str,
    digest: str,
    schema: pa.Schema,
    read_batches: ReadBatches,
) -> Source:
    """Make a source of an Arrow table.

    Args:
        name: the file, or another name for messages.
        digest: the SHA-256 of the table's bytes, or the hub's commit.
        schema: the table's schema.
        read_batches: takes top-level columns and a number of rows; returns batches of at most so many rows, in order.

    Returns:
        The source.
    """
    leaves = find_arrow_leaves(schema, name)
    lists = frozenset(leaf for leaf, path in leaves.items() if holds_lists(_leaf_type(schema, path)))
    table = _ArrowTable(name, leaves, read_batches)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for first_row, arrays in table.take(columns, BATCH):
            yield _flatten_batch(name, first_row, dict(zip(columns, arrays, strict=True)), rejects)

    def read_cells(columns: list[str], rejects: Rejects) -> Iterator[Cells]:
        del rejects  # a Parquet file is whole or damaged
        for first_row, arrays in table.take(columns, _CELLS):
            for row, values in enumerate(zip(*map(list_values, arrays), strict=True), start=first_row):
                yield Cells(name, row, list(values))

    return Source(name, digest, tuple(leaves), read, lists=lists, cells=read_cells)


@dataclass(frozen=True)
class _ArrowTable:
    """A Parquet file or Arrow table that is read in batches; `leaves` maps each column to its path in the schema."""

    name: str
    leaves: dict[str, ArrowPath]
    read_batches: ReadBatches

    def take(self, columns: list[str], size: int) -> Iterator[tuple[int, list[pa.Array]]]:
        """Read columns in bounded memory, at most `size` rows at a time; yields the first row's number and columns."""
        roots, first_row = list(dict.fromkeys(self.leaves[column][0] for column in columns)), 1
        for values in _join_small_batches(self.read_batches(roots, size), size):
            arrays = [take_leaf(values, self.leaves[column]) for column in columns]
            places = [Location(self.name, first_row, column) for column in columns]
            sizes = np.sum([_measure_cells(*pair) for pair in zip(arrays, places, strict=True)], axis=0)
            for rows in split_rows(sizes):
                parts = [decode(array[rows]) for array in arrays]
                for part, place in zip(parts, places, strict=True):
                    _refuse_odd_times(part, replace(place, row=first_row + rows.start))
                yield first_row + rows.start, parts
            first_row += values.num_rows


def _join_small_batches(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Join small batches to batches of up to `size` rows, as each batch has a fixed cost."""
    held, rows, taken = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        if held and (rows + batch.num_rows > size or taken + batch.nbytes > BATCH_BYTES):
            yield pa.concat_batches(held)
            held, rows, taken = [], 0, 0
        held.append(batch)
        rows, taken = rows + batch.num_rows, taken + batch.nbytes
    if held:
        yield pa.concat_batches(held)


def _measure_cells(array: pa.Array, first: Location) -> NDArray[np.int64]:
    """Measure the bytes of a column's n values: (n,); InputError, located from the first row on, if one is too long."""
    sizes = measure_values(array)
    too_long = np.flatnonzero(sizes > LONGEST)
    if len(too_long):
        raise too_long_error(first.file, (first.row or 1) + int(too_long[0]), first.column)
    return sizes


def _leaf_type(schema: pa.Schema, path: ArrowPath) -> pa.DataType:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind


def _refuse_odd_times(array: pa.Array, first: Location) -> None:
    """Raise InputError for a date, time or duration outside Python's range, for which Arrow prints a placeholder."""
    for index, value in enumerate(array if _holds_times(array.type) else ()):
        try:
            value.as_py()
        except OverflowError as error:
            problem, row = f"holds a date, time or duration out of range ({array.type})", (first.row or 1) + index
            wanted = "dates of the years 1 to 9999, durations of up to 999,999,999 days"
            raise InputError(problem, wanted, file=first.file, row=row, column=first.column) from error


def _holds_times(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_times(kind.value_type)
    return pa.types.is_temporal(kind) or any(_holds_times(kind.field(index).type) for index in range(kind.num_fields))


def _flatten_batch(file: str, first_row: int, arrays: dict[str, pa.Array], rejects: Rejects) -> Batch:
    """Make a batch with lists and maps as texts; rows that cannot be converted are rejected."""
    rows = np.arange(first_row, first_row + len(next(iter(arrays.values()))))
    bad: dict[int, InputError] = {}
    flat = dict(arrays)
    for column, array in arrays.items():
        if pa.types.is_nested(array.type):
            places = [Location(file, row, column) for row in rows.tolist()]
            flat[column], wrong = flatten_column(array, places)
            bad = {**wrong, **bad}
    for index in sorted(bad):
        rejects.refuse(bad[index], str({column: array[index].as_py() for column, array in arrays.items()}))
    values = pa.RecordBatch.from_arrays(list(flat.values()), names=list(flat))
    if not bad:
        return Batch(file, rows, values)
    good = ~np.isin(rows - first_row, list(bad))
    return Batch(file, rows[good], values.filter(pa.array(good)))
