"""Finds out how a delimited file is written, from its first lines: delimiter, quoting and columns."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.find_columns import quote_names
from nestvec.data.limits import find_repeated, refuse_many_columns
from nestvec.data.source import Finding
from nestvec.data.streams import Recoded
from nestvec.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.data.text_form import TextForm

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}  # those looked for, in this order
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
_HEAD = 1 << 20  # bytes that are examined
_ROWS = 200  # records that are examined
_CONSISTENT = 0.8  # share of the records that must have as many fields as the first
_LONGEST_NAME = 40  # a longer field in the first line is probably not a column's name
_WORDS_OF_NAME = 3  # nor is one of more words
_HOW = "; if the first line is a record, name the columns with --columns query,positive,negative"


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        delimiter: the character between fields.
        quoted: whether values may be in double quotes.
        names: the columns' names.
        sample: the first records, without the header.
        header: whether the first line is a header.
        headerless: whether the first line, which was read as the header, looks like a record.
        findings: what to report to the user.
    """

    delimiter: str
    quoted: bool
    names: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    header: bool = True
    headerless: bool = False
    findings: tuple[Finding, ...] = ()


def find_dialect(path: Path, encoding: str, usual: str, form: TextForm) -> Dialect:
    """Find out how a delimited file is written.

    Args:
        path: the file.
        encoding: the file's encoding.
        usual: the usual delimiter for the file's ending: comma, or tab for .tsv, where quotes mean nothing by default.
        form: the user's options.

    Returns:
        The dialect: the options that the user set; for all others, what fits the first lines best.

    Raises:
        InputError: the file is empty, its header is unusable, or --columns does not fit the first line.
    """
    head, whole = _read_head(path, encoding)
    delimiter, rows = _choose_delimiter(head, whole, usual, form)
    if not rows:
        _refuse_long_header(path, head)
    refuse_many_columns(len(rows[0]), path)
    quoted = _is_quoted(form, usual, delimiter)
    findings = _find_delimiter_finding(delimiter, usual, form, rows[0])
    if form.columns is not None:
        findings += _check_given_names(path, form.columns, rows[0])
        return Dialect(delimiter, quoted, form.columns, tuple(rows), header=False, findings=findings)
    _check_header(path, rows, quoted or form.quoting is not None)
    findings += _find_quotes_finding(rows, quoted or form.quoting is not None)
    return Dialect(
        delimiter, quoted, rows[0], tuple(rows[1:]), headerless=looks_like_record(rows), findings=findings
    )  # fmt: skip


def _read_head(path: Path, encoding: str) -> tuple[str, bool]:
    """Read the first characters of a file, and whether they are the whole file."""
    with Recoded(path, encoding) as stream:
        content = stream.read(_HEAD + 1)
    return content[:_HEAD].decode("utf-8", "ignore"), len(content) <= _HEAD


def _is_quoted(form: TextForm, usual: str, delimiter: str) -> bool:
    """Whether double quotes enclose values; in a TSV file with tabs, they do only if the user says so."""
    return form.quoting == "double" if form.quoting is not None else not usual == delimiter == "\t"


def _choose_delimiter(head: str, whole: bool, usual: str, form: TextForm) -> tuple[str, list[tuple[str, ...]]]:
    """Choose the delimiter, preferably the usual one, that splits the first records most evenly; also return these."""
    candidates = [form.delimiter] if form.delimiter else [usual, *(mark for mark in DELIMITERS if mark != usual)]
    wanted = len(form.columns or ())
    best, best_key, best_rows = candidates[0], None, list[tuple[str, ...]]()
    for delimiter in candidates:
        rows = _split_rows(head, whole, delimiter, _is_quoted(form, usual, delimiter))
        width = len(rows[0]) if rows else 0
        even = width > 1 and _share(rows, width) >= _CONSISTENT
        spaced = sum(field.startswith(" ") for row in rows for field in row[1:]) if width > 1 else 0
        key = (width == wanted > 0, even, width > 1, -spaced, delimiter == usual, width)
        if best_key is None or key > best_key:
            best, best_key, best_rows = delimiter, key, rows
    return best, best_rows


def _share(rows: list[tuple[str, ...]], width: int) -> float:
    """Compute the share of rows that have `width` fields."""
    return sum(len(row) == width for row in rows) / len(rows)


