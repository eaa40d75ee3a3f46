"""Cleans and normalises whole columns of texts, as `text.py` does with single texts, and numbers distinct texts.

Arrow handles most texts; a pattern finds the texts that only Python can handle. Searching all texts for the pattern
takes a fifth of the time of cleaning all texts in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.limits import BATCH, BATCH_BYTES
from nestvec.data.text import clean_text, normalise_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_SPACED = r"  |^ | $|[\t-\r\x1c-\x1f]"  # white space within ASCII, but for single spaces inside
_FOREIGN_SPACE = r"[\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
_SHORT = r"^(?s:.){0,2}$"  # a text of at most two letters
_FOREIGN = r"[^\x00-\x7f]"  # a letter outside ASCII


def clean_texts(texts: pa.Array, note: Callable[[str, str], None] | None = None) -> pa.Array:
    """Clean texts.

    Args:
        texts: n texts.
        note: called with the text before and after, for texts that cleaning may change or that are nearly empty.

    Returns:
        The cleaned texts, as `clean_text` returns them; the same array if none changes.
    """
    odd = pc.match_substring_regex(texts, f"{_SPACED}|{_FOREIGN_SPACE}|&|{_SHORT}")
    before = texts.filter(odd).to_pylist()
    after = [clean_text(text) for text in before]
    if note is not None:
        for pair in zip(before, after, strict=True):
            note(*pair)
    return texts if before == after else pc.replace_with_mask(texts, odd, pa.array(after, texts.type))


def same_text(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number (t,) texts from 0 on, by first appearance; texts that are equal once normalised share a number."""
    return _number(texts, _normalise_texts)


def same_letters(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number (t,) texts from 0 on, by first appearance; only equal texts share a number."""
    return _number(texts, lambda column: column)


def _normalise_texts(texts: pa.Array) -> pa.Array:
    """Normalise texts for comparison: Unicode NFKC, case folding, single spaces."""
    odd = pc.match_substring_regex(texts, f"{_SPACED}|{_FOREIGN}")
    normalised = pa.array(map(normalise_text, texts.filter(odd).to_pylist()), texts.type)
    return pc.replace_with_mask(pc.ascii_lower(texts), odd, normalised)


def _number(texts: Sequence[str], convert: Callable[[pa.Array], pa.Array]) -> NDArray[np.int64]:
    distinct = DistinctTexts()
    for first in range(0, len(texts), BATCH):
        distinct.add(convert(pa.array(texts[first : first + BATCH], pa.large_string())))
    numbers = np.array(distinct.join().indices, dtype=np.int64)
    del distinct
    pa.default_memory_pool().release_unused()  # Arrow would keep what telling texts apart took
    return numbers


class DistinctTexts:
    """Collects rows of texts; each distinct text is kept once, numbered by first appearance."""

    def __init__(self) -> None:
        empty = pa.array([], pa.large_string()).dictionary_encode()  # large: together they may have more than 2 GB
        self._parts: list[pa.DictionaryArray] = [empty]  # the first holds what was joined
        self._loose = 0  # bytes of the other parts' texts

    def add(self, column: pa.Array) -> None:
        """Add the texts of (n,) further rows; texts that are new get the next numbers."""
        coded = code_texts(column)
        texts = coded.dictionary.cast(pa.large_string())
        self._parts.append(pa.DictionaryArray.from_arrays(coded.indices.cast(pa.int32()), texts))
        self._loose += texts.nbytes
        if self._loose > max(BATCH_BYTES, self._parts[0].dictionary.nbytes):  # so each text is looked up a few times
            self.join()

    def join(self) -> pa.DictionaryArray:
        """Return all added rows as an Arrow dictionary array: the number of each row's text, and the distinct texts."""
        if len(self._parts) > 1:
            self._parts = [pa.chunked_array(self._parts).unify_dictionaries().combine_chunks()]
            self._loose = 0
        return self._parts[0]


def code_texts(texts: pa.Array) -> pa.DictionaryArray:
    """Encode (n,) texts as an Arrow dictionary array, whose dictionary lists only used texts, by first appearance."""
    coded = texts.dictionary_encode()  # what is coded stays so
    used = coded.indices.drop_null().unique()
    if len(used) == len(coded.dictionary) and np.array_equal(used, np.arange(len(used))):
        return coded
    numbers = pc.index_in(coded.indices, value_set=used)
    return pa.DictionaryArray.from_arrays(numbers, coded.dictionary.take(used))
