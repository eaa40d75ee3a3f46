"""What a system is trained on: rows of one query and some of its documents.

Rows of judgements are all from the training split; those of `adapted`, which needs none, are made in `crops`.

`pairs` has a row per relevant record, `judged` one per record with its grade, and `contrasts` one per record judged
well with a document that was judged low. Whatever the rows, every judgement of the training split can be looked up, so
that no document serves as a negative for a query that it is known to answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from nestvec.data.grades import gains
from nestvec.evaluation.metrics import UNJUDGED, Judgements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task


@dataclass(frozen=True)
class Texts:
    """q queries and d documents; documents alike once normalised are one, so that none is its own twin's negative.

    Attributes:
        queries: q texts, those of the records; a text that has several ids is one.
        documents: d texts.
        query_number: which of the q texts each query of the records is.
        number: which of the d texts each document of the records is.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    query_number: NDArray[np.int64]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, records: Records) -> Texts:
        """All texts of the records, whatever their split."""
        number = records.normalised_documents
        first = np.unique(number, return_index=True)[1]
        rows: dict[str, int] = {}
        query_number = np.array([rows.setdefault(text, len(rows)) for text in records.queries], dtype=np.int64)
        return cls(list(rows), [records.documents[row] for row in first], query_number, number)

    def with_queries(self, queries: Sequence[str]) -> Texts:
        """The same texts with further queries, numbered after those that are there."""
        return replace(self, queries=[*self.queries, *queries]) if queries else self


@dataclass(frozen=True)
class TrainingData:
    """What examples are made of: judged records, and the split that says which of them a system may learn from.

    Attributes:
        records: n judged records.
        grades: tell which one gains nothing.
        task: which records belong to the training split, and which of these are training pairs.
        texts: of the records, whatever their split.
        every_document: whether `adapted` learns from the texts of validation and test queries' documents, too.
    """

    records: Records
    grades: Grades
    task: Task
    texts: Texts
    every_document: bool = False

    @classmethod
    def of(cls, records: Records, grades: Grades, task: Task) -> Self:
        """Look the records' texts up as well."""
        return cls(records, grades, task, Texts.of(records))

    @property
    def query(self) -> NDArray[np.int64]:
        """(n,) the query of each record, as a number of `texts`."""
        return self.texts.query_number[self.records.query]


@dataclass(frozen=True)
class Examples:
    """r rows of a query and its documents, as numbers of `Texts`.

    Attributes:
        query: (r,) the query of each row.
        members: r rows of documents, each at least one.
        judgements: the training split's gains by query and document.
        highest: the highest gain there is, at least 1.
        unused: training queries that no document answers; they have no row.
        pseudo_queries: queries that nobody asked, made for the rows; their numbers come after those of `Texts`.
    """

    query: NDArray[np.int64]
    members: Sequence[Sequence[int]]
    judgements: Judgements
    highest: int
    unused: int = 0
    pseudo_queries: Sequence[str] = ()

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.query)

    @property
    def queries(self) -> int:
        """How many queries there are, with and without rows; the documents' tokens come after theirs."""
        return len(self.judgements.relevant)

    @property
    def single(self) -> bool:
        """Whether every row holds one document."""
        return all(len(row) == 1 for row in self.members)


def pair_rows(data: TrainingData, seed: int) -> Examples:
    """A row per training pair, in the records' order: the query and one relevant document; nothing is drawn."""
    del seed
    query, task = data.query, data.task
    unused = np.setdiff1d(query[task.in_part("train")], query[task.pairs])
    return replace(_rows_of_one(data, task.pairs), unused=len(unused))


def judged_rows(data: TrainingData, seed: int) -> Examples:
    """A row per record of the training split, in their order and whatever its grade; nothing is drawn."""
    del seed
    return _rows_of_one(data, np.flatnonzero(data.task.in_part("train")))


def contrast_rows(data: TrainingData, seed: int) -> Examples:
    """A row per document worth finding: its query, the document, and one that was judged clearly not to answer.

    See `worth_finding` and `clearly_not`; what lies between is near enough to be right for someone, and as a negative
    it did harm (docs/ablations.md). A query's clear negatives are dealt out to its rows in a seeded order; one without
    any has rows of one document. Rows are in the order of their queries.
    """
    known = _collect_judgements(data)
    (query, document), gain = np.divmod(known.keys, len(data.texts.documents)), known.values
    shuffled = np.random.default_rng(seed).permutation(len(query))
    low = shuffled[clearly_not(gain[shuffled], known.relevant_from)]
    negatives = group_by_query(query[low], document[low])
    good = worth_finding(gain, known.relevant_from)
    owners, times_seen, members = query[good].tolist(), dict[int, int](), []
    for owner, positive in zip(owners, document[good].tolist(), strict=True):
        turn, times_seen[owner] = times_seen.get(owner, 0), times_seen.get(owner, 0) + 1
        candidates = negatives.get(owner, [])
        members.append([positive, candidates[turn % len(candidates)]] if candidates else [positive])
    unused = len(np.unique(query)) - len(np.unique(owners))
    return Examples(np.array(owners, dtype=np.int64), members, known, int(gain.max()), unused)


def worth_finding(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
    """Whether a document reaches three quarters of what makes one relevant: the relevant, and those just below."""
    return 4 * gain >= 3 * relevant_from


def clearly_not(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
    """Whether a judged document lies nearer to the grade that gains nothing than to the lowest relevant one."""
    return (gain > UNJUDGED) & (2 * gain < relevant_from)


def with_negatives(examples: Examples, mined: Mapping[int, Sequence[int]], count: int) -> Examples:
    """The same rows, each with the first `count` of its query's mined documents at its end."""
    rows = zip(examples.query.tolist(), examples.members, strict=True)
    return replace(examples, members=[[*row, *mined.get(query, ())[:count]] for query, row in rows])


def group_by_query(query: NDArray[np.int64], document: NDArray[np.int64]) -> dict[int, list[int]]:
    """The documents of each query in their order; (n,) queries and their documents in."""
    documents: dict[int, list[int]] = {}
    for owner, number in zip(query.tolist(), document.tolist(), strict=True):
        documents.setdefault(owner, []).append(number)
    return documents


def _rows_of_one(data: TrainingData, rows: NDArray[np.int64]) -> Examples:
    """One row, of a query and one document, for each of the records at `rows`."""
    records, zero = data.records, data.grades.zero
    members = [[document] for document in data.texts.number[records.document[rows]].tolist()]
    highest = int(gains(records.grade, zero).max())
    return Examples(data.query[rows], members, _collect_judgements(data), max(highest, 1))


def _collect_judgements(data: TrainingData) -> Judgements:
    """The training split's judgements, never those of another split; the highest gain where twins were judged."""
    records, task, texts, zero = data.records, data.task, data.texts, data.grades.zero
    rows = np.flatnonzero(task.in_part("train"))
    query, document = data.query[rows], texts.number[records.document[rows]]
    gain = gains(records.grade[rows], zero)
    order = np.lexsort((-gain, document, query))
    best = order[np.unique(np.stack([query[order], document[order]]), axis=1, return_index=True)[1]]
    # protocols differ in whether a grade at the threshold itself is trained on
    relevant_from = int(gains(records.grade[task.pairs], zero).min())
    shape = len(texts.queries), len(texts.documents)
    return Judgements(query[best], document[best], gain[best], shape, relevant_from)
