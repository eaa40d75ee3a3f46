"""Converts Arrow columns to texts and numbers, joins texts of several columns, and finds blank values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.many_texts import clean_texts, code_texts
from nestvec.data.nested import LARGEST_WHOLE, is_coded_text, scalar_text
from nestvec.data.source import Batch
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.data.source import Rejects

_DECIMAL_COMMA = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+)?,\d+([eE][-+]?\d+)?")


def text_column(batch: Batch, column: str) -> pa.Array:
    """Convert a column to (n,) texts, null where there is no value; InputError if its type cannot become text.

    True and false become 1 and 0, floats without a fraction are written as integers, and NaN becomes null.
    """
    values = batch.values.column(column)
    try:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        return _to_texts(values)
    except (pa.ArrowException, ValueError) as error:
        row = int(batch.rows[0])
        raise InputError(
            f"cannot be read as text ({values.type})", "text", file=batch.file, row=row, column=column
        ) from error


def _to_texts(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif pa.types.is_floating(kind):
        return _float_texts(values.cast(pa.float32()) if pa.types.is_float16(kind) else values)
    elif pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return pa.array([None if value is None else scalar_text(value) for value in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _float_texts(values: pa.Array) -> pa.Array:
    """Convert floats to texts: floats without a fraction as integers, NaN as null."""
    values = pc.if_else(pc.is_nan(values), None, values)
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), float(LARGEST_WHOLE)))
    integers = pc.if_else(whole, values, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(integers, values.cast(pa.string()))


def map_texts(batch: Batch, column: str, read: Callable[[str], float], missing: float) -> NDArray[np.float64]:
    """Convert a column to (n,) numbers: `read` converts each stripped text, and null becomes `missing`."""
    coded = pc.utf8_trim_whitespace(text_column(batch, column)).dictionary_encode()
    known = [read(text) for text in coded.dictionary.to_pylist()]
    rows = pc.fill_null(coded.indices, len(known)).to_numpy(zero_copy_only=False)
    numbers: NDArray[np.float64] = np.array([*known, missing])[rows]
    return numbers


def clean_column(batch: Batch, column: str, note: Callable[[str, str], None] | None = None) -> pa.DictionaryArray:
    """Convert a column to (n,) cleaned texts in a dictionary array; `note` is called as by `clean_texts`."""
    coded = _code_column(batch, column)
    cleaned = clean_texts(coded.dictionary, note)
    return coded if cleaned is coded.dictionary else _replace_texts(coded, cleaned)


def _code_column(batch: Batch, column: str) -> pa.DictionaryArray:
    """Convert a column to n dictionary-encoded texts; null where there is no value."""
    values = batch.values.column(column)
    if not is_coded_text(values.type):
        return text_column(batch, column).dictionary_encode()
    coded = code_texts(values)
    return _replace_texts(coded, coded.dictionary.cast(pa.string()))


def _replace_texts(coded: pa.DictionaryArray, texts: pa.Array) -> pa.DictionaryArray:
    """Replace the texts in the dictionary of a dictionary array; the new texts may repeat or be null."""
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(coded.indices), distinct.dictionary)


def drop_rows(batch: Batch, bad: NDArray[np.bool_], column: str, expected: str, rejects: Rejects) -> Batch:
    """Leave out rows that are empty in a column.

    Args:
        batch: n rows.
        bad: (n,) mask of the empty rows.
        column: the column's name, for messages.
        expected: what the column should hold, for messages.
        rejects: raises for each bad row or sets it aside.

    Returns:
        The rows that are not bad.

    Raises:
        InputError: a row is bad and `rejects` stops at the first one; the message names the row.
    """
    if not bad.any():
        return batch
    for row in np.flatnonzero(bad).tolist():
        error = InputError("is empty", expected, file=batch.file, row=int(batch.rows[row]), column=column)
        rejects.refuse(error, str(batch.values.slice(row, 1).to_pylist()[0]))
    return Batch(batch.file, batch.rows[~bad], batch.values.filter(pa.array(~bad)))


def join_columns(template: str, parts: dict[str, pa.Array]) -> pa.Array:
    """Fill a template row by row: `{name}` stands for the column `name` of `parts`, null adds nothing; (n,) texts."""
    pieces = re.split(r"\{([^{}]*)\}", template)
    if pieces[::2] == ["", ""]:  # a column as it is
        part = parts[pieces[1]]
        if pa.types.is_dictionary(part.type) and not part.null_count:
            return pa.DictionaryArray.from_arrays(part.indices, _tidy_texts(part.dictionary))
    plain = {
        name: part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for name, part in parts.items()
    }
    filled = [plain[piece] if index % 2 else pa.scalar(piece) for index, piece in enumerate(pieces)]
    return _tidy_texts(pc.binary_join_element_wise(*filled, "", null_handling="replace", null_replacement=""))


def _tidy_texts(texts: pa.Array) -> pa.Array:
    """Strip the texts, and replace several spaces in a row by one."""
    if may_hold(texts, "  "):  # where a value is missing between two others; the pattern is slow
        texts = pc.replace_substring_regex(texts, " {2,}", " ")
    return pc.utf8_trim_whitespace(texts)


def may_hold(texts: pa.Array, mark: str) -> bool:
    """Whether any of n texts may contain a given character; searches all texts at once, which is far faster."""
    letters = texts.buffers()[2]
    return letters is not None and mark.encode() in letters.to_pybytes()


def is_blank(texts: pa.Array) -> NDArray[np.bool_]:
    """Mark the texts that are null or white space only."""
    if pa.types.is_dictionary(texts.type):
        known = np.append(is_blank(texts.dictionary), True)  # the last one is that of null
        return np.asarray(known[pc.fill_null(texts.indices, len(known) - 1).to_numpy()])
    blank: NDArray[np.bool_] = np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))) == 0
    return blank


def all_blank(parts: list[pa.Array]) -> NDArray[np.bool_]:
    """Mark the rows that have no text in any of the columns."""
    blank: NDArray[np.bool_] = np.all([is_blank(part) for part in parts], axis=0)
    return blank


class DecimalMarks:
    """Checks that a column does not mix decimal commas with decimal points."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}  # the first number with a decimal comma, and with a decimal point

    def check(self, batch: Batch, column: str) -> None:
        """Raise InputError if the column has both decimal commas and points so far, as 1.234 could then mean either."""
        coded = pc.utf8_trim_whitespace(text_column(batch, column)).dictionary_encode()
        for index, text in enumerate(coded.dictionary.to_pylist()):
            kind = _find_decimal_mark(text)
            if kind is not None:
                self._seen.setdefault(kind, text)
            if len(self._seen) == len(("comma", "point")):
                row = int(batch.rows[coded.indices.to_pylist().index(index)])
                problem = f"is {text!r}, but another row has {self._seen['comma' if kind == 'point' else 'point']!r}"
                wanted = "one decimal mark in the whole column: a comma or a point"
                raise InputError(problem, wanted, file=batch.file, row=row, column=column)


def _find_decimal_mark(text: str) -> str | None:
    """Return a number's decimal mark, `comma` or `point`; None for whole numbers and other texts."""
    if _DECIMAL_COMMA.fullmatch(text):
        return "comma"
    return "point" if "." in text and parse_number(text) is not None else None


def parse_number(text: str | None, *, decimal_comma: bool = False) -> float | None:
    """Parse a text as a number; None if that fails. With `decimal_comma`, 2,5 and 1.234,5 are numbers, too."""
    if text and decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        return float(pa.scalar(text, pa.string()).cast(pa.float64()).as_py()) if text else None
    except pa.ArrowInvalid:
        return None
