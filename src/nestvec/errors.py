"""The errors that nestvec raises, and their exit codes.

NestvecError                 base class of all errors that nestvec raises on purpose (exit code 1)
├── InputError               the user's input or settings are wrong (exit code 2)
│   ├── MissingExtraError    an optional extra is not installed (exit code 2)
│   └── ChangedError         a model, its vectors or an index has changed since it was measured (2; `--verify`: 1)
├── GateClosedError          the gate says "do not ship", and --strict was given (exit code 3)
└── StoppedError             Ctrl-C (exit code 130, as in shells)
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST = 2000  # most letters of a message, because a quote from a damaged file may have millions


class NestvecError(Exception):
    """Base class of all errors that nestvec raises on purpose."""

    exit_code = 1


@dataclass(frozen=True)
class Location:
    """The place of an error in the user's input; every part is optional.

    Attributes:
        file: the wrong file, folder or option.
        row: 1-based row, as in a spreadsheet: row 1 is a CSV's header, or the first record of JSONL or Parquet.
        column: name of the column.
    """

    file: str | None = None
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Format the location as the start of a message: `catalogue.csv, row 17, column 'grade'`."""
        parts = [
            self.file,
            None if self.row is None else f"row {self.row}",
            None if self.column is None else f"column {self.column!r}",
        ]
        return ", ".join(part for part in parts if part)


class InputError(NestvecError):
    """The user's input or settings are wrong; the command line shows one message and no traceback.

    Args:
        problem: what was found, in words; shown after the location.
        expected: what is expected instead, or the remedy; shown after "expected".
        file: the wrong file, folder or option.
        row: 1-based row, see `Location`.
        column: name of the column.
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
        """Return a copy of this error that names a file; for errors raised by code that does not know the file."""
        return InputError(self.problem, self.expected, file=file, row=self.location.row, column=self.location.column)


def replace_unprintable(text: str) -> str:
    """Replace characters of a message that a terminal cannot print: messages quote user data, which may hold any."""
    if text.isprintable():  # the usual case, kept fast because very many rows may be set aside
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


class MissingExtraError(InputError):
    """An optional extra of nestvec is not installed.

    Args:
        what: the library that could not be imported.
        extras: the extra that installs the library, then other missing extras that the same command needs.
    """

    def __init__(self, what: str, *extras: str) -> None:
        *others, last = extras
        needed = f"the extras {', '.join(others)} and {last}" if others else f"the extra {last}"
        super().__init__(f"{what} is not installed; this needs {needed}: pip install 'nestvec[{','.join(extras)}]'")


class ChangedError(InputError):
    """Raised if a model, vectors or an index changed since they were measured or exported, or a hash is wrong."""


class GateClosedError(NestvecError):
    """The run recommends nothing ("do not ship"), and `--strict` was given."""

    exit_code = 3


class StoppedError(NestvecError):
    """The user stopped the command, such as with Ctrl-C; finished stages are kept."""

    exit_code = 130
