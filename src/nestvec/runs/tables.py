"""Writes and reads the tables and TREC files of a run; errors name the file that is missing or damaged."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.files import read_text, require_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from nestvec.point import Point

EXPECTED = "a file of a finished run"
Names = tuple[dict[str, str], dict[str, str]]  # for queries and documents: ids by their form in TREC files
NO_NAMES: Names = ({}, {})
_UNPACKED, _RATIO = 2**30, 1000  # texts of a table may take 1 GiB, or 1000 times the size of the file
_MAY_BE_NULL = ("dimension", "precision")  # empty for systems without vectors
_JUDGEMENT, _RANKED = 4, 6  # fields of a line of TREC judgements, and of a TREC run
_DIGITS = 18  # most digits of a gain or a rank
_SHOWN = 80  # most letters of a damaged line that a message quotes
_HAIR = np.float32(1e-12)  # least step between tied scores; near 0 the steps of float32 are too fine for some readers


def read_table(path: Path, columns: Sequence[str], filters: list[tuple[str, str, object]] | None = None) -> pa.Table:
    """Read columns of a Parquet file.

    Args:
        path: the file.
        columns: names of the columns.
        filters: conditions on rows in pyarrow's form, such as `("split", "==", "test")`; the values after `in` may
            include None, for an empty cell. Without filters, all rows are read.

    Returns:
        The table.

    Raises:
        InputError: the file is missing or damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    require_file(path, EXPECTED)
    try:
        schema = pq.read_schema(path)
        coded = [name for name in columns if _check_column(path, schema, name) == pa.string()]
        wanted = filters and [(name, sign, _type_values(name, sign, value)) for name, sign, value in filters]
        table = pq.read_table(path, columns=list(columns), filters=wanted, partitioning=None, read_dictionary=coded)
        _refuse_bomb(path, table)
        table = table.cast(pa.schema([(name, _kind_of(name)) for name in table.column_names]))
        table.validate(full=True)
    except (OSError, MemoryError, ValueError, pa.ArrowException) as error:
        why = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot be read ({why})", EXPECTED, file=path) from error
    for name in columns:
        if pa.types.is_floating(table[name].type) and not pc.all(pc.is_finite(table[name]), min_count=0).as_py():
            raise InputError("is damaged: it holds NaN or infinity", EXPECTED, file=path, column=name)
    empty = next((name for name in columns if name not in _MAY_BE_NULL and table[name].null_count), None)
    if empty:
        raise InputError("is damaged: it has empty cells", EXPECTED, file=path, column=empty)
    return table


def has_column(path: Path, name: str) -> bool:
    """Whether a Parquet file has a column; False if the file cannot be read.

    Raises InputError if the file is missing, or is a pipe or device, from which reading could wait forever.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_file(path, EXPECTED)
    try:
        return name in pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        return False


def _kind_of(name: str) -> pa.DataType:
    """Return the type that a column of a run's Parquet tables must have."""
    import pyarrow as pa

    kinds = {"dimension": pa.int32(), "axes": pa.bool_(), "grade": pa.float64(), "value": pa.float64()}
    return kinds.get(name, pa.string())


def _type_values(name: str, sign: str, value: Any) -> Any:  # noqa: ANN401 - pyarrow's
    """Prepare a filter's value for pyarrow; the values of an `in` get the column's type, as the list may be empty."""
    import pyarrow as pa

    return pa.array(value, _kind_of(name)) if sign == "in" else value


def _check_column(path: Path, schema: pa.Schema, name: str) -> pa.DataType:
    """Return a column's type; InputError if the column is missing, occurs twice, or has another type than expected."""
    places, wanted = schema.get_all_field_indices(name), _kind_of(name)
    if len(places) != 1:
        problem = f"no column {name!r}" if not places else f"several columns {name!r}"
        raise InputError(f"is damaged: {problem}", EXPECTED, file=path)
    if (found := schema.field(places[0]).type) != wanted:
        raise InputError(f"is damaged: it holds {found}", str(wanted), file=path, column=name)
    return wanted


