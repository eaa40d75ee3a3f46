"""What a trial may see: everything but the test split, which is not hidden from it but not there.

A study that looked at test, however little, would choose by it, and its claim on test would be worth nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.split import TEST, TRAIN, UNUSED
from nestvec.errors import InputError

if TYPE_CHECKING:
    from nestvec.data.records import Records
    from nestvec.data.task import Task
    from nestvec.pipeline.inputs import Prepared


def blind(prepared: Prepared) -> Prepared:
    """The input without the test split: neither its judgements nor its queries' texts.

    Queries and documents keep their numbers and all documents stay, so that a training is the same, bit for bit, as one
    with everything.

    Args:
        prepared: a run's whole input.

    Returns:
        A trial's.

    Raises:
        InputError: the split holds nothing to choose on.
    """
    task, records = prepared.task, prepared.records
    if not (task.splits == "validation").any():
        raise InputError("the validation split holds no query to choose by", "another --protocol, or more queries")
    kept = np.flatnonzero(task.parts != TEST)
    moved = np.cumsum(task.parts != TEST) - 1
    seen = np.zeros(len(records.queries), dtype=bool)
    seen[records.query[kept]] = True
    asked = np.flatnonzero(task.splits != "test")
    place = np.cumsum(task.splits != "test") - 1
    judged = np.isin(task.topic, asked)
    without = replace(
        records,
        queries=tuple(text if there else "" for text, there in zip(records.queries, seen, strict=True)),
        query=records.query[kept],
        document=records.document[kept],
        grade=records.grade[kept],
        labels=None if records.labels is None else tuple(records.labels[row] for row in kept),
        findings=(),
        rejected=(),
    )
    return replace(
        prepared,
        records=without,
        task=replace(
            task,
            parts=task.parts[kept],
            pairs=moved[task.pairs],
            texts=[task.texts[row] for row in asked.tolist()],
            ids=[task.ids[row] for row in asked.tolist()],
            splits=task.splits[asked],
            topic=place[task.topic[judged]],
            document=task.document[judged],
            gain=task.gain[judged],
        ),
    )


def of_queries(records: Records, task: Task, share: float, seed: int) -> tuple[Task, int]:
    """The task with a share of the training queries; smaller shares of the same seed are parts of larger ones.

    Args:
        records: n judged records.
        task: their split.
        share: above 0, up to 1.
        seed: decides the order in which queries are taken.

    Returns:
        The task, in which the records of other training queries are unused, and how many training queries it has.

    Raises:
        InputError: no query of the share has a relevant document.
    """
    queries = np.unique(records.query[task.of("train")])
    order = np.random.default_rng(seed).permutation(queries)
    chosen = order[: max(1, round(share * len(queries)))]
    left_out = (task.parts == TRAIN) & ~np.isin(records.query, chosen)
    pairs = task.pairs[np.isin(records.query[task.pairs], chosen)]
    if len(pairs) == 0:
        raise InputError(f"{share:.0%} of the training queries hold no relevant record", "more judged queries")
    return replace(task, parts=np.where(left_out, np.int8(UNUSED), task.parts), pairs=pairs), len(chosen)
