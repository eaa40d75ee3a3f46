"""Finds columns of pairs, triples and lists: rows with several documents, or columns that say relevant or not.

Known are `query, positive, negative` (sentence-transformers), `query, pos, neg` (FlagEmbedding), `query,
positive_passages, negative_passages` (Tevatron), `passages.passage_text, passages.is_selected` (MS MARCO) and lists
with a grade for each document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE, SPLIT
from nestvec.data.columns import as_template, template_columns
from nestvec.data.find_columns import find_query, find_query_id, well_known
from nestvec.data.limits import BATCH_BYTES
from nestvec.data.passages import Keys, find_keys, list_entries
from nestvec.data.source import SET_ASIDE, Cells, Rejects, Source, read_cells

if TYPE_CHECKING:
    from nestvec.settings import DataSettings

_LOOKED_AT = 100  # first rows, from which the columns' contents are found
_ENDINGS = r"(_(passages|docs|documents|texts|products|ctxs))?(_?\d+)?"
_NUMBER = re.compile(r"\s*([-+]?[\d.,]+|true|false|yes|no)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Shape:
    """A known kind of document column, with the grade of its documents.

    Attributes:
        name: a pattern that the column's whole name must match.
        grade: the grade of every document in the column; None if each document has its own.
        beside: names of columns that may list these grades; without such a column, each document has a field for it.
        unlisted: the grade of documents that are not listed; None if they are not judged.
    """

    name: re.Pattern[str]
    grade: float | None
    beside: tuple[str, ...] = ()
    unlisted: float | None = 0.0


_SHAPES = (
    Shape(re.compile(f"(pos|positives?){_ENDINGS}"), 1.0),
    Shape(re.compile(f"(hard_)?(neg|negatives?){_ENDINGS}"), 0.0),
    Shape(re.compile(r"passages\.passage_text"), None, ("passages.is_selected",)),
    Shape(re.compile("docs|documents|passages|products"), None, ("labels", "grades", "scores"), unlisted=None),
)


@dataclass(frozen=True)
class Part:
    """A column of documents in a source.

    Attributes:
        column: the column's name.
        grade: the grade of every document; None if each document has its own.
        grades: the column with a list of these grades; None if they are in the documents.
        ids: the column with the documents' ids; None if there is none.
        listed: whether the column holds lists, which may be empty.
        unlisted: the grade of documents that are not listed; None if they are not judged.
    """

    column: str
    grade: float | None
    grades: str | None
    ids: str | None
    listed: bool
    unlisted: float | None


@dataclass(frozen=True)
class Layout:
    """The columns of a source with several documents per row, and the names of the expanded columns.

    Attributes:
        parts: the source's columns of documents.
        keys: for documents that are JSON objects, the fields with text, title, id and grade.
        query: the column of the query's text.
        query_id: the column of the query's id; None if there is none.
        split: the column of the source's own split; None if there is none.
        title: the new column of the documents' titles; None if they have none.
        text: the new column of the documents' texts.
        id: the new column of the documents' ids; None if they have none.
        grade: the new column of the grades.
    """

    parts: tuple[Part, ...]
    keys: Keys
    query: str
    query_id: str | None
    split: str | None
    title: str | None
    text: str
    id: str | None
    grade: str

    @property
    def kept(self) -> list[str]:
        """The columns whose values are copied to every document of a row, such as the query."""
        return list(dict.fromkeys(name for name in (self.query, self.query_id, self.split) if name))

    @property
    def read(self) -> list[str]:
        """The columns of the source that have to be read."""
        beside = [name for part in self.parts for name in (part.column, part.grades, part.ids) if name]
        return list(dict.fromkeys([*self.kept, *beside]))

    @property
    def columns(self) -> list[str]:
        """The names of the columns after each row has been expanded to one row per document."""
        return [*self.kept, *(name for name in (self.title, self.text, self.id, self.grade) if name)]


def find_layout(source: Source, settings: DataSettings) -> Layout | None:
    """Find the layout of a source whose rows hold several documents; None for an ordinary table of judgements."""
    candidates = _find_candidates(source, settings)
    if not candidates:
        return None
    columns = [column for _, column in candidates]
    looked_at = _look_at_rows(source, columns)
    cells = {column: [row.values[index] for row in looked_at] for index, column in enumerate(columns)}
    keys = find_keys(entry for column in columns for cell in cells[column] for entry in list_entries(cell))
    parts = tuple(part for shape, column in candidates if (part := _make_part(source, shape, column, cells, keys)))
    single_texts = [part for part in parts if not part.listed]
    if all(part.grade == 0 for part in parts) or (single_texts and _has_documents(source, columns)):
        return None
    own_ids = all(part.ids for part in parts)
    return Layout(
        parts=parts if own_ids else tuple(replace(part, ids=None) for part in parts),
        keys=replace(keys, id=None) if own_ids else keys,
        query=find_query(source, settings),
        query_id=find_query_id(source, settings),
        split=_find_split(source, settings),
        title=_free_name(source, "title", HEADLINE) if keys.title else None,
        text=_free_name(source, "text" if keys.text else "document", BODY),
        id=_free_name(source, keys.id or "document_id", DOCUMENT_ID) if own_ids or keys.id else None,
        grade=_free_name(source, "grade", GRADE),
    )


def _look_at_rows(source: Source, columns: list[str]) -> list[Cells]:
    """Read the first rows; fewer if they are long."""
    rows, letters = list[Cells](), 0
    for cells in islice(read_cells(source, columns, Rejects(SET_ASIDE)), _LOOKED_AT):
        rows.append(cells)
        letters += len(str(cells.values))
        if letters > BATCH_BYTES:
            break
    return rows


def _free_name(source: Source, wanted: str, known: tuple[str, ...]) -> str:
    """Choose a well-known name that no column has, `wanted` if possible."""
    names = (wanted, *known) if wanted in known else known
    return next(name for name in names if name not in source.columns)


def _find_candidates(source: Source, settings: DataSettings) -> list[tuple[Shape, str]]:
    """Find the columns that hold documents by their names; none if the source is an ordinary table of judgements."""
    named = template_columns(as_template(settings.document)) if settings.document else ()
    if (named and set(named) <= set(source.columns)) or settings.grade in source.columns:
        return []
    if _has_documents(source, []) and well_known(source, GRADE):
        return []
    return [
        (shape, column)
        for shape in _SHAPES
        for column in source.columns
        if shape.name.fullmatch(column.strip().lower())
    ]


def _has_documents(source: Source, but_for: list[str]) -> bool:
    return any(name not in but_for for names in (HEADLINE, BODY) for name in well_known(source, names))


def _make_part(source: Source, shape: Shape, column: str, cells: dict[str, list[Any]], keys: Keys) -> Part | None:
    """Describe a column that holds documents; None if its values are numbers, or if their grades are missing."""
    entries = [entry for cell in cells[column] for entry in list_entries(cell)]
    listed = column in source.lists or any(isinstance(cell, list | tuple) for cell in cells[column])
    beside = [name for name in shape.beside if name in source.lists]
    if shape.grade is None and not (listed and (beside or keys.grade)):
        return None
    if entries and all(_is_number(entry) for entry in entries):  # a label or a position, called as documents are
        return None
    ids = [name for name in (f"{column}_id", f"{column}_ids") if name in source.columns]
    grades = beside[0] if beside and shape.grade is None else None
    return Part(column, shape.grade, grades, ids[0] if ids else None, listed, shape.unlisted)


def _is_number(entry: object) -> bool:
    return _NUMBER.fullmatch(entry) is not None if isinstance(entry, str) else isinstance(entry, bool | int | float)


def _find_split(source: Source, settings: DataSettings) -> str | None:
    if settings.split_column in source.columns:
        return settings.split_column
    return next(iter(well_known(source, SPLIT)), None)