def _refuse_bomb(path: Path, table: pa.Table) -> None:
    """Raise InputError if a small file would unpack to very large texts, which Parquet stores once for many rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            size += pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
    if size > max(_UNPACKED, _RATIO * path.stat().st_size):
        raise InputError(f"unpacks to {size >> 20:,} MB of texts", EXPECTED, file=path)


def write_per_query(
    path: Path,
    values: Mapping[Point, Mapping[str, NDArray[np.float64]]],
    queries: Sequence[str],
    splits: Sequence[str],
) -> None:
    """Write each query's metrics for every measured system and vector format as Parquet, one row group per format.

    Args:
        path: file to write.
        values: the (q,) values of each metric, by system and vector format; all have the same metrics.
        queries: q query ids.
        splits: the split of each of the q queries.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("split", "system", "dimension", "precision", "query_id", "metric", "value", "axes")
    schema = pa.schema({name: _kind_of(name) for name in names})
    split, query = pa.array(splits, pa.string()), pa.array(queries, pa.string())
    with pq.ParquetWriter(path, schema) as writer:
        for point, metrics in values.items():  # one row group per point, so that readers can skip other points
            count, rows = len(metrics), len(metrics) * len(queries)
            constant = {
                name: pa.scalar(getattr(point, name), schema.field(name).type) for name in (*names[1:4], "axes")
            }
            columns = {name: pa.repeat(value, rows) for name, value in constant.items()}
            columns["split"], columns["query_id"] = (pa.concat_arrays([cells] * count) for cells in (split, query))
            columns["metric"] = pa.concat_arrays([pa.repeat(name, len(queries)) for name in metrics])
            columns["value"] = pa.array(np.concatenate(list(metrics.values())), pa.float64())
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema), rows)


def read_qrels(path: Path, names: Names = NO_NAMES) -> dict[str, dict[str, int]]:
    """Read a TREC judgements file.

    Args:
        path: the file.
        names: the original ids of queries, and of documents, by the encoded ids in the file.

    Returns:
        Gains by query id and document id.

    Raises:
        InputError: the file is missing or damaged.
    """
    gains: dict[str, dict[str, int]] = defaultdict(dict)
    queries, documents = names
    for query, _, document, gain in _read_fields(path, _JUDGEMENT):
        gains[queries.get(query, query)][documents.get(document, document)] = int(gain)
    return dict(gains)


def read_ranking(
    path: Path, queries: Collection[str] | None = None, names: Names = NO_NAMES
) -> dict[str, dict[str, float]]:
    """Read a TREC run file.

    Args:
        path: the file.
        queries: ids of the queries to read; None reads all.
        names: the original ids of queries, and of documents, by the encoded ids in the file.

    Returns:
        Document ids with their scores, best first, by query id.

    Raises:
        InputError: the file is missing or damaged.
    """
    ranks: dict[str, list[tuple[int, str, float]]] = defaultdict(list)
    for row, (form, _, document, rank, score, _) in enumerate(_read_fields(path, _RANKED), start=1):
        query = names[0].get(form, form)
        if queries is None or query in queries:
            ranks[query].append((int(rank), names[1].get(document, document), _parse_score(score, path, row)))
    return {query: {document: score for _, document, score in sorted(ranked)} for query, ranked in ranks.items()}


def _parse_score(score: str, path: Path, row: int) -> float:
    """Parse the score in a line of a TREC run; InputError if the score is not a number."""
    try:
        return float(score)
    except ValueError as error:
        raise InputError(f"is damaged: the score is {score!r}", "a number", file=path, row=row) from error


def write_ranking(
    path: Path, name: str, queries: Iterable[str], documents: Iterable[Sequence[str]], scores: NDArray[np.float32]
) -> None:
    """Write the rankings of q queries as a TREC run file.

    Scores keep all bits of a float32, except ties. Tools break ties in different ways, so each tied document is written
    with a slightly lower score than the document ranked before it; then every tool reads the same order.

    Args:
        path: file to write.
        name: name of the run, for the last field of each line.
        queries: q query ids.
        documents: ids of the k documents of each query, best first.
        scores: (q, k) float32 scores of these documents.
    """
    depth, ending = scores.shape[1], name.replace("%", "%%")
    lines = "".join(
        f"%s Q0 %s {rank} %.9g {ending}\n" for rank in range(1, depth + 1)
    )  # one template for all lines of a query
    tied = np.any(scores[:, 1:] >= scores[:, :-1], axis=1)
    fields: list[object] = [None] * (3 * depth)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for query, ranked, row, ties in zip(queries, documents, scores.tolist(), tied, strict=True):
            fields[::3], fields[1::3], fields[2::3] = [query] * depth, ranked, _lower_ties(row) if ties else row
            stream.write(lines % tuple(fields))


def _lower_ties(written: list[float]) -> list[float]:
    """Lower each tied score below the score before it, in place, by the smallest step of a float32."""
    for rank in range(1, len(written)):
        if written[rank] >= written[rank - 1]:
            above = np.float32(written[rank - 1])
            written[rank] = float(above - max(np.spacing(abs(above)), _HAIR))
    return written


def _read_fields(path: Path, count: int) -> Iterator[list[str]]:
    """Read the `count` fields of each line of a TREC file; InputError unless the fourth is a whole number."""
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split()
        if len(fields) != count or not fields[3].isdecimal() or len(fields[3]) > _DIGITS:
            problem = f"is damaged: the line is {line[:_SHOWN]!r}"
            raise InputError(
                problem,
                f"{count} fields separated by white space, the fourth a whole number of at most {_DIGITS} digits",
                file=path,
                row=row,
            )
        yield fields
