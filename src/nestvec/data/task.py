"""Turns split records into a task: pairs to train on, queries to measure, a catalogue to search, and judgements.

Each validation or test query is searched once, and measured with all its judgements in that split. Under the published
protocol each relevant test record is a query of its own with one relevant document, and the catalogue holds the test
records' documents and 200 distractors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.grades import describe_threshold, gains
from nestvec.data.self_retrieval import find_own_documents
from nestvec.data.split import HELD_OUT, PARTS, PUBLISHED_SEED, SPLITS, TEST, TRAIN, VALIDATION
from nestvec.errors import InputError
from nestvec.settings import SplitSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records

DISTRACTORS = 200
_MORE_RELEVANT = "more judged queries, another --threshold, or other shares for --validation and --test"
_NO_PAIRS = f"{_MORE_RELEVANT}; --systems adapted trains without judgements"


@dataclass(frozen=True)
class Task:
    """The training pairs and the measured queries (topics): n records of e documents, q topics, d catalogue documents.

    Attributes:
        parts: (n,) the part of each record, an index into `split.PARTS`.
        pairs: (p,) records to train on.
        texts: q query texts.
        ids: q query ids.
        splits: (q,) `validation` or `test`.
        catalogue: (d,) rows of the records' documents.
        topic: (m,) the topic of each judgement.
        document: (m,) the row of its document in `catalogue`.
        gain: (m,) its gain, in thousandths of a grade above `Grades.zero`, at least 0.
        relevant_from: gain from which a document is relevant.
        unanswerable: per split, the number of held-out queries without a relevant document; they are not measured.
        held_out_documents: (e,) mask of the records' documents that belong to a held-out query, or have the same text
            as such a document.
        own: (q,) the row in `catalogue` of the document that is the query itself, -1 if the query is no document; None
            if no query is a document.
        split: the split's settings, with the shares that were chosen.
        training: the task to train on instead of this one; None trains on this task.
        folds: with folds, one task per fold; its topics are the topics of this task that the fold holds out.
        asked: (q,) in the task of a fold, the rows that its topics have in the task of all folds; else None.
    """

    parts: NDArray[np.int8]
    pairs: NDArray[np.int64]
    texts: Sequence[str]
    ids: Sequence[str]
    splits: NDArray[np.str_]
    catalogue: NDArray[np.int64]
    topic: NDArray[np.int64]
    document: NDArray[np.int64]
    gain: NDArray[np.int64]
    relevant_from: int
    unanswerable: dict[str, int]
    held_out_documents: NDArray[np.bool_]
    own: NDArray[np.int64] | None = None
    split: SplitSettings = field(default_factory=SplitSettings)
    training: Task | None = None
    folds: tuple[Task, ...] = ()
    asked: NDArray[np.int64] | None = None

    @property
    def learning(self) -> Task:
        """The task that is used for training and for validation during training."""
        return self.training or self

    @property
    def fold(self) -> NDArray[np.int64] | None:
        """The number of the fold that measures each query (topic), counted from 1; None without folds."""
        if not self.folds:
            return None
        fold = np.zeros(len(self.ids), dtype=np.int64)
        for number, task in enumerate(self.folds, 1):
            fold[task.asked] = number
        return fold

    def ask_only(self, topics: NDArray[np.int64]) -> Task:
        """Return a copy of the task with only the queries (topics) at the given rows, which must be ascending."""
        judged = np.isin(self.topic, topics)
        return replace(
            self,
            texts=[self.texts[row] for row in topics.tolist()],
            ids=[self.ids[row] for row in topics.tolist()],
            splits=self.splits[topics],
            topic=np.searchsorted(topics, self.topic[judged]),
            document=self.document[judged],
            gain=self.gain[judged],
            own=None if self.own is None else self.own[topics],
        )

    def in_part(self, part: str) -> NDArray[np.bool_]:
        """Mark the records of one part, such as train or withheld (see `split.PARTS`)."""
        mask: NDArray[np.bool_] = self.parts == PARTS.index(part)
        return mask

    @property
    def labels(self) -> NDArray[np.str_]:
        """(n,) the name of each record's part; takes 40 bytes per record."""
        names: NDArray[np.str_] = np.array(PARTS)[self.parts]
        return names


