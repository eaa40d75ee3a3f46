"""Reads the documents in a cell: a text, a list of texts, or a list of objects with title, text, id and grade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE
from nestvec.data.nested import cell_text, reach, shorten_value
from nestvec.errors import InputError, Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_QUOTES = ("'", '"')


class Passage(NamedTuple):
    """A document that a cell of a table holds; missing fields are None.

    Attributes:
        text: its text, or its body.
        title: its title.
        id: its id.
        grade: its grade, as text.
    """

    text: str | None
    title: str | None = None
    id: str | None = None
    grade: str | None = None


@dataclass(frozen=True)
class Keys:
    """In documents that are JSON objects, the fields that hold text, title, id and grade; None for a missing field."""

    text: str | None = None
    title: str | None = None
    id: str | None = None
    grade: str | None = None


_KNOWN = {  # of each of `Keys`, the first that an object has is taken
    "text": ("text", "passage_text", "contents", *BODY),
    "title": ("title", *HEADLINE),
    "id": ("docid", "doc_id", "document_id", "passage_id", "pid", *DOCUMENT_ID, "_id", "id"),
    "grade": ("is_selected", *GRADE),
}


def list_entries(cell: object) -> list[Any]:
    """List the documents of a cell, unconverted; an empty list for a cell without a value."""
    if cell is None:
        return []
    return list(cell) if isinstance(cell, list | tuple) else [cell]


def find_keys(entries: Iterable[object]) -> Keys:
    """Find which fields hold title, text, id and grade of those documents that are JSON objects."""
    objects = [entry for entry in entries if isinstance(entry, dict)]
    return Keys(**{
        role: next((name for name in names if any(reach(entry, name) is not None for entry in objects)), None)
        for role, names in _KNOWN.items()
    })  # fmt: skip


def read_passages(cell: object, keys: Keys, place: Location) -> Iterator[Passage]:
    """Read the documents of a cell.

    Args:
        cell: a text, a list of texts or objects, or None.
        keys: the names of the objects' fields.
        place: the cell's location, for messages.

    Yields:
        The documents.

    Raises:
        InputError: a document has no text, or no id although others have one; the message names it as
            `positive_passages[2]`, counted from 0.
    """
    listed = isinstance(cell, list | tuple)
    for index, entry in enumerate(list_entries(cell)):
        column = f"{place.column}[{index}]" if listed else place.column
        yield _read_passage(entry, keys, Location(place.file, place.row, column))


def _read_passage(entry: object, keys: Keys, place: Location) -> Passage:
    if isinstance(entry, dict):
        passage = Passage(
            text=_take_text(entry, keys.text, place),
            title=_take_text(entry, keys.title, place),
            id=_take_value(entry, keys.id, place),
            grade=_take_value(entry, keys.grade, place),
        )
    elif isinstance(entry, str):
        _refuse_written_list(entry, place)
        passage = Passage(cell_text(entry, place))
    else:
        raise _wrong_entry(entry, "text, or an object with the text of a document", place)
    if not any(part and part.strip() for part in (passage.text, passage.title)):
        raise _wrong_entry(None if isinstance(entry, str) else entry, "the text of a document", place)
    if keys.id is not None and not (passage.id and passage.id.strip()):
        raise _wrong_entry(entry, f"a document with {keys.id}, as the other documents have", place)
    return passage


def _take_text(entry: dict[str, Any], key: str | None, place: Location) -> str | None:
    value = None if key is None else reach(entry, key)
    if value is not None and not isinstance(value, str):
        raise _wrong_entry(value, f"text as {key}", place)
    return cell_text(value, place)


def _take_value(entry: dict[str, Any], key: str | None, place: Location) -> str | None:
    return None if key is None else cell_text(reach(entry, key), place)


def _refuse_written_list(text: str, place: Location) -> None:
    """Raise InputError for a text that is a list in Python's or JSON's notation; it would be read as one document."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]") and inner[1:-1].strip().startswith(_QUOTES):
        wanted = "one text; save lists as JSONL or Parquet"
        raise InputError("is a list written as text", wanted, file=place.file, row=place.row, column=place.column)


def _wrong_entry(entry: object, expected: str, place: Location) -> InputError:
    problem = "is empty" if entry is None else f"is {shorten_value(entry)}"
    return InputError(problem, expected, file=place.file, row=place.row, column=place.column)
