"""What can go wrong, and the exit code each ends with.

NestvecError                 anything nestvec itself raises on purpose (exit 1)
├── InputError               the user's input or settings are wrong (exit 2)
│   ├── MissingExtraError    an optional part is not installed (exit 2)
│   └── ChangedError         a model, its vectors or an index is not what was measured (exit 2; `--verify`: 1)
├── GateClosedError          the gate says "do not ship" and --strict was given (exit 3)
└── StoppedError             Ctrl-C (exit 130, as shells report it)
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST = 2000  # letters of a message; what is quoted of a damaged file may have millions


class NestvecError(Exception):
    """Base of every error that nestvec raises on purpose."""

    exit_code = 1


@dataclass(frozen=True)
class Location:
    """Where in the user's input something is wrong; every part is optional.

    Attributes:
        file: the file, folder or option at fault.
        row: 1-based as a spreadsheet shows it: row 1 is a CSV's header, or a JSONL or Parquet file's first record.
        column: the column's name.
    """

    file: str | None = None
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        """As a message starts: `catalogue.csv, row 17, column 'grade'`."""
        parts = [
            self.file,
            None if self.row is None else f"row {self.row}",
            None if self.column is None else f"column {self.column!r}",
        ]
        return ", ".join(part for part in parts if part)


class InputError(NestvecError):
    """The user's input or settings are wrong: one message, no traceback.

    Args:
        problem: what was found, in words; shown after the location.
        expected: what would have been right.
        file: the file, folder or option at fault.
        row: 1-based row, see `Location`.
        column: the column's name.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        expected: str = "",
        *,
        file: object = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.location = Location(None if file is None else str(file), row, column)
        where = f"{self.location}: " if str(self.location) else ""
        wanted = f"; expected {expected}" if expected else ""
        message = f"{where}{problem}{wanted}"
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}…"
        super().__init__(replace_unprintable(message))

    def with_file(self, file: object) -> InputError:
        """The same error with the file's name, for code that raised it without knowing the file."""
        return InputError(self.problem, self.expected, file=file, row=self.location.row, column=self.location.column)


def replace_unprintable(text: str) -> str:
    """The text with a mark for every letter that a terminal cannot print: quoted user data may hold anything."""
    if text.isprintable():  # most are, and very many rows may be set aside
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


class MissingExtraError(InputError):
    """A part of nestvec that is installed on request is not there.

    Args:
        what: the library that could not be imported.
        extras: the extra that brings it, and others that are missing for the same command.
    """

    def __init__(self, what: str, *extras: str) -> None:
        *others, last = extras
        needed = f"the extras {', '.join(others)} and {last}" if others else f"the extra {last}"
        super().__init__(f"{what} is not installed; this needs {needed}: pip install 'nestvec[{','.join(extras)}]'")


class ChangedError(InputError):
    """A model, its vectors or an index is not what was measured, exported or pinned."""


class GateClosedError(NestvecError):
    """Nothing measured is worth shipping, and the user asked to be told by exit code."""

    exit_code = 3


class StoppedError(NestvecError):
    """The user stopped the work; what was finished stays."""

    exit_code = 130
