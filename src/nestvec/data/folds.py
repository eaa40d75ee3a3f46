"""K splits in place of one, so that every query is held out once: what small data are measured with.

A query's fold, and whether it is one to choose on or one to report on, follow from the hash of its normalised text and
the seed alone, as under one split. Each fold's training sees the queries of the other folds, but for documents that are
judged for the fold's own. A tenth of what it may see is kept from it, to validate on meanwhile, with its documents: the
held-out queries then have no say in which state of a training is kept.

Every query is measured by the training that has not seen it. What is handed over is trained once more, on all queries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.split import HELD_OUT, TEST, TRAIN, VALIDATION, hash_to_share, withhold
from nestvec.data.task import make_task
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task

CHOOSING = 0.5  # share of each fold's queries to choose on; the rest is reported on
WATCHING = 0.1  # share of the training queries that a training is validated on
FEWEST = 10  # queries that a fold must hold on average


@dataclass(frozen=True)
class FoldedSplit:
    """The part of each of n records in every training, and in what is measured.

    Attributes:
        measured: (n,) validation or test: every query is held out, in its own fold.
        folds: for each fold (n,) parts: `test` is what the fold holds out, `validation` what is watched meanwhile.
        last: (n,) parts of the training whose model is handed over, which holds nothing out.
    """

    measured: NDArray[np.int8]
    folds: tuple[NDArray[np.int8], ...]
    last: NDArray[np.int8]


def split_folds(records: Records, folds: int, protocol: str, seed: int) -> FoldedSplit:
    """Label every record for every fold.

    Args:
        records: n records.
        folds: how many, 2 or more.
        protocol: `leak-free`, or `by-query`, which withholds no documents.
        seed: decides which fold a query is in.

    Returns:
        The labels.

    Raises:
        InputError: the protocol or the source splits otherwise, or there are too few queries.
    """
    if protocol == "published":
        raise InputError("--folds is given with --protocol published", "--protocol leak-free or by-query")
    if records.labels is not None:
        raise InputError("--folds and --split-column are given", "one of them: each says which queries are held out")
    count = len(records.queries)
    if folds * FEWEST > count:
        wanted = f"at most {count // FEWEST}, so that a fold holds {FEWEST} queries"
        if count < 2 * FEWEST:
            wanted = f"at least {2 * FEWEST} queries for two folds"
        raise InputError(f"--folds is {folds}, and there are {count} queries", wanted)
    place = np.array([hash_to_share(text, seed) for text in records.queries]) * folds
    fold = np.floor(place).astype(np.int64)
    chosen_on, rest = np.divmod((place - fold) / CHOOSING, 1)  # further digits of the same hash
    watched = (rest < WATCHING)[records.query]
    role = np.where(chosen_on == 0, VALIDATION, TEST).astype(np.int8)[records.query]
    document = records.normalised_documents[records.document]
    kept = withhold if protocol == "leak-free" else lambda parts, _: parts
    last = np.where(watched, VALIDATION, TRAIN).astype(np.int8)
    parts = (np.where(fold[records.query] == number, TEST, last).astype(np.int8) for number in range(folds))
    return FoldedSplit(role, tuple(kept(part, document) for part in parts), kept(last, document))


def make_folded_task(records: Records, grades: Grades, split: FoldedSplit) -> Task:
    """Make the task that asks every query, with that of each fold's training and that of the last one.

    Args:
        records: n records.
        grades: their histogram and threshold.
        split: the parts of each.

    Returns:
        The task; its parts are `validation` and `test`, its pairs those of the last training.

    Raises:
        InputError: a training or a part is left without a relevant record.
    """
    last = make_task(records, grades, split.last, "leak-free", ("train", "validation"))
    whole = make_task(records, grades, split.measured, "leak-free", HELD_OUT)
    row = {name: number for number, name in enumerate(whole.ids)}
    folds = []
    for number, parts in enumerate(split.folds, 1):
        try:
            training = make_task(records, grades, parts, "leak-free")
        except InputError as error:
            raise InputError(f"in fold {number} of {len(split.folds)}, {error.problem}", error.expected) from error
        asked = np.array(
            [row[name] for name, part in zip(training.ids, training.splits, strict=True) if part == "test"]
        )
        folds.append(replace(whole.ask_only(asked), training=training, asked=asked))
    return replace(whole, pairs=last.pairs, training=last, folds=tuple(folds))
