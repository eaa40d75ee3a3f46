"""Converts JSON or TOML values to dataclasses and checks their types, so that a damaged file is reported at once."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from nestvec.errors import InputError
from nestvec.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class MisfitError(ValueError):
    """A JSON or TOML value has another type than the dataclass's field, or is missing.

    Args:
        where: path to the value inside the file, such as `surface[3].queries`.
        found: the value that was found, or "missing".
        expected: the kind of value that is expected.
    """

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where or 'the file'} is {found}")
        self.expected = expected


def load_json(path: Path, kind: type[T]) -> T:
    """Read a JSON file of a run into a dataclass, or a tuple of dataclasses; unknown keys are ignored.

    Args:
        path: the file.
        kind: the type of the file's content: a dataclass or `tuple[Dataclass, ...]`.

    Returns:
        The file's content as that type.

    Raises:
        InputError: the file is missing or damaged; the message names the key in the file.
    """
    try:
        return cast("T", conform(read_json(path), kind))
    except MisfitError as error:
        raise InputError(f"is damaged: {error}", error.expected, file=path) from error


def conform(value: object, kind: Any, where: str = "") -> Any:  # noqa: ANN401 - `kind` decides
    """Convert a value that was read from JSON or TOML to a given type, such as a dataclass.

    Args:
        value: a value from a JSON or TOML reader.
        kind: a dataclass, `tuple[kind, ...]`, `dict[str, kind]`, `kind | None`, float, int, str, bool or object.
        where: path to the value inside the file, for messages.

    Returns:
        An instance of `kind`.

    Raises:
        MisfitError: a value is missing or has another type.
    """
    if kind in _PLAIN:
        return _plain(value, kind, where)
    if is_dataclass(kind):
        return _instance(value, cast("type", kind), where)
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        items = _typed(value, list, where)
        return tuple(conform(item, arguments[0], f"{where}[{row}]") for row, item in enumerate(items))
    if get_origin(kind) is dict:
        entries = _typed(value, dict, where)
        return {name: conform(entry, arguments[1], _below(where, name)) for name, entry in entries.items()}
    if isinstance(kind, UnionType):  # only `kind | None` is used
        [given] = [argument for argument in arguments if argument is not NoneType]
        return None if value is None else conform(value, given, where)
    return value


_LARGEST = 2**63 - 1  # largest whole number that Parquet, SQLite and NumPy hold
_PLAIN = (float, int, str, bool)
_NAMES = {float: "a finite number", int: "a whole number", str: "text", bool: "true or false"}
_NAMES |= {list: "a list", dict: "a table"}


def _plain(value: object, kind: type, where: str) -> object:
    """Check that a value is the number, text or boolean that is asked for; a whole number may stand for a float."""
    if type(value) is int and not -_LARGEST <= value <= _LARGEST:
        raise MisfitError(where, _shown(value), f"a number of at most {_LARGEST}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(cast("float", value))):
        raise MisfitError(where, _shown(value), _NAMES[kind])
    return value


def _typed(value: object, kind: type[T], where: str) -> T:
    """Check that a value is a list, or that it is a table (dict), whichever is asked for."""
    if not isinstance(value, kind):
        raise MisfitError(where, _shown(value), _NAMES[kind])
    return value


def _instance(value: object, kind: type, where: str) -> object:
    """Make a dataclass from a table of a file; MisfitError if a field is missing or the class refuses the values."""
    entries = _typed(value, dict, where)
    hints = _hints(kind)
    values: dict[str, object] = {}
    for entry in fields(kind):
        if entry.name in entries:
            values[entry.name] = conform(entries[entry.name], hints[entry.name], _below(where, entry.name))
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise MisfitError(_below(where, entry.name), "missing", "a file of a finished run")
    try:
        return kind(**values)
    except ValueError as error:
        raise MisfitError(where, "out of range", str(error)) from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Find the types of a dataclass's fields from its annotations; the result is cached."""
    return get_type_hints(kind)


def _below(where: str, name: str) -> str:
    """Join a path inside a file and a key, for messages: `surface[3]` and `queries` to `surface[3].queries`."""
    return f"{where}.{name}" if where else name


def _shown(value: object) -> str:
    """Format a value for an error message, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
