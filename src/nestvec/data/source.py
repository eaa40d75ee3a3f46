"""A source of judgements: a table that is read in batches with row numbers.

Readers pass every bad row to `Rejects`, which either raises its error at once or sets the row aside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from nestvec.data.limits import BATCH, BATCH_BYTES, MOST_SET_ASIDE, UnpackedLimit
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

T = TypeVar("T")

STOP, SET_ASIDE = "stop", "set-aside"
_CONTENT = 2000  # characters of a bad row that are kept


@dataclass(frozen=True)
class Finding:
    """Something in the data that the user should know.

    Attributes:
        name: what was found.
        count: the number of records, documents or other items concerned.
        action: what was done, in a sentence.
        examples: the first few cases, as texts.
        warning: whether the data was probably read wrongly.
    """

    name: str
    count: int
    action: str
    examples: tuple[str, ...] = ()
    warning: bool = False


@dataclass(frozen=True)
class Rejected:
    """A bad row that was set aside.

    Attributes:
        file: the row's file.
        row: the row's number, as `errors.Location` counts.
        column: the column at fault; empty if the whole row is.
        problem: what was found.
        expected: what would have been right.
        content: the row's text, as far as it could be read.
    """

    file: str
    row: int
    column: str
    problem: str
    expected: str
    content: str


@dataclass
class Rejects:
    """Handles bad rows: `stop` raises the first one's error, `set-aside` collects them in `rows`.

    Attributes:
        policy: `stop` or `set-aside`.
        rows: the rows that were set aside so far.

    Raises:
        InputError: the policy is neither of the two.
    """

    policy: str = STOP
    rows: list[Rejected] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise InputError for a policy that is neither `stop` nor `set-aside`."""
        if self.policy not in (STOP, SET_ASIDE):
            raise InputError(f"--on-bad-row is {self.policy!r}", f"{STOP} or {SET_ASIDE}")

    @property
    def room(self) -> int:
        """How many more bad rows can be set aside before reading stops."""
        return 0 if self.policy == STOP else MOST_SET_ASIDE - len(self.rows)

    def refuse(self, error: InputError, content: str = "") -> None:
        """Raise a bad row's error, or set the row aside with the start of its text.

        Args:
            error: the row's error, with file and row.
            content: the row's text, as far as it could be read.

        Raises:
            InputError: the policy is `stop`, or `MOST_SET_ASIDE` rows were set aside already.
        """
        if self.policy == STOP:
            raise error
        if self.room < 1:
            problem = f"more than {MOST_SET_ASIDE:,} rows are bad; this one {error.problem}"
            raise InputError(problem, error.expected, file=error.location.file, row=error.location.row)
        file, row, column = error.location.file or "", error.location.row or 0, error.location.column or ""
        self.rows.append(Rejected(file, row, column, error.problem, error.expected, content[:_CONTENT]))


def count_rows(bad: int) -> str:
    """Write how many bad rows there are, with a verb: `1 bad row was`, `2 bad rows were`."""
    return f"{bad:,} bad {'row was' if bad == 1 else 'rows were'}"


@dataclass(frozen=True)
class Batch:
    """A batch of rows of a table.

    Attributes:
        file: the rows' file.
        rows: (n,) the rows' numbers, as `errors.Location` counts.
        values: n rows of the requested columns.
    """

    file: str
    rows: NDArray[np.int64]
    values: pa.RecordBatch


class Cells(NamedTuple):
    """The unconverted values of a row: texts, numbers, lists or dictionaries.

    Attributes:
        file: the row's file.
        row: the row's number, as `errors.Location` counts.
        values: the value of each requested column.
    """

    file: str
    row: int
    values: list[Any]


