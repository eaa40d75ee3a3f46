"""One reader per file format: delimited text, JSON lines, Parquet. `load_records` decides what the values mean."""

from __future__ import annotations

import csv as text_csv
import io
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from nestvec.data.source import BATCH, SET_ASIDE, Batch, Finding, Rejects, Source, damaged_error, number_rows
from nestvec.data.streams import PIECE, Unpacked, find_encoding, read_lines, suffix
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

T = TypeVar("T")

_LOOKED_AT = 100  # JSON objects whose fields make the columns
_LONGEST_LINE = 64 << 20  # bytes of a JSON line or a header
_BLOCK = 8 << 20  # bytes that Arrow parses at a time; a longer record is refused


def read_file(path: Path) -> Source:
    """Open an existing file in the format that its ending names; InputError: unknown format, empty, or damaged."""
    reader = READERS.get(suffix(path))
    if reader is None:
        wanted = "a file ending in " + ", ".join(READERS) + ", each also with .gz or .zst"
        raise InputError(f"has the unknown format {suffix(path) or '(no ending)'!r}", wanted, file=path)
    try:
        if path.stat().st_size == 0:
            raise InputError("is empty", "a table with at least one record", file=path)
        return reader(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", "a readable file", file=path) from error


def _open_delimited(path: Path) -> Source:
    """Open a CSV or TSV file: UTF-8 with or without a byte order mark, or else Latin-1."""
    encoding = find_encoding(path)
    delimiter = "\t" if suffix(path) == ".tsv" else ","
    findings: list[Finding] = []
    if encoding.name != "utf-8":
        findings.append(Finding("not UTF-8", 1, "The file was read as Latin-1."))
    if encoding.mixed:
        action = "They were read as Latin-1 like the rest; letters outside ASCII in them are wrong."
        findings.append(Finding("lines in UTF-8 in a file that is not", encoding.mixed, action, encoding.examples))

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        yield from _read_delimited(path, encoding.name, delimiter, columns, rejects)

    names = _read_header(path, encoding.name, delimiter)
    return Source(str(path), sha256(path), names, read, tuple(findings))


def _read_delimited(path: Path, encoding: str, delimiter: str, columns: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Records of a delimited file; those with a wrong number of fields are refused and leave a gap in the numbers."""
    from pyarrow import csv

    ragged: list[Any] = []

    def skip_row(row: Any) -> str:  # noqa: ANN401 - pyarrow.csv.InvalidRow has no types
        ragged.append(row)
        return "skip"

    number, skipped = 2, set[int]()  # below the header
    with Unpacked(path) as stream:
        try:
            batches = csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=csv.ReadOptions(use_threads=False, encoding=encoding, block_size=_BLOCK),
                parse_options=csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip_row
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()),
                    include_columns=columns,
                    strings_can_be_null=False,
                    check_utf8=False,  # seen in `find_encoding`
                ),
            )
            for values in batches:
                skipped.update(row.number for row in ragged)  # those of blocks ahead too
                rows = _number_kept_rows(number, values.num_rows, skipped)
                number = int(rows[-1]) + 1 if len(rows) else number
                _refuse_ragged(path, ragged, rejects)
                yield Batch(str(path), rows, values)
        except (pa.ArrowException, ValueError) as error:
            raise damaged_error(path, error) from error
    _refuse_ragged(path, ragged, rejects)


def _number_kept_rows(first: int, count: int, skipped: set[int]) -> NDArray[np.int64]:
    """Numbers of `count` records from `first` on, without those skipped."""
    numbers = np.arange(first, first + count + len(skipped))
    return numbers[~np.isin(numbers, list(skipped))][:count]


def _refuse_ragged(path: Path, ragged: list[Any], rejects: Rejects) -> None:
    """Refuse rows with a wrong number of fields, and empty their list."""
    for row in ragged:
        fields = f"{row.actual_columns} field" + "s" * (row.actual_columns != 1)
        error = InputError(f"has {fields}", f"{row.expected_columns} as in the header", file=path, row=row.number)
        rejects.refuse(error, row.text)
    ragged.clear()


def _read_header(path: Path, encoding: str, delimiter: str) -> tuple[str, ...]:
    """The names in the first record of a delimited file."""
    with io.TextIOWrapper(
        io.BufferedReader(Unpacked(path)), encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline=""
    ) as stream:
        lines = iter(lambda: stream.readline(PIECE), "")
        try:
            names = next((row for row in text_csv.reader(lines, delimiter=delimiter) if row), [])
        except text_csv.Error as error:
            raise damaged_error(path, error) from error
    if not "".join(names).strip():
        raise InputError("is empty", "a header line and at least one record", file=path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two columns are called {twice[0]!r}", "a name of its own per column", file=path, row=1)
    return tuple(names)


def _open_json_lines(path: Path) -> Source:
    """Open a file with one JSON object a line: the first objects' fields are the columns; a missing field is null."""
    bad = Rejects(SET_ASIDE)  # whether they stop the load is decided when they are read
    first = list(islice(json_objects(path, bad), _LOOKED_AT))
    if not first and bad.rows:
        raise InputError(bad.rows[0].problem, bad.rows[0].expected, file=path, row=bad.rows[0].row)
    if not first:
        raise InputError("is empty", "one JSON object a line", file=path)
    names = tuple(dict.fromkeys(name for _, values in first for name in values))

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for chunk in split_into_batches(json_objects(path, rejects)):
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


def json_objects(path: Path, rejects: Rejects) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank; `rejects` decides over lines that hold no object."""
    for number, line in read_lines(path, _LONGEST_LINE):
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


def _open_parquet(path: Path) -> Source:
    import pyarrow.parquet as pq

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


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _open_delimited,
    ".tsv": _open_delimited,
    ".jsonl": _open_json_lines,
    ".parquet": _open_parquet,
}
