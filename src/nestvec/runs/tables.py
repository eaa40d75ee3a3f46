"""Tables and TREC files of a finished run, read back; whatever is missing or damaged is named with its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

EXPECTED = "a file of a finished run"


def read_table(path: Path, columns: Sequence[str], wanted: list[tuple[str, str, object]] | None = None) -> pa.Table:
    """Columns of the rows wanted of a Parquet file.

    Args:
        path: the file.
        columns: their names.
        wanted: what rows must fulfil, as pyarrow's filters, which leave unread what cannot hold such; None takes all.

    Returns:
        The table.

    Raises:
        InputError: the file is missing or damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        missing = sorted(set(columns) - set(pq.read_schema(path).names))
        if missing:
            raise InputError(f"is damaged: no column {missing[0]!r}", EXPECTED, file=path)
        return pq.read_table(path, columns=list(columns), filters=wanted, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def read_fields(path: Path, count: int) -> Iterator[list[str]]:
    """The lines of a TREC file, run or judgements.

    Args:
        path: the file.
        count: of fields in a line.

    Yields:
        A line's fields; the fourth is the gain or the rank.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    for row, line in enumerate(lines, start=1):
        found = line.split()
        if len(found) != count or not found[3].isdecimal():
            raise InputError(f"is damaged: {line!r}", f"{count} fields, the fourth a whole number", file=path, row=row)
        yield found


def unreadable(path: Path, error: Exception) -> InputError:
    """The same message for whatever stops a file from being read."""
    why = getattr(error, "strerror", None) or str(error).splitlines()[0]
    problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({why})"
    return InputError(problem, EXPECTED, file=path)
