"""Reads JSON lines (one object per line). Nested fields become columns with dotted names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.limits import UnpackedLimit, find_repeated, refuse_many_columns
from nestvec.data.nested import cell_text, list_leaves, reach, shorten_value
from nestvec.data.plain_json import read_plain_lines
from nestvec.data.source import SET_ASIDE, Batch, Cells, Rejects, Source, batch_texts, split_into_batches
from nestvec.data.streams import read_lines
from nestvec.errors import InputError, Location
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nestvec.data.text_form import TextForm

_LOOKED_AT = 100  # first objects whose fields become the columns
_MOST_BAD = 1000  # bad lines after which the search for objects stops
_LONGEST_NAME = 1000  # characters of a field's dotted name
_SHOWN = 2000  # bytes of a bad line that are kept


def open_json_lines(path: Path, form: TextForm) -> Source:
    """Open a file with one JSON object per line; the first objects' fields become columns, missing values null."""
    form.refuse_options(path, "a JSONL file")
    names, lists = _find_fields(path, form.encoding)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        wanted = {column: column in lists for column in columns}
        lines = read_lines(path, rejects, form.encoding)
        for chunk in split_into_batches(lines, lambda line: len(line[1])):
            numbers, contents = zip(*chunk, strict=True)
            plain = read_plain_lines(contents, columns)
            if plain is not None:
                yield Batch(str(path), np.array(numbers), plain)
                continue
            kept = list(_text_rows(_parse_lines(path, chunk, rejects), path, wanted, rejects))
            if kept:
                rows, texts = zip(*kept, strict=True)
                yield Batch(str(path), np.array(rows), batch_texts(texts, columns))

    def read_cells(columns: list[str], rejects: Rejects) -> Iterator[Cells]:
        for number, values in json_objects(path, rejects, form.encoding):
            yield Cells(str(path), number, [reach(values, column) for column in columns])

    limit = UnpackedLimit.of_rows(path)
    return Source(str(path), sha256(path), names, read, lists=lists, cells=read_cells, limit=limit)


def _find_fields(path: Path, encoding: str | None) -> tuple[tuple[str, ...], frozenset[str]]:
    """Find the fields of a file's first objects, and which of them hold lists; InputError if there are no objects."""
    filled, lists, objects = dict[str, bool](), set[str](), 0
    rejects = Rejects(SET_ASIDE)  # whether these stop the load is decided in reading
    for number, line in read_lines(path, rejects, encoding):
        try:
            values = _parse_json(path, number, line)
        except InputError as error:
            rejects.refuse(error)
        else:
            _refuse_repeated(path, number, line)
            objects += 1
            for name, value in list_fields(path, values):
                filled[name] = filled.get(name, False) or value is not None
                lists.update([name] if isinstance(value, list) else [])
                refuse_many_columns(len(filled), path)
        if objects == _LOOKED_AT or len(rejects.rows) >= _MOST_BAD:
            break
    if not objects and rejects.rows:
        first = rejects.rows[0]
        raise InputError(first.problem, first.expected, file=path, row=first.row)
    if not objects:
        raise InputError("is empty", "one JSON object per line", file=path)
    return _name_columns(filled), frozenset(lists)


def list_fields(path: Path, values: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield dotted name and value of every innermost field of a JSON object; InputError if a name is too long."""
    for name, value in list_leaves(values):
        if len(name) > _LONGEST_NAME:
            problem = f"a field's name has more than {_LONGEST_NAME:,} letters: {name[:40]}…"
            wanted = f"at most {_LONGEST_NAME:,}, the names around the field included: save the file with fewer levels"
            raise InputError(problem, wanted, file=path)
        yield name, value


def _name_columns(filled: dict[str, bool]) -> tuple[str, ...]:
    """List the columns in order; a field that is null in some rows and an object in others gives no column itself."""
    known = [name for name in filled if filled[name]]
    parents = {name[:end] for name in known for end, letter in enumerate(name) if letter == "."}
    return tuple(name for name in filled if filled[name] or name not in parents)


def _refuse_repeated(path: Path, number: int, line: bytes) -> None:
    """Raise InputError for an object with two fields of one name: JSON's readers would drop one of them in silence."""

    def check(pairs: list[tuple[str, object]]) -> None:
        if twice := find_repeated(name for name, _ in pairs):
            raise InputError(
                f"two fields are called {twice[0]!r}", "a different name for each field", file=path, row=number
            )

    json.loads(line.decode("utf-8-sig"), object_pairs_hook=check)


def _text_rows(
    objects: Iterator[tuple[int, dict[str, Any]]], path: Path, columns: dict[str, bool], rejects: Rejects
) -> Iterator[tuple[int, list[str | None]]]:
    """Convert JSON objects to texts with line numbers; `columns` says for each column whether lists are joined."""
    for number, values in objects:
        try:
            texts = [_read_text(values, path, number, column, joined) for column, joined in columns.items()]
        except InputError as error:
            rejects.refuse(error, json.dumps(values))
        else:
            yield number, texts


def _read_text(values: dict[str, Any], path: Path, number: int, column: str, joined: bool) -> str | None:
    value = reach(values, column)
    if isinstance(value, str) and value.isascii():  # most are
        return value
    return cell_text(value, Location(str(path), number, column), joined=joined)


def json_objects(path: Path, rejects: Rejects, encoding: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read line number and object of every line that is not blank; `rejects` handles lines without an object."""
    return _parse_lines(path, read_lines(path, rejects, encoding), rejects)


def _parse_lines(
    path: Path, lines: Iterable[tuple[int, bytes]], rejects: Rejects
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse lines to line number and object; `rejects` handles lines without an object."""
    for number, line in lines:
        try:
            yield number, _parse_json(path, number, line)
        except InputError as error:
            rejects.refuse(error, line[:_SHOWN].decode("utf-8", "replace"))


def _parse_json(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        wanted = "UTF-8, or --encoding to name another"
        raise InputError(f"is not UTF-8 ({error.reason})", wanted, file=path, row=number) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", "one JSON object per line", file=path, row=number) from error
    if not isinstance(value, dict):
        raise InputError(f"is {shorten_value(value)}", "one JSON object per line", file=path, row=number)
    return value
