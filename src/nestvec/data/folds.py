"""Cross-validation: k splits instead of one, so that every query is held out once; for small data.

A query's fold, and whether it is for choosing (validation) or for reporting (test), depend only on the hash of its
normalised text and the seed, as with a single split. Each fold's training sees the queries of the other folds, without
documents that are judged for the fold's own queries. A tenth of these training queries, with their documents, is kept
for validation during training, so that the held-out queries do not influence which training step is kept.

Every query is measured with the model that has not seen it. The exported model is trained once more, on all queries.
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

CHOOSING = 0.5  # share of each fold's queries for choosing; the rest is for reporting
WATCHING = 0.1  # share of the training queries that are kept for validation during training
FEWEST = 10  # least number of queries per fold, on average


@dataclass(frozen=True)
class FoldedSplit:
    """For each of n records, its part (such as train or test) in the measurement and in every training.

    Attributes:
        measured: (n,) `validation` or `test`: every query is held out in one fold, and measured there.
        folds: for each fold, (n,) parts: the fold holds out `test`, and uses `validation` during training.
        last: (n,) parts for the training of the exported model, which holds nothing out for measuring.
    """

    measured: NDArray[np.int8]
    folds: tuple[NDArray[np.int8], ...]
    last: NDArray[np.int8]


def split_folds(records: Records, folds: int, protocol: str, seed: int) -> FoldedSplit:
    """Assign every record to a part in every fold.

    Args:
        records: n records.
        folds: the number of folds, 2 or more.
        protocol: `leak-free`, or `by-query`, which withholds no documents.
        seed: decides which fold a query is in.

    Returns:
        The part of each record, for the measurement and for every training.

    Raises:
        InputError: the protocol is `published`, the source has its own split, or there are too few queries.
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
    """Make the task that measures every query; it contains one task for each fold and one for the last training.

    Args:
        records: n records.
        grades: the records' histogram and threshold.
        split: the records' parts in the measurement and in every training.

    Returns:
        The task: its queries are for `validation` or `test`, and its training pairs are those of the last training.

    Raises:
        InputError: a training or a part has no relevant record.
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