def _split_rows(head: str, whole: bool, delimiter: str, quoted: bool) -> list[tuple[str, ...]]:
    """Split the first records with Python's csv module; a record that is cut off is left out."""
    lines = io.StringIO(head, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    rows = list[tuple[str, ...]]()
    try:
        for row in reader:
            if len(rows) == _ROWS:
                return rows
            if row:
                rows.append(tuple(row))
    except csv.Error:  # a field beyond the module's limit
        return rows
    return rows if whole else rows[:-1]


def _refuse_long_header(path: Path, head: str) -> None:
    """Raise InputError for a file without a complete first record."""
    if not head.strip():
        raise InputError("is empty", "a header line and at least one record", file=path)
    if '"' in head:
        wanted = "that quote closed or doubled, or --quoting none"
        raise InputError("the quote that opens in the header is never closed", wanted, file=path, row=1)
    raise InputError(f"the first line is longer than {_HEAD >> 20} MB", "a line of column names", file=path, row=1)


def _check_given_names(path: Path, names: tuple[str, ...], first: tuple[str, ...]) -> tuple[Finding, ...]:
    """Report that --columns named the table's columns; InputError if its names do not fit the first record."""
    if len(names) != len(first):
        found = f"--columns gives {len(names)} names, and the first line has {len(first)} fields"
        raise InputError(f"{found}: {quote_names(first)}", "a name for each field", file=path, row=1)
    if [name.lower() for name in names] == [field.strip().lower() for field in first]:
        wanted = "--columns to be left out, as the file has a header line"
        raise InputError("the first line holds the names of --columns", wanted, file=path, row=1)
    action = "Taken from --columns; the first line is read as a record."
    return (Finding("columns named by --columns", len(names), action, (f"first record: {quote_names(first)}",)),)


def _check_header(path: Path, rows: list[tuple[str, ...]], quoting_known: bool) -> None:
    """Raise InputError if the first line cannot be a header."""
    names = rows[0]
    if not "".join(names).strip():
        raise InputError("is empty", "a header line and at least one record", file=path)
    hint = _HOW if looks_like_record(rows) else ""
    broken = [name for name in names if "\n" in name or "\r" in name]
    if any(len(name) > _LONGEST_NAME for name in broken):
        lines = max(len(name.splitlines()) for name in broken)
        wanted = "that quote closed or doubled, or --quoting none"
        raise InputError(f"a quote in the header runs over {lines} lines", wanted, file=path, row=1)
    if not quoting_known and all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        wanted = "--quoting double, or --quoting none if the quotes belong to the names"
        raise InputError(f"the column names stand in quotes: {quote_names(names)}", wanted, file=path, row=1)
    if twice := find_repeated(names):
        wanted = f"a different name for each column{hint}"
        raise InputError(f"two columns are called {twice[0]!r}", wanted, file=path, row=1)


def _find_delimiter_finding(delimiter: str, usual: str, form: TextForm, names: tuple[str, ...]) -> tuple[Finding, ...]:
    """Report a delimiter that is not the usual one for the file's ending, unless the user set the delimiter."""
    if delimiter == usual or form.delimiter is not None:
        return ()
    action = "The file was read with the delimiter that its first lines show: "
    action += f"{DELIMITERS[delimiter]}, not {DELIMITERS[usual]}. Its columns: {quote_names(form.columns or names)}."
    return (Finding("another delimiter than usual", len(names), action),)


def _find_quotes_finding(rows: list[tuple[str, ...]], quoting_known: bool) -> tuple[Finding, ...]:
    """Report values in double quotes in a file that is read without quoting, unless the user set the quoting."""
    if quoting_known:
        return ()
    values = [field for row in rows[1:] for field in row if len(field) > 1 and field[0] == field[-1] == '"']
    action = "The quotes were kept, because a TSV has no quoting; --quoting double removes them."
    return (Finding("values in double quotes", len(values), action, tuple(values[:3])),) if values else ()


def looks_like_record(rows: list[tuple[str, ...]]) -> bool:
    """Whether the first row looks like a record, not a header: it has a number, a long text, or a repeated value."""
    first, rest = rows[0], rows[1:]
    return any(
        NUMBER.fullmatch(field.strip()) is not None
        or len(field) > _LONGEST_NAME
        or len(field.split()) > _WORDS_OF_NAME
        or (field.strip() != "" and any(row[index : index + 1] == (field,) for row in rest))
        for index, field in enumerate(first)
    )
