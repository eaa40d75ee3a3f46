"""Opens a file with the reader of its format; `load_records` interprets the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.data.delimited import open_delimited
from nestvec.data.json_lines import open_json_lines
from nestvec.data.parquet_file import open_parquet
from nestvec.data.streams import suffix
from nestvec.data.text_form import TextForm
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nestvec.data.source import Source


def read_file(path: Path, form: TextForm | None = None) -> Source:
    """Open an existing file in the format of its ending.

    Args:
        path: the file.
        form: the user's options for text files.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: the format is unknown or does not fit the form, or the file is empty or damaged.
    """
    reader = READERS.get(suffix(path))
    if reader is None:
        wanted = "a file ending in " + ", ".join(READERS) + ", each also with .gz or .zst"
        raise InputError(f"has the unknown format {suffix(path) or '(no ending)'!r}", wanted, file=path)
    try:
        if path.stat().st_size == 0:
            raise InputError("is empty", "a table with at least one record", file=path)
        return reader(path, form or TextForm())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", "a readable file", file=path) from error


READERS: dict[str, Callable[[Path, TextForm], Source]] = {
    ".csv": open_delimited,
    ".tsv": open_delimited,
    ".jsonl": open_json_lines,
    ".parquet": open_parquet,
}
