"""The user's options for text files: encoding, delimiter, quoting and columns; missing ones are detected."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.limits import find_repeated
from nestvec.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.settings import DataSettings

_NAMED = {"tab": "\t", r"\t": "\t"}


@dataclass(frozen=True)
class TextForm:
    """The user's options for text files.

    Attributes:
        encoding: a name that Python knows; None detects the encoding.
        delimiter: the character between fields; None detects the delimiter.
        quoting: `double` or `none`; None depends on the file's ending and the delimiter.
        columns: names for a table without a header line; None takes the first line as the header.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    columns: tuple[str, ...] | None = None

    def refuse_options(self, path: Path, kind: str, *, encoding: bool = True) -> None:
        """Raise InputError if an option is set that does not apply to this kind of file.

        Args:
            path: the file.
            kind: the kind of file, for the message.
            encoding: whether --encoding applies.
        """
        given = {"--delimiter": self.delimiter, "--quoting": self.quoting, "--columns": self.columns}
        if not encoding:
            given["--encoding"] = self.encoding
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} is given for {kind}", f"{option} with CSV or TSV only", file=path)


def make_text_form(settings: DataSettings) -> TextForm:
    """Make the options from the settings; InputError for an unknown encoding, a bad delimiter, or unusable names."""
    return TextForm(
        None if settings.encoding is None else _require_encoding(settings.encoding),
        None if settings.delimiter is None else _require_delimiter(settings.delimiter),
        settings.quoting,
        None if settings.columns is None else _require_names(settings.columns),
    )


def _require_encoding(name: str) -> str:
    """Return the name of an encoding; raises InputError if Python has no incremental decoder for it."""
    try:
        "".encode(name)  # refuses codecs of bytes, such as hex
        codecs.getincrementaldecoder(name)
    except (LookupError, UnicodeError, ValueError) as error:
        wanted = "a name that Python knows: utf-8, windows-1252, gb18030, shift_jis, utf-16 …"
        raise InputError(f"--encoding {name!r} is unknown", wanted) from error
    return name


def _require_delimiter(given: str) -> str:
    """Return the delimiter as one character; InputError if it is not a single ASCII character."""
    delimiter = _NAMED.get(given.lower(), given)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise InputError(f"--delimiter is {given!r}", "one ASCII character, such as ; or |, or the word tab")
    return delimiter


def _require_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stripped column names; InputError for an empty or a repeated name."""
    stripped = tuple(name.strip() for name in names)
    if not all(stripped):
        raise InputError("--columns holds an empty name", "a name for each column: query,positive,negative")
    if twice := find_repeated(stripped):
        raise InputError(f"--columns names {twice[0]!r} twice", "a different name for each column")
    return stripped
