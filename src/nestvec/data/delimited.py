"""Reads delimited text (CSV and TSV) in batches with row numbers.

Arrow parses the file. Its values are then searched for rows that a stray quote has joined.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nestvec.data.dialect import Dialect, find_dialect
from nestvec.data.encodings import find_encoding
from nestvec.data.hidden_rows import RowShape, find_hidden_rows
from nestvec.data.limits import LONGEST, UnpackedLimit
from nestvec.data.source import Batch, Rejects, Source, damaged_error
from nestvec.data.streams import PIECE, Recoded, suffix
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.data.text_form import TextForm

_BLOCK = LONGEST  # bytes that Arrow parses at a time; shorter records are always read, longer ones may be refused
_END = "\ue000\ue001\ue000\ue002"  # appended as a last record; if a quote is not closed, that record is inside a value
_CLOSE = "that quote closed, or doubled if it belongs to the text, or --quoting none"


def open_delimited(path: Path, form: TextForm) -> Source:
    """Open a CSV or TSV file; InputError if it is empty, has an unusable header, or does not fit the user's options."""
    encoding = find_encoding(path, form.encoding)
    dialect = find_dialect(path, encoding.name, "\t" if suffix(path) == ".tsv" else ",", form)
    quotes = dialect.quoted and _holds_quotes(path, encoding.name)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        yield from _Reading(path, dialect, quotes, rejects).read(encoding.name, columns)

    return Source(
        str(path),
        sha256(path),
        dialect.names,
        read,
        (*encoding.findings, *dialect.findings),
        decimal_comma=dialect.delimiter != ",",
        headerless=dialect.headerless,
        limit=UnpackedLimit.of_rows(path),
    )


def _holds_quotes(path: Path, encoding: str) -> bool:
    with Recoded(path, encoding) as stream:
        return any(b'"' in piece for piece in iter(lambda: stream.read(PIECE), b""))


