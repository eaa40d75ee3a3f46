"""Distinct queries, or documents, of a source: told apart by their id, or by their text where there is no id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.nested import list_values
from nestvec.data.source import Finding
from nestvec.data.values import code_texts
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

_EXAMPLES = 3
_FEWEST = 4  # ids with several texts that are too many to be slips


def keep_first_queries(texts: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Keep the first text of each query's id.

    Args:
        texts: ids and texts of queries.

    Returns:
        Id to text; and the finding of texts that came with an id that had another one, if there are any.
    """
    queries, examples, count = dict[str, str](), list[str](), 0
    for identifier, text in texts:
        first = queries.setdefault(identifier, text)
        if first != text:
            count += 1
            if count <= _EXAMPLES:
                examples.append(_show_difference(identifier, first, text))
    action = "A query keeps the first text that its id came with."
    finding = Finding("another text under one query id", count, action, tuple(examples))
    return queries, (finding,) if count else ()


def _show_difference(identifier: str, first: str, other: str) -> str:
    return f"{identifier}: {first[:80]!r} and {other[:80]!r}"


class TextTable:
    """Numbers texts by first appearance; an id keeps the first text that it came with.

    Args:
        kind: `query` or `document`, for messages.

    Attributes:
        rows: id, or text where there is no id, to its number.
        differing: rows of the source whose id came with another text before.
        examples: of such ids with both texts.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, int] = {}
        self.differing = 0
        self.examples: list[str] = []
        self._texts: list[str] | None = None  # None: they are the keys of `rows`
        self._several: set[int] = set()  # numbers of the ids that came with several texts

    @property
    def has_ids(self) -> bool:
        """Whether ids tell the texts apart."""
        return self._texts is not None

    @property
    def texts(self) -> list[str]:
        """The texts, by number."""
        return list(self.rows) if self._texts is None else self._texts

    @property
    def repeated(self) -> int:
        """Ids whose text an earlier id has too."""
        return len(self.rows) - len(set(self._texts)) if self._texts is not None else 0

    def number_texts(self, column: pa.Array) -> NDArray[np.int64]:
        """Number (n,) texts that have no ids."""
        coded = code_texts(column)
        rows = [self.rows.setdefault(text, len(self.rows)) for text in coded.dictionary.to_pylist()]
        numbers: NDArray[np.int64] = np.array(rows, dtype=np.int64)[np.asarray(coded.indices)]
        return numbers

    def number_ids(self, ids: pa.Array, column: pa.Array) -> NDArray[np.int64]:
        """Number (n,) texts by their (n,) ids."""
        self._texts = known = [] if self._texts is None else self._texts
        coded, rows = code_texts(column), []
        texts, indices = coded.dictionary.to_pylist(), coded.indices.to_numpy()
        for identifier, index in zip(list_values(ids), indices, strict=True):
            row = self.rows.setdefault(identifier, len(known))
            if row == len(known):
                known.append(texts[index])
            elif known[row] != texts[index]:
                self._note_difference(row, identifier, texts[index])
            rows.append(row)
        return np.array(rows, dtype=np.int64)

    def _note_difference(self, row: int, identifier: str, text: str) -> None:
        self.differing += 1
        self._several.add(row)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(_show_difference(identifier, self.texts[row], text))

    def refuse_useless_ids(self, column: str, file: str) -> None:
        """Raise InputError where most ids of a column come with several texts: then they number something else."""
        if len(self._several) >= _FEWEST and 2 * len(self._several) > len(self.rows):
            problem = f"{len(self._several):,} of the {len(self.rows):,} ids stand beside several texts"
            wanted = f"the same {self.kind} text wherever an id comes again; --{self.kind}-id to name another column"
            raise InputError(f"{problem}, such as {self.examples[0]}", wanted, file=file, column=column)
