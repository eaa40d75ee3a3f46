"""Queries that somebody judged: which documents are relevant, and where the vectors of those that were measured are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.self_retrieval import find_own_documents
from nestvec.data.split import PARTS, TEST, TRAIN, UNUSED, VALIDATION, WITHHELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestvec.runs.run import Run

_COLUMNS = ["query_id", "document_id", "grade", "split"]
_SPLITS = [PARTS[part] for part in (TEST, VALIDATION, TRAIN, WITHHELD, UNUSED)]  # what is said of a query in several


@dataclass(frozen=True)
class QueryJudgements:
    """A query's judgements, of whatever split."""

    query_id: str
    split: str  # the first of `test`, `validation`, `train`, `withheld` and `unused` that it has records in
    grades: Mapping[str, float]  # of document ids
    threshold: float  # a document counts as relevant from this grade on

    @property
    def relevant_count(self) -> int:
        """How many documents are relevant."""
        return sum(grade >= self.threshold for grade in self.grades.values())

    def is_relevant(self, document_id: str) -> bool | None:
        """Whether a document is relevant; None where nobody judged it."""
        grade = self.grades.get(document_id)
        return None if grade is None else grade >= self.threshold


class JudgedQueries:
    """A run's records, by query; raises InputError where a file is missing or damaged."""

    def __init__(self, run: Run) -> None:
        self.grades = run.grades
        table = run.read_records(["query", *_COLUMNS])
        texts = table["query"].combine_chunks().dictionary_encode()
        self._queries = {text: row for row, text in enumerate(texts.dictionary.to_pylist())}
        numbers = texts.indices.to_numpy(zero_copy_only=False)
        self._order = np.argsort(numbers, kind="stable")
        self._starts = np.searchsorted(numbers[self._order], np.arange(len(self._queries) + 1))
        self._records = table.select(_COLUMNS)

    def __contains__(self, query: object) -> bool:
        """Whether a text was judged."""
        return query in self._queries

    @property
    def ids(self) -> dict[str, str]:
        """Text of each query to its id; of a text with several, the first."""
        firsts = self._records["query_id"].take(self._order[self._starts[:-1]])
        return dict(zip(self._queries, firsts.to_pylist(), strict=True))

    def find(self, query: str) -> QueryJudgements | None:
        """A query's judgements; None where nobody judged it."""
        number = self._queries.get(query)
        if number is None:
            return None
        rows = self._records.take(self._order[self._starts[number] : self._starts[number + 1]])
        ids, documents, grades, splits = (rows[name].to_pylist() for name in _COLUMNS)
        split = min(splits, key=lambda name: _SPLITS.index(name) if name in _SPLITS else len(_SPLITS))
        judged = dict(zip(documents, grades, strict=True))
        return QueryJudgements(ids[splits.index(split)], split, judged, self.grades.threshold)


def find_own_rows(run: Run, judged: JudgedQueries) -> dict[str, int]:
    """Text of each judged query that is a document itself to that document's row, which its rankings leave out."""
    if run.results.protocol == "published":  # asks records, and leaves nothing out
        return {}
    ids = {**judged.ids, **{text: run.queries.ids[row] for text, row in find_query_rows(run).items()}}
    rows = find_own_documents(list(ids.values()), list(ids), run.catalogue.ids, run.catalogue.texts)
    return {text: row for text, row in zip(ids, rows.tolist(), strict=True) if row >= 0}


def find_query_rows(run: Run) -> dict[str, int]:
    """Text of each measured query to the row of its vector; of one asked several times, the first on test."""
    texts, splits = run.queries.texts, run.queries.splits
    rows = sorted(range(len(texts)), key=lambda row: (splits[row] == PARTS[TEST], -row))  # what comes later counts
    return {texts[row]: row for row in rows}
