"""JSON lines: one object a line."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.source import SET_ASIDE, Batch, Rejects, Source, batch_texts, split_into_batches
from nestvec.data.streams import read_lines
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOKED_AT = 100  # objects whose fields make the columns
_LONGEST_LINE = 64 << 20  # bytes


def open_json_lines(path: Path) -> Source:
    """Open a file with one JSON object a line: the first objects' fields are the columns; a missing field is null."""
    bad = Rejects(SET_ASIDE)  # whether they stop the load is decided when they are read
    first = list(islice(json_objects(path, bad), _LOOKED_AT))
    if not first and bad.rows:
        raise InputError(bad.rows[0].problem, bad.rows[0].expected, file=path, row=bad.rows[0].row)
    if not first:
        raise InputError("is empty", "one JSON object a line", file=path)
    names = tuple(dict.fromkeys(name for _, values in first for name in values))

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for chunk in split_into_batches(json_objects(path, rejects)):
            rows, texts = [], []
            for number, values in chunk:
                try:
                    texts.append([_as_text(path, number, column, values.get(column)) for column in columns])
                    rows.append(number)
                except InputError as error:
                    rejects.refuse(error, json.dumps(values))
            if rows:
                yield Batch(str(path), np.array(rows), batch_texts(texts, columns))

    return Source(str(path), sha256(path), names, read)


def json_objects(path: Path, rejects: Rejects) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank; `rejects` decides over lines that hold no object."""
    for number, line in read_lines(path, _LONGEST_LINE):
        try:
            yield number, _parse_json(path, number, line)
        except InputError as error:
            rejects.refuse(error, line[:2000].decode("utf-8", "replace"))


def _parse_json(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", "one JSON object a line", file=path, row=number) from error
    if not isinstance(value, dict):
        raise InputError(f"is {_shorten_json(value)}", "one JSON object a line", file=path, row=number)
    return value


def _as_text(path: Path, number: int, column: str, value: object) -> str | None:
    """A JSON value as the text that a CSV would hold; lone surrogates, which no file can hold, are refused."""
    if value is None or isinstance(value, str):
        if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError("holds half a surrogate pair", "text", file=path, row=number, column=column)
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return repr(float(value)) if isinstance(value, bool) else repr(value)
    raise InputError(f"is {_shorten_json(value)}", "text or a number", file=path, row=number, column=column)


def _shorten_json(value: object) -> str:
    """A value in a message, cut to a length that a person reads."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):  # nested too deep, or a number too long to print
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"
