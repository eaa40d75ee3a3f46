"""Arrow columns as judgements need them: text, joined text, what is blank, what is a number."""

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
    """(n,) texts of a column, null where there is no value; InputError if its type is none that text can be made of.

    As in JSON, true and false are 1 and 0, whole numbers are written as integers, and NaN is no value.
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
    """Floats as text: whole ones as integers, NaN as null."""
    values = pc.if_else(pc.is_nan(values), None, values)
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), float(LARGEST_WHOLE)))
    integers = pc.if_else(whole, values, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(integers, values.cast(pa.string()))


def map_texts(batch: Batch, column: str, read: Callable[[str], float], missing: float) -> NDArray[np.float64]:
    """(n,) what `read` makes of each text of a column, without outer blanks; `missing` where there is no value."""
    coded = pc.utf8_trim_whitespace(text_column(batch, column)).dictionary_encode()
    known = [read(text) for text in coded.dictionary.to_pylist()]
    rows = pc.fill_null(coded.indices, len(known)).to_numpy(zero_copy_only=False)
    numbers: NDArray[np.float64] = np.array([*known, missing])[rows]
    return numbers


def clean_column(batch: Batch, column: str, note: Callable[[str, str], None] | None = None) -> pa.DictionaryArray:
    """(n,) texts of a column, cleaned, each distinct one once; `note` as `clean_texts` takes it."""
    coded = _code_column(batch, column)
    cleaned = clean_texts(coded.dictionary, note)
    return coded if cleaned is coded.dictionary else _replace_texts(coded, cleaned)


def _code_column(batch: Batch, column: str) -> pa.DictionaryArray:
    """(n,) texts of a column, each distinct one once, as `text_column` makes them."""
    values = batch.values.column(column)
    if not is_coded_text(values.type):
        return text_column(batch, column).dictionary_encode()
    coded = code_texts(values)
    return _replace_texts(coded, coded.dictionary.cast(pa.string()))


def _replace_texts(coded: pa.DictionaryArray, texts: pa.Array) -> pa.DictionaryArray:
    """The rows with other texts in place of the dictionary's, of which some may be the same or null."""
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(coded.indices), distinct.dictionary)


def drop_rows(batch: Batch, bad: NDArray[np.bool_], column: str, expected: str, rejects: Rejects) -> Batch:
    """Leave out rows that are empty in a column.

    Args:
        batch: n rows.
        bad: (n,) which of them are.
        column: the name to give in messages.
        expected: what there should be.
        rejects: decides over each of them, told in words what the row holds.

    Returns:
        The other rows.

    Raises:
        InputError: a row is bad, and the policy is to stop; names it.
    """
    if not bad.any():
        return batch
    for row in np.flatnonzero(bad).tolist():
        error = InputError("is empty", expected, file=batch.file, row=int(batch.rows[row]), column=column)
        rejects.refuse(error, str(batch.values.slice(row, 1).to_pylist()[0]))
    return Batch(batch.file, batch.rows[~bad], batch.values.filter(pa.array(~bad)))


def join_columns(template: str, parts: dict[str, pa.Array]) -> pa.Array:
    """(n,) texts of a template whose `{name}` stands for the column `name` of `parts`; a missing value adds nothing."""
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
    """The texts without outer blanks, and with one space where several are."""
    if may_hold(texts, "  "):  # where a value is missing between two others; the pattern is slow
        texts = pc.replace_substring_regex(texts, " {2,}", " ")
    return pc.utf8_trim_whitespace(texts)


def may_hold(texts: pa.Array, mark: str) -> bool:
    """Whether a mark stands anywhere in the letters of (n,) texts: far faster to find out than text by text."""
    letters = texts.buffers()[2]
    return letters is not None and mark.encode() in letters.to_pybytes()


def is_blank(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts are null or hold nothing but white space."""
    if pa.types.is_dictionary(texts.type):
        known = np.append(is_blank(texts.dictionary), True)  # the last one is that of null
        return np.asarray(known[pc.fill_null(texts.indices, len(known) - 1).to_numpy()])
    blank: NDArray[np.bool_] = np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))) == 0
    return blank


def all_blank(parts: list[pa.Array]) -> NDArray[np.bool_]:
    """Which rows have no text in any of the columns."""
    blank: NDArray[np.bool_] = np.all([is_blank(part) for part in parts], axis=0)
    return blank


class DecimalMarks:
    """Makes sure that the numbers of a column with decimal commas are all written so."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}  # the first number with a decimal comma, and with a decimal point

    def check(self, batch: Batch, column: str) -> None:
        """Raise InputError once a number has a decimal comma and another a decimal point: 1.234 could be either."""
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
    """`comma` or `point`; None for what is no number, or whole."""
    if _DECIMAL_COMMA.fullmatch(text):
        return "comma"
    return "point" if "." in text and parse_number(text) is not None else None


def parse_number(text: str | None, *, decimal_comma: bool = False) -> float | None:
    """A text as a number; None where it is none. With `decimal_comma`, 2,5 and 1.234,5 are numbers, too."""
    if text and decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        return float(pa.scalar(text, pa.string()).cast(pa.float64()).as_py()) if text else None
    except pa.ArrowInvalid:
        return None
