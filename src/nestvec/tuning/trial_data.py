"""The data of a tuning trial: the input without the test split, or with only a share of the training queries.

Trials must not see the test split: if settings were chosen by test results, those results would prove nothing.
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


def hide_test_split(prepared: Prepared) -> Prepared:
    """Remove the judgements and the query texts of the test split from the input.

    Queries and documents keep their numbers and all documents stay, so that a training gives the same weights as on
    the whole input, bit for bit. Raises InputError if there is no validation query.
    """
    task, records = prepared.task, prepared.records
    if not (task.splits == "validation").any():
        raise InputError("the validation split has no queries", "another --protocol, or more judged queries")
    visible_rows = np.flatnonzero(task.parts != TEST)
    new_row = np.cumsum(task.parts != TEST) - 1  # by old row
    has_row = np.zeros(len(records.queries), dtype=bool)
    has_row[records.query[visible_rows]] = True
    topics = np.flatnonzero(task.splits != "test")
    visible = replace(
        records,
        queries=tuple(text if shown else "" for text, shown in zip(records.queries, has_row, strict=True)),
        query=records.query[visible_rows],
        document=records.document[visible_rows],
        grade=records.grade[visible_rows],
        labels=None if records.labels is None else tuple(records.labels[row] for row in visible_rows),
        findings=(),
        rejected=(),
    )
    return replace(
        prepared,
        records=visible,
        task=replace(task.ask_only(topics), parts=task.parts[visible_rows], pairs=new_row[task.pairs]),
    )


def take_query_share(records: Records, task: Task, share: float, seed: int) -> tuple[Task, int]:
    """Keep a share of the training queries; with the same seed, a smaller share is a part of a larger share.

    Args:
        records: n judged records.
        task: the split of the records.
        share: share of the training queries, above 0, up to 1.
        seed: decides the order in which queries are taken.

    Returns:
        The task, with the records of all other training queries marked unused, and the number of kept queries.

    Raises:
        InputError: no kept query has a relevant document.
    """
    queries = np.unique(records.query[task.in_part("train")])
    order = np.random.default_rng(seed).permutation(queries)
    chosen = order[: max(1, round(share * len(queries)))]
    left_out = (task.parts == TRAIN) & ~np.isin(records.query, chosen)
    pairs = task.pairs[np.isin(records.query[task.pairs], chosen)]
    if len(pairs) == 0:
        raise InputError(
            f"no query in a sample of {share:.0%} of the training queries has a relevant document",
            "more judged queries",
        )
    return replace(task, parts=np.where(left_out, np.int8(UNUSED), task.parts), pairs=pairs), len(chosen)