@dataclass(frozen=True)
class Source:
    """A table that was opened and can be read.

    Attributes:
        name: the table's name as the user gave it.
        sha256: the hash of its files' bytes; for the sample, of the generated values; for the hub, the commit.
        columns: the columns' names, in the table's order.
        read: takes the columns and a `Rejects`; returns the records in batches.
        findings: findings from opening the table.
        documents: returns (id, text) batches of a catalogue that may include unjudged documents; None without one.
        synthetic: whether the data is the built-in sample.
        revision: the commit of a data set from the hub; None for other sources.
        unlisted: the grade of documents that are not listed for a query: 0 in qrels and pairs; None where the table
            lists low grades itself.
        decimal_comma: whether numbers may be written as 2,5: in delimited files whose delimiter is not a comma.
        headerless: whether the first line of a delimited file, read as the header, looks like a record.
        lists: columns that hold lists or maps, which `read` converts to text.
        cells: like `read`, but returns unconverted rows; None where all values are text.
        limit: the limit of bytes that all rows may take; None without one.
    """

    name: str
    sha256: str
    columns: tuple[str, ...]
    read: Callable[[list[str], Rejects], Iterator[Batch]]
    findings: tuple[Finding, ...] = ()
    documents: Callable[[], Iterator[pa.RecordBatch]] | None = None
    synthetic: bool = False
    revision: str | None = None
    unlisted: float | None = None
    decimal_comma: bool = False
    headerless: bool = False
    lists: frozenset[str] = frozenset()
    cells: Callable[[list[str], Rejects], Iterator[Cells]] | None = None
    limit: UnpackedLimit | None = None


def read_rows(source: Source, columns: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Read a source in batches; InputError if its rows take more bytes than `source.limit` allows."""
    from nestvec.data.nested import measure_values  # with pyarrow, which `--help` does without

    taken = 0
    for batch in source.read(columns, rejects):
        taken += sum(int(measure_values(column).sum()) for column in batch.values.columns)
        if source.limit is not None:
            source.limit.check(taken)
        yield batch


def read_cells(source: Source, columns: list[str], rejects: Rejects) -> Iterator[Cells]:
    """Read a source row by row with unconverted values."""
    if source.cells is not None:
        yield from source.cells(columns, rejects)
        return
    from nestvec.data.nested import list_values  # with pyarrow, which `--help` does without

    for batch in source.read(columns, rejects):
        values = zip(*(list_values(batch.values.column(column)) for column in columns), strict=True)
        for row, cells in zip(batch.rows.tolist(), values, strict=True):
            yield Cells(batch.file, row, list(cells))


def join_limits(sources: Sequence[Source]) -> UnpackedLimit:
    """Make the size limit of a table that is joined from several tables."""
    return UnpackedLimit.of_rows(*(file for source in sources if source.limit for file in source.limit.files))


def number_rows(file: str, batches: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
    """Turn record batches into `Batch`es, numbering all rows from 1."""
    first_row = 1
    for values in batches:
        yield Batch(file, np.arange(first_row, first_row + values.num_rows), values)
        first_row += values.num_rows


def batch_texts(rows: Iterable[Sequence[str | None]], columns: Sequence[str]) -> pa.RecordBatch:
    """Convert rows of one text per column to a record batch; at least one row is needed."""
    import pyarrow as pa  # `--help` does without

    arrays = []
    for texts in zip(*rows, strict=True):  # each distinct one once: many rows may have the same long text
        known = dict[str, int]()
        numbers = [None if text is None else known.setdefault(text, len(known)) for text in texts]
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(known), pa.string())))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def split_into_batches(entries: Iterable[T], measure: Callable[[T], int]) -> Iterator[list[T]]:
    """Split entries into lists of `BATCH` entries, or fewer once a list measures `BATCH_BYTES`."""
    chunk, size = list[T](), 0
    for entry in entries:
        chunk.append(entry)
        size += measure(entry)
        if len(chunk) == BATCH or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def measure_texts(texts: Sequence[str | None]) -> int:
    """Count the characters of a row of texts."""
    return sum(len(text) for text in texts if text)


def damaged_error(file: object, error: Exception) -> InputError:
    """Make the error for a file that a library cannot read, from the library's own `error`."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"cannot be read ({lines[0][:200]})", "an undamaged file of this format", file=file)
