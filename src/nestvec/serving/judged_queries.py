"""Looks up a query by its text: its judgements in the run, and its measured vector."""

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
_SPLITS = [PARTS[part] for part in (TEST, VALIDATION, TRAIN, WITHHELD, UNUSED)]  # order of precedence


@dataclass(frozen=True)
class QueryJudgements:
    """One query's judgements, from all splits together."""

    query_id: str
    split: str  # the first of `test`, `validation`, `train`, `withheld` and `unused` in which the query has records
    grades: Mapping[str, float]  # grades by document id
    threshold: float  # a document is relevant if its grade is at least this

    @property
    def relevant_count(self) -> int:
        """Number of documents that are relevant to the query."""
        return sum(grade >= self.threshold for grade in self.grades.values())

    def is_relevant(self, document_id: str) -> bool | None:
        """Whether a document was judged relevant to the query; None if the document was not judged."""
        grade = self.grades.get(document_id)
        return None if grade is None else grade >= self.threshold


class JudgedQueries:
    """Finds a run's judgements by the text of a query; raises InputError if a file of the run is missing or damaged."""

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
        """Whether the run has judgements for a query with this text."""
        return query in self._queries

    @property
    def ids(self) -> dict[str, str]:
        """Maps the text of each judged query to its id; if a text has several ids, to the first."""
        firsts = self._records["query_id"].take(self._order[self._starts[:-1]])
        return dict(zip(self._queries, firsts.to_pylist(), strict=True))

    def find(self, query: str) -> QueryJudgements | None:
        """Return a query's judgements; None if the query was not judged."""
        number = self._queries.get(query)
        if number is None:
            return None
        rows = self._records.take(self._order[self._starts[number] : self._starts[number + 1]])
        ids, documents, grades, splits = (rows[name].to_pylist() for name in _COLUMNS)
        split = min(splits, key=lambda name: _SPLITS.index(name) if name in _SPLITS else len(_SPLITS))
        judged = dict(zip(documents, grades, strict=True))
        return QueryJudgements(ids[splits.index(split)], split, judged, self.grades.threshold)


def find_own_rows(run: Run, judged: JudgedQueries) -> dict[str, int]:
    """Map the text of each query that is itself a document to that document's row, which its results leave out."""
    if run.results.protocol == "published":  # this protocol leaves no document out
        return {}
    ids = {**judged.ids, **{text: run.queries.ids[row] for text, row in find_query_rows(run).items()}}
    rows = find_own_documents(list(ids.values()), list(ids), run.catalogue.ids, run.catalogue.texts)
    return {text: row for text, row in zip(ids, rows.tolist(), strict=True) if row >= 0}


def find_query_rows(run: Run) -> dict[str, int]:
    """Map each measured query's text to the row of its vector; if the text repeats, to the first of the test split."""
    texts, splits = run.queries.texts, run.queries.splits
    rows = sorted(range(len(texts)), key=lambda row: (splits[row] == PARTS[TEST], -row))  # the last row of a text wins
    return {texts[row]: row for row in rows}
