"""One reader per file format: JSON lines and Parquet stand here. `load_records` decides what the values mean."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from nestvec.data.delimited import open_delimited
from nestvec.data.source import BATCH, SET_ASIDE, Batch, Rejects, Source, damaged_error, number_rows
from nestvec.data.streams import read_lines, suffix
from nestvec.data.text_form import TextForm
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

_LOOKED_AT = 100  # JSON objects whose fields make the columns
_LONGEST_LINE = 64 << 20  # bytes of a JSON line or a header


def read_file(path: Path, form: TextForm | None = None) -> Source:
    """Open an existing file in the format that its ending names.

    Args:
        path: the file.
        form: how it is written, as far as the user says so.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: the format is unknown or does not fit the form, or the file is empty or damaged.
    """
    reader = READERS.get(suffix(path))
    if reader is None:
        wanted = "a file ending in " + ", ".join(READERS) + ", each also with .gz or .zst"
        raise InputError(f"has the unknown format {suffix(path) or '(no ending)'!r}", wanted, file=path)
    try:
        if path.stat().st_size == 0:
            raise InputError("is empty", "a table with at least one record", file=path)
        return reader(path, form or TextForm())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", "a readable file", file=path) from error


def _open_json_lines(path: Path, form: TextForm) -> Source:
    """Open a file with one JSON object a line: the first objects' fields are the columns; a missing field is null."""
    form.refuse_options(path, "a JSONL file")
    bad = Rejects(SET_ASIDE)  # whether they stop the load is decided when they are read
    first = list(islice(json_objects(path, bad, form.encoding), _LOOKED_AT))
    if not first and bad.rows:
        raise InputError(bad.rows[0].problem, bad.rows[0].expected, file=path, row=bad.rows[0].row)
    if not first:
        raise InputError("is empty", "one JSON object a line", file=path)
    names = tuple(dict.fromkeys(name for _, values in first for name in values))

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for chunk in split_into_batches(json_objects(path, rejects, form.encoding)):
            rows, texts = [], []
            for number, values in chunk:
                try:
                    texts.append([_as_text(path, number, column, values.get(column)) for column in columns])
                    rows.append(number)
                except InputError as error:
                    rejects.refuse(error, json.dumps(values))
            if rows:
                yield Batch(str(path), np.array(rows), batch_texts(texts, columns))

    return Source(str(path), sha256(path), names, read)


def json_objects(path: Path, rejects: Rejects, encoding: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank; `rejects` decides over lines that hold no object."""
    for number, line in read_lines(path, _LONGEST_LINE, encoding):
        try:
            yield number, _parse_json(path, number, line)
        except InputError as error:
            rejects.refuse(error, line[:2000].decode("utf-8", "replace"))


def batch_texts(rows: Iterable[Sequence[str | None]], columns: Sequence[str]) -> pa.RecordBatch:
    """Rows of one text per column as a batch; there must be a row."""
    arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def split_into_batches(entries: Iterator[T]) -> Iterator[list[T]]:
    """Split entries into lists of `BATCH`, the last one of what is left."""
    while chunk := list(islice(entries, BATCH)):
        yield chunk


def _parse_json(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        wanted = "UTF-8, or --encoding to name another"
        raise InputError(f"is not UTF-8 ({error.reason})", wanted, file=path, row=number) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", "one JSON object a line", file=path, row=number) from error
    if not isinstance(value, dict):
        raise InputError(f"is {_shorten_json(value)}", "one JSON object a line", file=path, row=number)
    return value


def _as_text(path: Path, number: int, column: str, value: object) -> str | None:
    """A JSON value as the text that a CSV would hold; lone surrogates, which no file can hold, are refused."""
    if value is None or isinstance(value, str):
        if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError("holds half a surrogate pair", "text", file=path, row=number, column=column)
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return repr(float(value)) if isinstance(value, bool) else repr(value)
    raise InputError(f"is {_shorten_json(value)}", "text or a number", file=path, row=number, column=column)


def _shorten_json(value: object) -> str:
    """A value in a message, cut to a length that a person reads."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):  # nested too deep, or a number too long to print
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"


def _open_parquet(path: Path, form: TextForm) -> Source:
    import pyarrow.parquet as pq

    form.refuse_options(path, "a Parquet file", encoding=False)
    if path.suffix.lower() != ".parquet":
        raise InputError("is a packed Parquet file", "Parquet as it is: its columns are packed inside", file=path)
    try:
        with pq.ParquetFile(path) as file:
            rows, names = file.metadata.num_rows, tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged_error(path, error) from error
    if rows == 0:
        raise InputError("is empty", "a table with at least one record", file=path)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del rejects  # a Parquet file is whole or damaged
        try:
            with pq.ParquetFile(path) as file:
                for batch in number_rows(str(path), file.iter_batches(batch_size=BATCH, columns=columns)):
                    batch.values.validate(full=True)  # damage can hide in text that is not UTF-8
                    yield batch
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged_error(path, error) from error

    return Source(str(path), sha256(path), names, read)


READERS: dict[str, Callable[[Path, TextForm], Source]] = {
    ".csv": open_delimited,
    ".tsv": open_delimited,
    ".jsonl": _open_json_lines,
    ".parquet": _open_parquet,
}
