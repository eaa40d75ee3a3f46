"""JSON lines: one object a line. Fields inside fields are columns by their dotted names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.nested import cell_text, list_leaves, reach, shorten_value
from nestvec.data.source import Batch, Cells, Rejects, Source, batch_texts, split_into_batches
from nestvec.data.streams import read_lines
from nestvec.errors import InputError, Location
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nestvec.data.text_form import TextForm

_LOOKED_AT = 100  # objects whose fields make the columns
_MOST_BAD = 1000  # lines without an object after which no more are looked for
_LONGEST_LINE = 64 << 20  # bytes


def open_json_lines(path: Path, form: TextForm) -> Source:
    """Open a file with one JSON object a line: the first objects' fields are the columns; a missing field is null."""
    form.refuse_options(path, "a JSONL file")
    first = _first_objects(path, form.encoding)
    leaves = [leaf for values in first for leaf in list_leaves(values)]
    lists = frozenset(name for name, value in leaves if isinstance(value, list))

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        wanted = {column: column in lists for column in columns}
        for chunk in split_into_batches(_text_rows(json_objects(path, rejects, form.encoding), path, wanted, rejects)):
            rows, texts = zip(*chunk, strict=True)
            yield Batch(str(path), np.array(rows), batch_texts(texts, columns))

    def read_cells(columns: list[str], rejects: Rejects) -> Iterator[Cells]:
        for number, values in json_objects(path, rejects, form.encoding):
            yield Cells(str(path), number, [reach(values, column) for column in columns])

    names = _name_columns(leaves)
    return Source(str(path), sha256(path), names, read, lists=lists, cells=read_cells)


def _first_objects(path: Path, encoding: str | None) -> list[dict[str, Any]]:
    """The first objects of a file; InputError where its first lines hold none."""
    objects, errors = list[dict[str, Any]](), list[InputError]()  # whether these stop the load is decided in reading
    for number, line in read_lines(path, _LONGEST_LINE, encoding):
        try:
            objects.append(_parse_json(path, number, line))
        except InputError as error:
            errors.append(error)
        if len(objects) == _LOOKED_AT or len(errors) == _MOST_BAD:
            break
    if not objects:
        raise errors[0] if errors else InputError("is empty", "one JSON object a line", file=path)
    return objects


def _name_columns(leaves: list[tuple[str, object]]) -> tuple[str, ...]:
    """The names of leaves in their order; an object that is null in some rows is no column beside its own fields."""
    filled = {name for name, value in leaves if value is not None}
    parents = {name[:end] for name in filled for end, letter in enumerate(name) if letter == "."}
    return tuple(dict.fromkeys(name for name, _ in leaves if name in filled or name not in parents))


def _text_rows(
    objects: Iterator[tuple[int, dict[str, Any]]], path: Path, columns: dict[str, bool], rejects: Rejects
) -> Iterator[tuple[int, list[str | None]]]:
    """Line number and texts of every usable object; `columns` says of each whether its lists are joined."""
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
    """Line number and object of every line that is not blank; `rejects` decides over lines that hold no object."""
    for number, line in read_lines(path, _LONGEST_LINE, encoding):
        try:
            yield number, _parse_json(path, number, line)
        except InputError as error:
            rejects.refuse(error, line[:2000].decode("utf-8", "replace"))


def _parse_json(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        wanted = "UTF-8, or --encoding to name another"
        raise InputError(f"is not UTF-8 ({error.reason})", wanted, file=path, row=number) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", "one JSON object a line", file=path, row=number) from error
    if not isinstance(value, dict):
        raise InputError(f"is {shorten_value(value)}", "one JSON object a line", file=path, row=number)
    return value