def make_task(
    records: Records, grades: Grades, parts: NDArray[np.int8], protocol: str, needed: Sequence[str] | None = None
) -> Task:
    """Make the task from split records.

    Args:
        records: n records.
        grades: the records' histogram and threshold.
        parts: (n,) the part of each record.
        protocol: `published` measures by record and trains on grades above the threshold; the other protocols measure
            by query and train on grades of at least the threshold.
        needed: parts that must hold a relevant record; None means all parts of the protocol.

    Returns:
        The task.

    Raises:
        InputError: a needed part has no relevant record.
    """
    by_record = protocol == "published"
    relevant = records.grade >= grades.threshold
    part_of_listed = grades.threshold > grades.levels[0]  # else all that is listed is relevant
    trainable = records.grade > grades.threshold if by_record and part_of_listed else relevant
    if needed is None:
        needed = ("train", "test") if by_record else SPLITS
    for name in needed:
        if not (relevant & (parts == PARTS.index(name))).any():
            problem = f"the {name} split holds no relevant record"
            wanted = _NO_PAIRS if name == "train" else _MORE_RELEVANT
            raise InputError(f"{problem}; {describe_threshold(grades)}", wanted)
    own = find_own_documents(records.query_ids, records.queries, records.document_ids, records.documents)
    other = own[records.query] != records.document  # not the query itself
    pairs = np.flatnonzero((parts == TRAIN) & trainable & other)
    if len(pairs) == 0 and "train" in needed:
        problem = f"the training split holds no record above the threshold; {describe_threshold(grades)}"
        raise InputError(problem, _NO_PAIRS)
    if by_record:
        return _ask_records(records, grades, parts, pairs, own)
    return _ask_queries(records, grades, parts, pairs, own)


