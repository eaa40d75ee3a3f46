"""Numbers the distinct queries, or documents, of a source: by their id, or by their text if there are no ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.many_texts import DistinctTexts
from nestvec.data.source import Finding
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_EXAMPLES = 3
_FEWEST = 4  # fewer ids with several texts are taken as slips


def keep_first_queries(texts: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Keep the first text of each query id.

    Args:
        texts: ids and texts of queries.

    Returns:
        Id to text; and a finding, if an id came with several texts.
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
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._texts = DistinctTexts()
        self._ids: DistinctTexts | None = None

    def add(self, texts: pa.Array, ids: pa.Array | None) -> None:
        """Add n texts, with their ids if the source has ids."""
        self._texts.add(texts)
        if ids is not None:
            self._ids = self._ids or DistinctTexts()
            self._ids.add(ids)

    def number(self) -> NumberedTexts:
        """Number all texts that were added, return the result, and empty the table."""
        texts, self._texts = self._texts.join(), DistinctTexts()
        if self._ids is None:
            return NumberedTexts(self.kind, texts.indices.to_numpy(), texts.dictionary.to_pylist())
        ids, self._ids = self._ids.join(), None
        rows, numbers = ids.indices.to_numpy(), texts.indices.to_numpy()
        first = np.empty(len(ids.dictionary), dtype=np.int64)
        first[rows[::-1]] = np.arange(len(rows))[::-1]  # of several rows, numpy keeps the one assigned last
        kept = numbers[first]
        differing = np.flatnonzero(numbers != kept[rows])
        shown = differing[:_EXAMPLES]
        examples = zip(ids.take(shown), texts.take(first[rows[shown]]), texts.take(shown), strict=True)
        return NumberedTexts(
            kind=self.kind,
            numbers=rows,
            texts=texts.dictionary.take(pa.array(kept)).to_pylist(),
            ids=ids.dictionary.to_pylist(),
            repeated=len(kept) - len(np.unique(kept)),
            differing=len(differing),
            several=len(np.unique(rows[differing])),
            examples=[_show_difference(*(part.as_py() for part in example)) for example in examples],
        )


@dataclass(frozen=True)
class NumberedTexts:
    """The distinct queries, or documents, by first appearance.

    Attributes:
        kind: `query` or `document`, for messages.
        numbers: (n,) the number of each row's query or document.
        texts: the text of each query or document.
        ids: the id of each; None if they are identified by their text.
        repeated: the number of ids whose text an earlier id has too.
        differing: the number of rows whose id came with another text before.
        several: the number of ids that came with several texts.
        examples: some of these ids with both texts.
    """

    kind: str
    numbers: NDArray[np.int32]
    texts: list[str]
    ids: list[str] | None = None
    repeated: int = 0
    differing: int = 0
    several: int = 0
    examples: list[str] = field(default_factory=list)

    def refuse_useless_ids(self, column: str, file: str) -> None:
        """Raise InputError if most ids of a column come with several texts, so that they identify something else."""
        if self.several >= _FEWEST and 2 * self.several > len(self.texts):
            problem = f"{self.several:,} of the {len(self.texts):,} ids have several texts each"
            wanted = f"one {self.kind} text per id, or --{self.kind}-id to name another column"
            raise InputError(f"{problem}, such as {self.examples[0]}", wanted, file=file, column=column)
