"""Expands rows with several documents to rows of a query, a document and a grade; row numbers stay the file's."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.nested import cell_text
from nestvec.data.passages import Passage, list_entries, read_passages
from nestvec.data.shapes import Layout, Part, find_layout
from nestvec.data.source import (
    Batch,
    Cells,
    Finding,
    Rejects,
    Source,
    batch_texts,
    measure_texts,
    read_cells,
    split_into_batches,
)
from nestvec.errors import InputError, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.settings import DataSettings

_SCORES = ("pos_scores", "neg_scores", "positive_scores", "negative_scores")


def read_shape(source: Source, settings: DataSettings) -> Source:
    """Expand a source whose rows hold several documents to rows of a query, a document and a grade.

    Args:
        source: an opened source.
        settings: the columns as given.

    Returns:
        The expanded source; the same source if its rows hold one document each, or if the user named the column of the
        document or the grade.

    Raises:
        InputError: several columns could be the query, or `--positives-only` is given although a column holds documents
            that are not relevant.
    """
    layout = find_layout(source, settings)
    if layout is None:
        return source
    other = next((part for part in layout.parts if part.grade != 1), None)
    if settings.positives_only and other is not None:
        problem = "--positives-only is given, and this column holds documents that are not relevant"
        raise InputError(problem, "--positives-only to be left out", file=source.name, column=other.column)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        yield from _read_rows(source, layout, columns, rejects)

    unlisted = None if any(part.unlisted is None for part in layout.parts) else 0.0
    return replace(
        source,
        columns=tuple(layout.columns),
        read=read,
        findings=(*source.findings, *_describe_layout(source, layout, unlisted)),
        unlisted=unlisted,
        lists=frozenset(),
        cells=None,
    )


def _describe_layout(source: Source, layout: Layout, unlisted: float | None) -> Iterator[Finding]:
    """Make findings on what the columns of documents mean, and which columns are not used."""
    meaning = {1.0: "relevant, grade 1", 0.0: "not relevant, grade 0", None: "documents with grades of their own"}
    parts = "; ".join(f"{part.column}: {meaning[part.grade]}" for part in layout.parts)
    action = f"Made rows of a query and a document; {parts}"
    if unlisted is not None:
        action += "; whatever a query does not list: grade 0"
    yield Finding("columns that hold documents", len(layout.parts), f"{action}.")
    scores = [name for name in source.columns if name in _SCORES]
    if scores:
        action = f"The grades are 1 and 0; {', '.join(scores)} are scores of a model, not judgements."
        yield Finding("scores not used", len(scores), action)


def _read_rows(source: Source, layout: Layout, columns: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Read the expanded rows in batches; all rows of a batch come from the same file."""
    for file, made in groupby(_make_rows(source, layout, rejects), key=itemgetter(0)):
        for chunk in split_into_batches(made, lambda row: measure_texts(row[2])):
            numbers, rows = [number for _, number, _ in chunk], [row for _, _, row in chunk]
            yield Batch(file, np.array(numbers), batch_texts(rows, layout.columns).select(columns))


def _make_rows(source: Source, layout: Layout, rejects: Rejects) -> Iterator[tuple[str, int, list[str | None]]]:
    """Expand all rows; yields file, row number and texts. `rejects` handles rows whose documents are not text."""
    for cells in read_cells(source, layout.read, rejects):
        try:
            made = list(_expand_row(cells, layout))
        except InputError as error:
            rejects.refuse(error, str(dict(zip(layout.read, cells.values, strict=True))))
        else:
            yield from ((cells.file, cells.row, row) for row in made)


def _expand_row(cells: Cells, layout: Layout) -> Iterator[list[str | None]]:
    """Expand a row to one row per document; InputError if it has no document, or a document is not text."""
    values = dict(zip(layout.read, cells.values, strict=True))
    kept = [cell_text(values[name], Location(cells.file, cells.row, name)) for name in layout.kept]
    count = 0
    for part in layout.parts:
        for passage in _read_part(part, layout, cells, values):
            count += 1
            grade = f"{part.grade:g}" if part.grade is not None else passage.grade
            titles = [passage.title] if layout.title else []
            yield [*kept, *titles, passage.text, *([passage.id] if layout.id else []), grade]
    if not count:
        column = layout.parts[0].column
        raise InputError("holds no document", "at least one document", file=cells.file, row=cells.row, column=column)


def _read_part(part: Part, layout: Layout, cells: Cells, values: dict[str, Any]) -> list[Passage]:
    """Read the documents of one column of a row, with grades and ids from the columns beside it."""
    place, cell = Location(cells.file, cells.row, part.column), values[part.column]
    if not part.listed and (cell is None or not str(cell).strip()):
        if part.grade == 0:
            return []
        raise InputError("is empty", "the text of a document", file=place.file, row=place.row, column=place.column)
    passages = list(read_passages(cell, layout.keys, place))
    for field, column in (("grade", part.grades), ("id", part.ids)):
        if column is not None:
            beside = _take_beside(values[column], len(passages), Location(place.file, place.row, column), part)
            passages = [passage._replace(**{field: value}) for passage, value in zip(passages, beside, strict=True)]
    return passages


def _take_beside(cell: object, count: int, place: Location, part: Part) -> list[str]:
    """Read the grades, or ids, that belong to a column's documents; InputError unless each document has one."""
    values = [cell_text(value, place) for value in list_entries(cell)]
    if len(values) != count:
        problem = f"holds {len(values)} values"
        wanted = f"{count}, one for each document of {part.column}"
        raise InputError(problem, wanted, file=place.file, row=place.row, column=place.column)
    for index, value in enumerate(values):
        if value is None or not value.strip():
            column = f"{place.column}[{index}]"
            raise InputError("is empty", "a value", file=place.file, row=place.row, column=column)
    return [value or "" for value in values]