class _Reading:
    """Reads a CSV or TSV file once, from beginning to end.

    Args:
        path: the file.
        dialect: the file's delimiter, quoting and columns.
        quotes: whether quoting is on and the file contains a double quote.
        rejects: raises for bad rows or sets them aside.
    """

    def __init__(self, path: Path, dialect: Dialect, quotes: bool, rejects: Rejects) -> None:
        self._path, self._dialect, self._quotes, self._rejects = path, dialect, quotes, rejects
        self._shape = RowShape(dialect.delimiter, len(dialect.names), dialect.sample)
        self._ragged: list[Any] = []  # rows with a wrong number of fields, until they are refused
        self._skipped: set[int] = set()  # numbers of such rows that come after the last record
        self._next = 2 if dialect.header else 1  # the next record's number

    def read(self, encoding: str, columns: list[str]) -> Iterator[Batch]:
        """Read the records in batches; rows that were set aside leave a gap in the row numbers."""
        tail = "\n" + self._dialect.delimiter.join([_END] * len(self._dialect.names)) if self._quotes else ""
        with Recoded(self._path, encoding, tail.encode()) as stream:
            try:
                for values in self._open(stream, columns):
                    batch = self._check(values)
                    if len(batch.rows):
                        yield Batch(batch.file, batch.rows, batch.values.select(columns))
            except (pa.ArrowException, ValueError) as error:
                self._refuse_ragged()
                raise self._explain(error) from error
        self._refuse_ragged()

    def _open(self, stream: Recoded, columns: list[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Open Arrow's reader; if the file has quotes, it reads all columns, as a stray quote may be in any column."""
        from pyarrow import csv

        dialect = self._dialect
        names = list(dialect.names) if self._quotes else columns
        return csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=csv.ReadOptions(
                use_threads=False, block_size=_BLOCK, column_names=None if dialect.header else dialect.names
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if self._quotes else False,
                newlines_in_values=self._quotes,
                invalid_row_handler=self._skip_row,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=names,
                strings_can_be_null=False,
                check_utf8=False,  # seen in `find_encoding`, or recoded
            ),
        )

    def _skip_row(self, row: Any) -> str:  # noqa: ANN401 - pyarrow.csv.InvalidRow has no types
        self._ragged.append(row)
        return "skip" if len(self._ragged) <= self._rejects.room else "error"  # a block may hold millions of such rows

    def _check(self, values: pa.RecordBatch) -> Batch:
        """Give the records of a block their row numbers, and reject bad records."""
        self._refuse_ragged()  # those of blocks ahead too
        rows = _number_kept_rows(self._next, values.num_rows, self._skipped)
        self._next = int(rows[-1]) + 1 if len(rows) else self._next
        self._skipped = {number for number in self._skipped if number >= self._next}
        return self._refuse_hidden(rows, values) if self._quotes else Batch(str(self._path), rows, values)

    def _refuse_hidden(self, rows: NDArray[np.int64], values: pa.RecordBatch) -> Batch:
        """Reject records in which a stray quote has joined several rows, or is never closed; return the others."""
        good = np.ones(len(rows), dtype=bool)
        if len(rows):
            last = [column[len(rows) - 1].as_py() for column in values.columns]
            good[-1] = not any(_END in field for field in last)
            if not good[-1] and last != [_END] * len(last):
                column = next(name for name, field in zip(self._dialect.names, last, strict=True) if _END in field)
                self._refuse_unclosed(int(rows[-1]), self._dialect.delimiter.join(last), column)
        kept = values.slice(0, int(good.sum()))  # but for the last one all are good so far
        for found in find_hidden_rows(kept, self._shape):
            good[found.index] = False
            problem = f"a quote holds {found.lines} lines together, of which {found.rows} look like rows"
            error = InputError(problem, _CLOSE, file=self._path, row=int(rows[found.index]), column=found.column)
            self._rejects.refuse(error, str(kept.slice(found.index, 1).to_pylist()[0]))
        return Batch(str(self._path), rows[good], values if good.all() else values.filter(pa.array(good)))

    def _refuse_unclosed(self, row: int, text: str, column: str | None = None) -> None:
        """Reject the record with an opening quote that is never closed, so that it holds the rest of the file."""
        text = text[: text.index(_END)].rstrip("\r\n")
        lines = len(text.splitlines())
        problem = f"a quote opens and is never closed: it holds the last {lines} lines of the file together"
        if lines < 2:
            problem = "a quote opens and is never closed"
        error = InputError(problem, _CLOSE, file=self._path, row=row, column=column)
        self._rejects.refuse(error, text)

    def _refuse_ragged(self) -> None:
        """Reject the rows with a wrong number of fields that Arrow has reported so far."""
        ragged, self._ragged = self._ragged, []
        self._skipped.update(row.number for row in ragged)
        for row in ragged:
            if _END in row.text:
                self._refuse_unclosed(row.number, row.text)
                continue
            fields = f"{row.actual_columns} field" + "s" * (row.actual_columns != 1)
            lines = len(row.text.splitlines())
            held = f", as a quote holds {lines} lines together" if lines > 1 else ""
            wanted = f"{row.expected_columns} as in the header"
            if not self._dialect.header:
                wanted = f"{row.expected_columns} as --columns names"
            if not self._dialect.quoted and '"' in row.text:
                wanted += ", or --quoting double if its quotes hold a value together"
            error = InputError(f"has {fields}{held}", wanted, file=self._path, row=row.number)
            self._rejects.refuse(error, row.text)

    def _explain(self, error: Exception) -> InputError:
        """Make the error for a file that Arrow cannot read."""
        if isinstance(error, InputError):
            return error
        if "straddling" not in str(error):
            return damaged_error(self._path, error)
        row = next(number for number in count(self._next) if number not in self._skipped)
        found, wanted = f"is longer than {_BLOCK >> 20} MB", "a record of at most that size"
        if self._quotes:
            found, wanted = f"{found}, perhaps because of a quote that is not closed", _CLOSE
        return InputError(found, wanted, file=self._path, row=row)


def _number_kept_rows(first: int, size: int, skipped: set[int]) -> NDArray[np.int64]:
    """Make the row numbers of `size` records, from `first` on, leaving out the numbers that were skipped."""
    numbers = np.arange(first, first + size + len(skipped))
    return numbers[~np.isin(numbers, list(skipped))][:size]
