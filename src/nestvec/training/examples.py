"""Training examples: rows of one query and some of its documents.

`pair_rows` makes a row for each relevant record, `judged_rows` a row for each record of any grade, and `contrast_rows`
a row for each record with a high grade, with a document of a low grade added. All of them use the training split only.
`crops` makes the rows of `adapted`, which needs no judgements. Examples also hold every judgement of the training
split, so that no loss takes a document as a negative for a query that the document is known to answer.
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
    """The distinct texts of the records: q query texts and d document texts.

    Documents with the same normalised text count as one, so that no document is a negative of its own copy.

    Attributes:
        queries: q query texts; a text with several ids is listed once.
        documents: d document texts.
        query_number: the index into `queries` for each query of the records.
        number: the index into `documents` for each document of the records.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    query_number: NDArray[np.int64]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, records: Records) -> Texts:
        """Collect the distinct query and document texts from the records of all splits."""
        number = records.normalised_documents
        first = np.unique(number, return_index=True)[1]
        rows: dict[str, int] = {}
        query_number = np.array([rows.setdefault(text, len(rows)) for text in records.queries], dtype=np.int64)
        return cls(list(rows), [records.documents[row] for row in first], query_number, number)

    def with_queries(self, queries: Sequence[str]) -> Texts:
        """Return these texts with more queries added; the new queries come after the existing ones."""
        return replace(self, queries=[*self.queries, *queries]) if queries else self


@dataclass(frozen=True)
class TrainingData:
    """What training rows are made from: judged records, and the split, which says which records are for training.

    Attributes:
        records: n judged records.
        grades: the grades of the data, with the grade that has the gain 0.
        task: which records belong to the training split, and which of these are relevant pairs to train on.
        texts: the distinct texts of the records of all splits.
        every_document: whether `adapted` also learns from documents judged for validation and test queries.
    """

    records: Records
    grades: Grades
    task: Task
    texts: Texts
    every_document: bool = False

    @classmethod
    def of(cls, records: Records, grades: Grades, task: Task) -> Self:
        """Combine judged records with their grades and split, and collect the records' texts."""
        return cls(records, grades, task, Texts.of(records))

    @property
    def query(self) -> NDArray[np.int64]:
        """The query of each of the n records, as an index into `texts.queries`."""
        return self.texts.query_number[self.records.query]


@dataclass(frozen=True)
class Examples:
    """The r training rows of a system, each with a query and some documents, given as indices into `Texts`.

    Attributes:
        query: (r,) the query of each row.
        members: the documents of each of the r rows, at least one per row.
        judgements: the training split's gains by query and document.
        highest: the highest gain of the data, at least 1.
        unused: how many training queries have no row, because none of their documents is relevant.
        pseudo_queries: generated queries, used by `adapted`; their indices follow those of `Texts.queries`.
    """

    query: NDArray[np.int64]
    members: Sequence[Sequence[int]]
    judgements: Judgements
    highest: int
    unused: int = 0
    pseudo_queries: Sequence[str] = ()

    def __len__(self) -> int:
        """Number of training rows."""
        return len(self.query)

    @property
    def queries(self) -> int:
        """Number of queries, with and without training rows; in the token arrays, documents follow the queries."""
        return len(self.judgements.relevant)

    @property
    def single(self) -> bool:
        """Whether every training row holds exactly one document."""
        return all(len(row) == 1 for row in self.members)


def pair_rows(data: TrainingData, seed: int) -> Examples:
    """Make a training row for each query and relevant document, in the records' order; `seed` is not used."""
    del seed
    query, task = data.query, data.task
    unused = np.setdiff1d(query[task.in_part("train")], query[task.pairs])
    return replace(_rows_of_one(data, task.pairs), unused=len(unused))


def judged_rows(data: TrainingData, seed: int) -> Examples:
    """Make a training row for each record of the training split, of any grade, in order; `seed` is not used."""
    del seed
    return _rows_of_one(data, np.flatnonzero(data.task.in_part("train")))


def contrast_rows(data: TrainingData, seed: int) -> Examples:
    """Make a training row for each document with a high grade, with a document of a low grade as its negative.

    High means a gain of at least three quarters of the lowest relevant gain, low a gain below half of that. Documents
    in between are right for some people, and did harm as negatives (docs/ablations.md). A query's negatives are
    shuffled by the seed and used in turn by the query's rows; rows of a query without negatives have one document. Rows
    are in the order of their queries.
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
    """Whether a gain is high enough for a document to be worth finding: three quarters of the lowest relevant gain."""
    return 4 * gain >= 3 * relevant_from


def clearly_not(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
    """Whether a document was judged for the query, with a gain below half of the lowest relevant gain."""
    return (gain > UNJUDGED) & (2 * gain < relevant_from)


def with_negatives(examples: Examples, mined: Mapping[int, Sequence[int]], count: int) -> Examples:
    """Add to each training row the first `count` hard negatives that were mined for the row's query."""
    rows = zip(examples.query.tolist(), examples.members, strict=True)
    return replace(examples, members=[[*row, *mined.get(query, ())[:count]] for query, row in rows])


def group_by_query(query: NDArray[np.int64], document: NDArray[np.int64]) -> dict[int, list[int]]:
    """Group documents by query; both are arrays with an entry for each of n pairs, whose order is kept."""
    documents: dict[int, list[int]] = {}
    for owner, number in zip(query.tolist(), document.tolist(), strict=True):
        documents.setdefault(owner, []).append(number)
    return documents


def _rows_of_one(data: TrainingData, rows: NDArray[np.int64]) -> Examples:
    """Make a training row of one query and one document for each of the given records."""
    records, zero = data.records, data.grades.zero
    members = [[document] for document in data.texts.number[records.document[rows]].tolist()]
    highest = int(gains(records.grade, zero).max())
    return Examples(data.query[rows], members, _collect_judgements(data), max(highest, 1))


def _collect_judgements(data: TrainingData) -> Judgements:
    """Collect the training split's judgements; if several copies of a document were judged, the highest gain counts."""
    records, task, texts, zero = data.records, data.task, data.texts, data.grades.zero
    rows = np.flatnonzero(task.in_part("train"))
    query, document = data.query[rows], texts.number[records.document[rows]]
    gain = gains(records.grade[rows], zero)
    order = np.lexsort((-gain, document, query))
    best = order[np.unique(np.stack([query[order], document[order]]), axis=1, return_index=True)[1]]
    # `published` trains above the threshold only, the other protocols from the threshold on
    relevant_from = int(gains(records.grade[task.pairs], zero).min())
    shape = len(texts.queries), len(texts.documents)
    return Judgements(query[best], document[best], gain[best], shape, relevant_from)