def find_held_out_documents(records: Records, parts: NDArray[np.int8], own: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find the documents that belong to a validation or test query: judged for the query, or the query itself.

    Args:
        records: n records over q queries and e documents.
        parts: (n,) the part of each record.
        own: (q,) the document that is the query itself, -1 for none.

    Returns:
        (e,) mask of these documents, and of documents with the same normalised text.
    """
    held_out = (parts == VALIDATION) | (parts == TEST)
    itself = own[np.unique(records.query[held_out])]
    rows = np.concatenate([records.document[held_out], itself[itself >= 0]])
    number = records.normalised_documents
    return np.isin(number, number[rows])


def _ask_queries(
    records: Records, grades: Grades, parts: NDArray[np.int8], pairs: NDArray[np.int64], own: NDArray[np.int64]
) -> Task:
    """Make the task that measures every held-out query; rankings leave out a document that is the query itself."""
    gain = gains(records.grade, grades.zero)
    held_out = ((parts == VALIDATION) | (parts == TEST)) & (own[records.query] != records.document)
    key = np.where(held_out, (parts.astype(np.int64) - VALIDATION) * len(records.queries) + records.query, -1)
    asked = np.unique(key[key >= 0])
    answerable = np.unique(key[(key >= 0) & (records.grade >= grades.threshold)])
    rows = np.flatnonzero(np.isin(key, answerable))
    query, split = answerable % len(records.queries), np.array(HELD_OUT)[answerable // len(records.queries)]
    order = np.argsort(query, kind="stable")  # in the records' order, whatever the split
    topic = np.empty(len(order), dtype=np.int64)
    topic[order] = np.arange(len(order))
    lost = np.array(HELD_OUT)[np.setdiff1d(asked, answerable) // len(records.queries)]
    return Task(
        parts=parts,
        pairs=pairs,
        texts=[records.queries[row] for row in query[order]],
        ids=[records.query_ids[row] for row in query[order]],
        splits=split[order],
        catalogue=np.arange(len(records.documents)),
        topic=topic[np.searchsorted(answerable, key[rows])],
        document=records.document[rows],
        gain=gain[rows],
        relevant_from=grades.relevant_from,
        unanswerable={name: int((lost == name).sum()) for name in HELD_OUT},
        held_out_documents=find_held_out_documents(records, parts, own),
        own=own[query[order]] if (own[query] >= 0).any() else None,
    )


@dataclass(frozen=True)
class TrainingQueries:
    """Queries of the training split with their judgements, used for fitting and never reported.

    Attributes:
        texts: q query texts.
        topic: (m,) the query of each judgement.
        document: (m,) the row of its document in the task's catalogue.
        gain: (m,) its gain, in thousandths of a grade, as in `Task.gain`.
        own: (q,) the row in the catalogue of the document that is the query itself, -1 if the query is no document;
            None if no query is a document.
    """

    texts: Sequence[str]
    topic: NDArray[np.int64]
    document: NDArray[np.int64]
    gain: NDArray[np.int64]
    own: NDArray[np.int64] | None = None


def ask_training_queries(records: Records, grades: Grades, task: Task, most: int, seed: int) -> TrainingQueries:
    """Collect queries of the training split that can be searched in the task's catalogue.

    Args:
        records: n records.
        grades: the records' histogram and threshold.
        task: the task of these records.
        most: the largest number of queries; more are sampled at random.
        seed: seed of the sample.

    Returns:
        Queries with a relevant document in the catalogue, with their judgements of the training split only.
    """
    places = np.full(len(records.documents), -1)
    places[task.catalogue] = np.arange(len(task.catalogue))
    own = find_own_documents(records.query_ids, records.queries, records.document_ids, records.documents)
    known = task.in_part("train") & (places[records.document] >= 0) & (own[records.query] != records.document)
    answerable = np.unique(records.query[known & (records.grade >= grades.threshold)])
    drawn = np.sort(np.random.default_rng(seed).permutation(answerable)[:most])
    rows = np.flatnonzero(known & np.isin(records.query, drawn))
    itself = np.where(own[drawn] >= 0, places[own[drawn]], -1)
    return TrainingQueries(
        texts=[records.queries[row] for row in drawn],
        topic=np.searchsorted(drawn, records.query[rows]),
        document=places[records.document[rows]],
        gain=gains(records.grade, grades.zero)[rows],
        own=itself if (itself >= 0).any() else None,
    )


def _ask_records(
    records: Records, grades: Grades, parts: NDArray[np.int8], pairs: NDArray[np.int64], own: NDArray[np.int64]
) -> Task:
    """Make the published protocol's task: every relevant test record is a query of its own."""
    test = parts == TEST
    rows = np.flatnonzero(test & (records.grade >= grades.threshold))
    judged = np.unique(records.document[test])
    others = np.setdiff1d(np.arange(len(records.documents)), judged)
    drawn = np.random.default_rng(PUBLISHED_SEED).permutation(others)[:DISTRACTORS]
    catalogue = np.concatenate([judged, np.sort(drawn)])
    return Task(
        parts=parts,
        pairs=pairs,
        texts=[records.queries[row] for row in records.query[rows]],
        ids=[f"r{row}" for row in rows],
        splits=np.full(len(rows), "test", dtype="<U10"),
        catalogue=catalogue,
        topic=np.arange(len(rows)),
        document=np.searchsorted(judged, records.document[rows]),
        gain=gains(records.grade, grades.zero)[rows],
        relevant_from=grades.relevant_from,
        unanswerable=dict.fromkeys(HELD_OUT, 0),
        held_out_documents=find_held_out_documents(records, parts, own),
    )
