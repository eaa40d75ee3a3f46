"""Open a table of judgements wherever it is: one reader per format, all giving Arrow batches with row numbers.

Files are read once, in batches. CSV and TSV values stay text here; what they mean is decided in `data.records`.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

SAMPLE = "sample"
_BATCH = 50_000  # rows
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True)
class Source:
    """A table that can be read.

    Attributes:
        name: as the user gave it.
        sha256: of the file's bytes; for the sample, of what it generated.
        columns: names in the table's order.
        first_row: number of the first record as a person counts: 2 below a header line, else 1.
        batches: called with the columns wanted, gives the records as Arrow batches.
        notes: what was found while opening, in words: (name, action) pairs.
        synthetic: whether the data is the built-in sample.
    """

    name: str
    sha256: str
    columns: tuple[str, ...]
    first_row: int
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    notes: tuple[tuple[str, str], ...] = ()
    synthetic: bool = False


def open_source(source: str) -> Source:
    """Find out what a source is and get ready to read it.

    Args:
        source: `sample`, or the path of a CSV, TSV, JSONL or Parquet file.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: there is no such file, its format is unknown, or it is empty or damaged.
    """
    if source == SAMPLE:
        return _sample()
    path = Path(source)
    reader = _READERS.get(path.suffix.lower())
    if not path.exists():
        raise InputError("there is no such file", "`sample` or a CSV, TSV, JSONL or Parquet file", file=source)
    if reader is None or not path.is_file():
        found = "is not a file" if not path.is_file() else f"has the unknown format {path.suffix or '(no ending)'!r}"
        raise InputError(found, "a file ending in " + ", ".join(_READERS), file=source)
    try:
        if path.stat().st_size == 0:
            raise InputError("is empty", "a table with at least one record", file=source)
        return reader(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", "a readable file", file=source) from error


def _sample() -> Source:
    """The built-in catalogue."""
    from nestvec.data.sample import make_sample

    table = make_sample()
    digest = hashlib.sha256()
    for column in table.columns:
        digest.update(json.dumps(column.to_pylist()).encode())

    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(columns).to_batches(max_chunksize=_BATCH)

    return Source(SAMPLE, digest.hexdigest(), tuple(table.column_names), 1, batches, synthetic=True)


def _delimited(path: Path) -> Source:
    """A CSV or TSV file, in UTF-8 with or without its mark, or else in Latin-1."""
    from pyarrow import csv

    digest, encoding = _encoding(path)
    parse: dict[str, Any] = {"delimiter": "\t" if path.suffix.lower() == ".tsv" else ",", "newlines_in_values": True}

    def opened(columns: list[str] | None, ragged: list[Any]) -> csv.CSVStreamingReader:
        def note(row: csv.InvalidRow) -> str:
            ragged.append(row)
            return "skip"

        return csv.open_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False, encoding=encoding, block_size=4 * _PIECE),
            parse_options=csv.ParseOptions(**parse, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.string() for name in columns or []},
                include_columns=columns,
                strings_can_be_null=False,
                check_utf8=False,  # seen in `_encoding`
            ),
        )

    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        ragged: list[Any] = []
        try:
            for batch in opened(columns, ragged):
                _refuse_ragged(path, ragged)
                yield batch
        except pa.ArrowInvalid as error:
            raise _damaged(path, error) from error
        _refuse_ragged(path, ragged)

    names = _header(path, encoding, parse["delimiter"])
    notes = () if encoding != "latin-1" else (("not UTF-8", "The file was read as Latin-1."),)
    return Source(str(path), digest, names, 2, batches, notes)


def _header(path: Path, encoding: str, delimiter: str) -> tuple[str, ...]:
    """The names in the first record of a delimited file."""
    import csv

    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as stream:
        first = stream.readline(_PIECE)
        while first and not first.strip():
            first = stream.readline(_PIECE)
    try:
        names = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error as error:
        raise _damaged(path, error) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise InputError("is empty", "a header line and at least one record", file=path)
    if twice:
        raise InputError(f"two columns are called {twice[0]!r}", "a name of its own per column", file=path, row=1)
    return tuple(names)


def _refuse_ragged(path: Path, ragged: list[Any]) -> None:
    """Raise for the first row whose number of fields is off."""
    if ragged:
        row = ragged[0]
        fields = f"{row.actual_columns} field" + "s" * (row.actual_columns != 1)
        raise InputError(f"has {fields}", f"{row.expected_columns} as in the header", file=path, row=row.number)


def _encoding(path: Path) -> tuple[str, str]:
    """The file's SHA-256, and `utf-8` if all of it is, else `latin-1`; one pass in pieces."""
    digest, decoder, encoding = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), "utf-8"
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            if encoding == "utf-8":
                encoding = _still_utf8(decoder, piece, final=False)
    if encoding == "utf-8":
        encoding = _still_utf8(decoder, b"", final=True)
    return digest.hexdigest(), encoding


def _still_utf8(decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool) -> str:
    """`utf-8` if the piece goes on in it, else `latin-1`."""
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _json_lines(path: Path) -> Source:
    """A file with one JSON object a line; a field that a line lacks is null."""
    digest = sha256(path)

    first = next(_objects(path), None)
    if first is None:
        raise InputError("is empty", "one JSON object a line", file=path)

    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        for chunk in _chunks(_objects(path)):
            arrays = [
                pa.array([_as_text(path, number, column, values.get(column)) for number, values in chunk], pa.string())
                for column in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=columns)

    return Source(str(path), digest, tuple(first[1]), 1, batches)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, _parsed(path, number, line)


def _chunks(entries: Iterator[T]) -> Iterator[list[T]]:
    """The entries in lists of a batch each."""
    while chunk := list(islice(entries, _BATCH)):
        yield chunk


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line of JSON as an object."""
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", "one JSON object a line", file=path, row=number) from error
    if not isinstance(value, dict):
        raise InputError(f"is {_shown(value)}", "one JSON object a line", file=path, row=number)
    return value


def _as_text(path: Path, number: int, column: str, value: object) -> str | None:
    """A JSON value as the text that a CSV would hold; lone surrogates, which no file can hold, are refused."""
    if value is None or isinstance(value, str):
        if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError("holds half a surrogate pair", "text", file=path, row=number, column=column)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    raise InputError(f"is {_shown(value)}", "text or a number", file=path, row=number, column=column)


def _shown(value: object) -> str:
    """A value in a message, cut to a length that a person reads."""
    text = json.dumps(value, ensure_ascii=True) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _parquet(path: Path) -> Source:
    """A Parquet file."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if file.metadata.num_rows == 0:
        raise InputError("is empty", "a table with at least one record", file=path)

    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from file.iter_batches(batch_size=_BATCH, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error

    return Source(str(path), sha256(path), tuple(file.schema_arrow.names), 1, batches)


def _damaged(path: Path, error: Exception) -> InputError:
    """What to say when a library cannot make sense of a file."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f"cannot be read ({reason[:200]})", "an undamaged file of its kind", file=path)


_READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
