"""Tables and TREC files of a run: read back; whatever is missing or damaged is named with its file."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

EXPECTED = "a file of a finished run"
_JUDGEMENT, _RANKED = 4, 6  # fields of a line of TREC judgements, and of a TREC run


def read_table(path: Path, columns: Sequence[str], filters: list[tuple[str, str, object]] | None = None) -> pa.Table:
    """Read columns of a Parquet file.

    Args:
        path: the file.
        columns: their names.
        filters: conditions on rows in pyarrow's form; row groups that cannot fulfil them stay unread. None takes all.

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
        return pq.read_table(path, columns=list(columns), filters=filters, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read a TREC judgements file.

    Args:
        path: the file.

    Returns:
        Query id to document id to gain.

    Raises:
        InputError: the file is missing or damaged.
    """
    gains: dict[str, dict[str, int]] = defaultdict(dict)
    for query, _, document, gain in _read_fields(path, _JUDGEMENT):
        gains[query][document] = int(gain)
    return dict(gains)


def read_ranking(path: Path, queries: Collection[str] | None = None) -> dict[str, list[str]]:
    """Read a TREC run file.

    Args:
        path: the file.
        queries: ids of the queries wanted; None takes all.

    Returns:
        Query id to document ids, best first.

    Raises:
        InputError: the file is missing or damaged.
    """
    ranks: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for query, _, document, rank, *_ in _read_fields(path, _RANKED):
        if queries is None or query in queries:
            ranks[query].append((int(rank), document))
    return {query: [document for _, document in sorted(ranked)] for query, ranked in ranks.items()}


def _read_fields(path: Path, count: int) -> Iterator[list[str]]:
    """Each line of a TREC file as its `count` fields, the fourth of which is a whole number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    for row, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) != count or not fields[3].isdecimal():
            raise InputError(f"is damaged: {line!r}", f"{count} fields, the fourth a whole number", file=path, row=row)
        yield fields


def unreadable(path: Path, error: Exception) -> InputError:
    """The same message for whatever stops a file from being read."""
    why = getattr(error, "strerror", None) or str(error).splitlines()[0]
    problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({why})"
    return InputError(problem, EXPECTED, file=path)
