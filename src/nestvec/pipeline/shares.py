"""Choose the shares of queries for validation and test: enough to prove a loss below the default margin, and no more.

Judgements are worth more for measuring than for training (docs/decisions.md), so each part gets the smallest share that
can prove the default margin, as long as enough queries are left to train on. The shares do not depend on a run's margin
and systems, so all runs over the same records and seed have the same test queries.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.folds import CHOOSING, FEWEST
from nestvec.data.split import HELD_OUT, TRAIN, split_records
from nestvec.recommending.power import HeldOut, describe_held_out, describe_power
from nestvec.settings import LEAST_TEST, LEAST_VALIDATION, RecommendationSettings, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task
    from nestvec.settings import DataSettings, Settings, SplitSettings

VALIDATION_SHARES = (LEAST_VALIDATION, 0.15, 0.2, 0.25, 0.3, 0.35)
TEST_SHARES = (LEAST_TEST, 0.25, 0.3)
LEAST_TRAINED = 1 / 3  # share of the queries that is left to train on, at least
ENOUGH_PAIRS = 800  # training pairs to leave; more of them hardly help results that are fused with words
FOLDS = 10  # number of folds to propose; fewer widen the interval, which covers the variation between trainings
LEAST_PAIRS = 1 / 3  # for small data: share of the pairs that the smallest shares leave to training


def choose_shares(
    records: Records, relevant: NDArray[np.bool_], data: DataSettings, split: SplitSettings, seed: int
) -> SplitSettings:
    """Choose the shares of queries for validation and test, where the user gave no share.

    Args:
        records: n records.
        relevant: (n,) whether each record is relevant.
        data: the data settings, by which records are split.
        split: the protocol, and the shares that the user gave.
        seed: decides which queries are held out.

    Returns:
        The split's settings with both shares.

    Raises:
        InputError: there are too few queries to split.
    """
    if records.labels is not None or split.protocol == "published":  # these fix which records are tested
        return replace(split, validation=split.shares[0], test=split.shares[1])
    asked = len(np.unique(records.query[relevant]))
    systems = len(TrainingSettings.systems) + 1  # plus the pretrained model
    validations = _list_rising(split.validation, VALIDATION_SHARES, asked, systems)
    tests = _list_rising(split.test, TEST_SHARES, asked, 1)  # 1: the test confirms a single choice

    def count_pairs(shares: SplitSettings) -> int:
        return int((relevant & (split_records(records, data, shares, seed) == TRAIN)).sum())

    smallest = replace(split, validation=validations[0], test=tests[0])
    if len(validations) == len(tests) == 1:
        return smallest
    fewest = max(1, min(ENOUGH_PAIRS, LEAST_PAIRS * count_pairs(smallest)))
    while len(validations) + len(tests) > 2:
        shares = replace(split, validation=validations[-1], test=tests[-1])
        if sum(shares.shares) <= 1 - LEAST_TRAINED and count_pairs(shares) >= fewest:
            return shares
        validations, tests = validations[:-1] or validations, tests[:-1] or tests
    return smallest


def count_held_out(records: Records, grades: Grades, task: Task, settings: Settings, systems: int) -> HeldOut:
    """Count the validation and test queries, and say how small a difference they can prove.

    Args:
        records: n records.
        grades: the threshold of relevance.
        task: the split of the records.
        settings: the metric and the margin.
        systems: number of systems that could be recommended, including the pretrained model.

    Returns:
        The counts, with sentences that describe them.
    """
    asked = len(np.unique(records.query[records.grade >= grades.threshold]))
    parts = {name: int((task.splits == name).sum()) for name in HELD_OUT}
    held_out = describe_held_out(parts, asked, settings.recommendation, systems)
    if held_out.needed_in_all is None or records.labels is not None or task.split.protocol == "published" or task.folds:
        return held_out  # there are enough queries, or the held-out ones are fixed: no other share to propose
    validation, test = task.split.shares
    wanted = ceil(20 * held_out.needed / asked) / 20
    is_possible = validation < wanted <= 1 - LEAST_TRAINED - test
    is_foldable = len(records.queries) >= FOLDS * FEWEST and held_out.validation < CHOOSING * asked
    return replace(held_out, validation_share=wanted if is_possible else None, folds=FOLDS if is_foldable else None)


def _list_rising(given: float | None, shares: Sequence[float], asked: int, systems: int) -> Sequence[float]:
    """List shares in rising order, up to the first share with enough queries to prove the default margin.

    Args:
        given: the share that the user set, which is then listed alone; or None.
        shares: shares to choose from, in rising order.
        asked: number of queries with a relevant document.
        systems: number of systems that are tested together at a joint significance level of 5 %.

    Returns:
        One or more shares, in rising order.
    """
    if given is not None:
        return (given,)
    needed = describe_power(1, RecommendationSettings.margin, systems=systems).needed
    return shares[: 1 + sum(share * asked < needed for share in shares[:-1])]
