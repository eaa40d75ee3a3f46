"""What a source of judgements is: a table that is read in batches with row numbers.

Readers hand every problem of a row to `Rejects`, which either raises it at once or sets the row aside.
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
_CONTENT = 2000  # letters of a bad row that are kept


@dataclass(frozen=True)
class Finding:
    """Something in the data that its owner should know.

    Attributes:
        name: what was found.
        count: how many records, or documents, it concerns.
        action: what was done about it, a sentence.
        examples: the first few, in words.
        warning: whether it is likely that the data was read wrongly.
    """

    name: str
    count: int
    action: str
    examples: tuple[str, ...] = ()
    warning: bool = False


@dataclass(frozen=True)
class Rejected:
    """A row that could not be used.

    Attributes:
        file: where it stands.
        row: its number, as `errors.Location` counts.
        column: the column at fault; empty where it is the whole row.
        problem: what was found.
        expected: what would have been right.
        content: the row's text as far as it could be read.
    """

    file: str
    row: int
    column: str
    problem: str
    expected: str
    content: str


@dataclass
class Rejects:
    """Decides over bad rows: `stop` raises the first, `set-aside` keeps them in `rows`.

    Attributes:
        policy: `stop` or `set-aside`.
        rows: what was set aside so far.

    Raises:
        InputError: there is no such policy.
    """

    policy: str = STOP
    rows: list[Rejected] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise InputError for a policy that is neither `stop` nor `set-aside`."""
        if self.policy not in (STOP, SET_ASIDE):
            raise InputError(f"--on-bad-row is {self.policy!r}", f"{STOP} or {SET_ASIDE}")

    @property
    def room(self) -> int:
        """How many more rows can be set aside."""
        return 0 if self.policy == STOP else MOST_SET_ASIDE - len(self.rows)

    def refuse(self, error: InputError, content: str = "") -> None:
        """Take in a bad row with the start of its text.

        Args:
            error: names file and row.
            content: the row's text as far as it could be read.

        Raises:
            InputError: the policy is to stop, or more rows are bad than are set aside.
        """
        if self.policy == STOP:
            raise error
        if self.room < 1:
            problem = f"more than {MOST_SET_ASIDE:,} rows are bad; this one {error.problem}"
            raise InputError(problem, error.expected, file=error.location.file, row=error.location.row)
        file, row, column = error.location.file or "", error.location.row or 0, error.location.column or ""
        self.rows.append(Rejected(file, row, column, error.problem, error.expected, content[:_CONTENT]))


def count_rows(bad: int) -> str:
    """A number of bad rows in words."""
    return f"{bad:,} bad {'row was' if bad == 1 else 'rows were'}"


@dataclass(frozen=True)
class Batch:
    """Some rows of a table.

    Attributes:
        file: where they stand.
        rows: (n,) their numbers, as `errors.Location` counts.
        values: n rows of the columns asked for.
    """

    file: str
    rows: NDArray[np.int64]
    values: pa.RecordBatch


class Cells(NamedTuple):
    """The values of a row as they are: texts, numbers, lists, or what JSON calls objects.

    Attributes:
        file: where the row stands.
        row: its number, as `errors.Location` counts.
        values: a value for each of the columns asked for.
    """

    file: str
    row: int
    values: list[Any]


@dataclass(frozen=True)
class Source:
    """A table that can be read.

    Attributes:
        name: as the user gave it.
        sha256: of the bytes of its files; for the sample, of what it generated.
        columns: names in the table's order.
        read: called with the columns wanted and the decider over bad rows, gives the records in batches.
        findings: what was found while opening.
        documents: gives (id, text) batches of documents that may have no judgement; None where there are no others.
        synthetic: whether the data is the built-in sample.
        revision: the hub's commit that was read, if it is from there.
        unlisted: the grade of whatever is not listed: 0 where only some documents are listed for a query and the rest
            counts as not relevant (qrels, pairs); None where the table lists low grades itself.
        decimal_comma: whether numbers may be written as 2,5: a delimited file whose delimiter is no comma.
        headerless: whether the first line of a delimited file, taken as its header, looks like a record.
        lists: columns that hold lists or maps, which `read` makes text of.
        cells: as `read`, but gives rows as they are; None where all values are text.
        limit: of bytes that all rows may take; None where no file is small and its rows large.
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
    """The rows of a source in batches; InputError where they take far more than its files let expect."""
    from nestvec.data.nested import measure_values  # with pyarrow, which `--help` does without

    taken = 0
    for batch in source.read(columns, rejects):
        taken += sum(int(measure_values(column).sum()) for column in batch.values.columns)
        if source.limit is not None:
            source.limit.check(taken)
        yield batch


def read_cells(source: Source, columns: list[str], rejects: Rejects) -> Iterator[Cells]:
    """The rows of a source one by one, as they are."""
    if source.cells is not None:
        yield from source.cells(columns, rejects)
        return
    from nestvec.data.nested import list_values  # with pyarrow, which `--help` does without

    for batch in source.read(columns, rejects):
        values = zip(*(list_values(batch.values.column(column)) for column in columns), strict=True)
        for row, cells in zip(batch.rows.tolist(), values, strict=True):
            yield Cells(batch.file, row, list(cells))


def join_limits(sources: Sequence[Source]) -> UnpackedLimit:
    """The limit of a table that is made of several."""
    return UnpackedLimit.of_rows(*(file for source in sources if source.limit for file in source.limit.files))


def number_rows(file: str, batches: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
    """Number the rows of a file's table from which no row is left out."""
    first_row = 1
    for values in batches:
        yield Batch(file, np.arange(first_row, first_row + values.num_rows), values)
        first_row += values.num_rows


def batch_texts(rows: Iterable[Sequence[str | None]], columns: Sequence[str]) -> pa.RecordBatch:
    """Rows of one text per column as a batch; there must be a row."""
    import pyarrow as pa  # `--help` does without

    arrays = []
    for texts in zip(*rows, strict=True):  # each distinct one once: many rows may have the same long text
        known = dict[str, int]()
        numbers = [None if text is None else known.setdefault(text, len(known)) for text in texts]
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(known), pa.string())))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def split_into_batches(entries: Iterable[T], measure: Callable[[T], int]) -> Iterator[list[T]]:
    """Split entries into lists of `BATCH`, fewer where these measure `BATCH_BYTES`; the last one of what is left."""
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
    """The letters of a row of texts."""
    return sum(len(text) for text in texts if text)


def damaged_error(file: object, error: Exception) -> InputError:
    """The error to raise for a file that a library cannot read and raised `error` for."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"cannot be read ({lines[0][:200]})", "an undamaged file of this format", file=file)
