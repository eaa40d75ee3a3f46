"""Queries that somebody judged: what was found relevant, and which of them were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.split import PARTS, TEST, TRAIN, UNUSED, VALIDATION, WITHHELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestvec.runs.run import Run

_COLUMNS = ["query_id", "document_id", "grade", "split"]
_FIRST = [PARTS[part] for part in (TEST, VALIDATION, TRAIN, WITHHELD, UNUSED)]  # what is said of a query in several


@dataclass(frozen=True)
class Judged:
    """A query's judgements, of whatever split.

    Attributes:
        query_id: the query's.
        split: the first of `test`, `validation`, `train`, `withheld` and `unused` that it has records in.
        grades: document id to grade.
        threshold: a document counts as relevant from this grade on.
    """

    query_id: str
    split: str
    grades: Mapping[str, float]
    threshold: float

    @property
    def relevant(self) -> int:
        """How many documents are relevant."""
        return sum(grade >= self.threshold for grade in self.grades.values())

    def is_relevant(self, document_id: str) -> bool | None:
        """Whether a document is relevant; None where nobody judged it."""
        grade = self.grades.get(document_id)
        return None if grade is None else grade >= self.threshold


class Judgements:
    """A run's records, by query.

    Args:
        run: the run.

    Raises:
        InputError: a file is missing or damaged.
    """

    def __init__(self, run: Run) -> None:
        self.grades = run.grades
        table = run.read_records(["query", *_COLUMNS])
        texts = table["query"].combine_chunks().dictionary_encode()
        self._queries = {text: row for row, text in enumerate(texts.dictionary.to_pylist())}
        numbers = texts.indices.to_numpy(zero_copy_only=False)
        self._order = np.argsort(numbers, kind="stable")
        self._first = np.searchsorted(numbers[self._order], np.arange(len(self._queries) + 1))
        self._records = table.select(_COLUMNS)

    def __contains__(self, query: object) -> bool:
        """Whether a text was judged."""
        return query in self._queries

    def of(self, query: str) -> Judged | None:
        """A query's judgements; None where nobody judged it."""
        number = self._queries.get(query)
        if number is None:
            return None
        rows = self._records.take(self._order[self._first[number] : self._first[number + 1]])
        ids, documents, grades, splits = (rows[name].to_pylist() for name in _COLUMNS)
        split = min(splits, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        found = dict(zip(documents, grades, strict=True))
        return Judged(ids[splits.index(split)], split, found, self.grades.threshold)


def rows_of_queries(run: Run) -> dict[str, int]:
    """Where the vectors of the queries that were measured are.

    Args:
        run: the run.

    Returns:
        Text to row; of one asked several times, the first on test.

    Raises:
        InputError: a file is missing or damaged.
    """
    asked = list(enumerate(zip(run.queries.texts, run.queries.splits, strict=True)))
    asked.sort(key=lambda each: (each[1][1] == PARTS[TEST], -each[0]))  # what comes later counts
    return {query: row for row, (query, _) in asked}
