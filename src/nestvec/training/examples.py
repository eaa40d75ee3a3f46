"""What a system is trained on: rows of one query and some of its documents, all from the training split.

`pairs` has a row per relevant record, `judged` one per record with its grade, and `contrasts` one per record judged
well with a document that was judged low. Whatever the rows, every judgement of the training split can be looked up, so
that no document serves as a negative for a query that it is known to answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.grades import gains
from nestvec.data.split import same_text
from nestvec.evaluation.metrics import UNJUDGED, Judgements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task


@dataclass(frozen=True)
class Texts:
    """q queries and d documents; documents alike once normalised are one, so that none is its own twin's negative.

    Attributes:
        queries: q texts, those of the records.
        documents: d texts.
        number: which of them each document of the records is.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, records: Records) -> Texts:
        """All texts of the records, whatever their split."""
        number = same_text(records.documents)
        first = np.unique(number, return_index=True)[1]
        return cls(records.queries, [records.documents[row] for row in first], number)

    def __iter__(self) -> Iterator[str]:
        """The queries, then the documents: the order in which they are tokenised."""
        yield from self.queries
        yield from self.documents


@dataclass(frozen=True)
class Examples:
    """r rows of a query and its documents, as numbers of `Texts`.

    Attributes:
        query: (r,) the query of each row.
        members: r rows of documents, each at least one.
        judgements: the training split's gains by query and document.
        highest: the highest gain there is, at least 1.
        unused: training queries that no document answers; they have no row.
    """

    query: NDArray[np.int64]
    members: Sequence[Sequence[int]]
    judgements: Judgements
    highest: int
    unused: int = 0

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.query)

    @property
    def single(self) -> bool:
        """Whether every row holds one document."""
        return all(len(row) == 1 for row in self.members)


def pairs(records: Records, grades: Grades, task: Task, texts: Texts, seed: int) -> Examples:
    """A row per training pair: the query and one relevant document.

    Args:
        records: n judged records.
        grades: tell the lowest one.
        task: which records are training pairs.
        texts: of the records.
        seed: not used; there is nothing to draw.

    Returns:
        As many rows as the task has pairs, in the records' order.
    """
    del seed
    unused = np.setdiff1d(records.query[task.in_part("train")], records.query[task.pairs])
    return replace(_single(records, grades, task, texts, task.pairs), unused=len(unused))


def judged(records: Records, grades: Grades, task: Task, texts: Texts, seed: int) -> Examples:
    """A row per record of the training split, whatever its grade.

    Args:
        records: n judged records.
        grades: tell the lowest one.
        task: which records belong to the training split.
        texts: of the records.
        seed: not used; there is nothing to draw.

    Returns:
        As many rows as the training split has records, in their order.
    """
    del seed
    return _single(records, grades, task, texts, np.flatnonzero(task.in_part("train")))


def contrasts(records: Records, grades: Grades, task: Task, texts: Texts, seed: int) -> Examples:
    """A row per document worth finding: its query, the document, and one that was judged clearly not to answer.

    See `worth_finding` and `clearly_not`; what lies between is near enough to be right for someone, and as a negative
    it did harm (docs/training.md). A query's clear negatives are dealt out to its rows in a seeded order; one without
    any has rows of one document.

    Args:
        records: n judged records.
        grades: tell the lowest one.
        task: which records belong to the training split.
        texts: of the records.
        seed: decides which negative meets which relevant document.

    Returns:
        As many rows as there are documents worth finding, by query.
    """
    known = _judgements(records, grades, task, texts)
    (query, document), gain = np.divmod(known.keys, len(texts.documents)), known.values
    shuffled = np.random.default_rng(seed).permutation(len(query))
    clear = shuffled[clearly_not(gain[shuffled], known.relevant_from)]
    negatives = by_query(query[clear], document[clear])
    found = worth_finding(gain, known.relevant_from)
    owners, seen, members = query[found].tolist(), dict[int, int](), []
    for owner, held in zip(owners, document[found].tolist(), strict=True):
        dealt, seen[owner] = seen.get(owner, 0), seen.get(owner, 0) + 1
        others = negatives.get(owner, [])
        members.append([held, others[dealt % len(others)]] if others else [held])
    unused = len(np.unique(query)) - len(np.unique(owners))
    return Examples(np.array(owners, dtype=np.int64), members, known, int(gain.max()), unused)


def worth_finding(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
    """Whether a document reaches three quarters of what makes one relevant: the relevant, and those just below."""
    return 4 * gain >= 3 * relevant_from


def clearly_not(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
    """Whether a judged document lies nearer to the lowest grade than to the lowest relevant one."""
    return (gain > UNJUDGED) & (2 * gain < relevant_from)


def with_negatives(examples: Examples, mined: Mapping[int, Sequence[int]], count: int) -> Examples:
    """The same rows with mined negatives at their ends.

    Args:
        examples: r rows.
        mined: documents per query that nobody judged for it, hardest first.
        count: how many of them each row takes at most.

    Returns:
        r rows.
    """
    rows = zip(examples.query.tolist(), examples.members, strict=True)
    return replace(examples, members=[[*row, *mined.get(query, ())[:count]] for query, row in rows])


def by_query(query: NDArray[np.int64], document: NDArray[np.int64]) -> dict[int, list[int]]:
    """The documents of each query in their order; (n,) queries and their documents in."""
    found: dict[int, list[int]] = {}
    for asked, held in zip(query.tolist(), document.tolist(), strict=True):
        found.setdefault(asked, []).append(held)
    return found


def _single(records: Records, grades: Grades, task: Task, texts: Texts, rows: NDArray[np.int64]) -> Examples:
    """A row per record."""
    members = [[document] for document in texts.number[records.document[rows]].tolist()]
    highest = int(gains(records.grade, grades.lowest).max())
    return Examples(records.query[rows], members, _judgements(records, grades, task, texts), max(highest, 1))


def _judgements(records: Records, grades: Grades, task: Task, texts: Texts) -> Judgements:
    """The training split's judgements, never those of another split; the highest gain where twins were judged."""
    rows = np.flatnonzero(task.in_part("train"))
    query, document = records.query[rows], texts.number[records.document[rows]]
    gain = gains(records.grade[rows], grades.lowest)
    order = np.lexsort((-gain, document, query))
    kept = order[np.unique(np.stack([query[order], document[order]]), axis=1, return_index=True)[1]]
    # protocols differ in whether a grade at the threshold itself is trained on
    relevant_from = int(gains(records.grade[task.pairs], grades.lowest).min())
    return Judgements(
        query[kept], document[kept], gain[kept], (len(texts.queries), len(texts.documents)), relevant_from
    )
