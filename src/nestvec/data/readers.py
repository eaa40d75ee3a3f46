"""One reader per file format; that of delimited text stands here. `load_records` decides what the values mean."""

from __future__ import annotations

import csv as text_csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nestvec.data.json_lines import open_json_lines
from nestvec.data.parquet_file import open_parquet
from nestvec.data.source import Batch, Finding, Rejects, Source, damaged_error
from nestvec.data.streams import PIECE, Unpacked, find_encoding, suffix
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

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


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _open_delimited,
    ".tsv": _open_delimited,
    ".jsonl": open_json_lines,
    ".parquet": open_parquet,
}
