"""How many queries become validation and test: what they need to prove the usual margin, and no more.

Judgements are worth more for measuring than for training (docs/decisions.md), so a part gets the smallest share with
which it can prove the default margin, as long as enough is left to train on. The margin and the systems of a run don't
change the shares: all runs over the same records and seed ask the same queries.
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
LEAST_TRAINED = 1 / 3  # of the queries
ENOUGH_PAIRS = 800  # fused with words, as good to train on as many times more
FOLDS = 10  # to propose: with fewer, an interval that covers the training's luck grows
LEAST_PAIRS = 1 / 3  # where there are fewer: of those that the smallest shares leave


def choose_shares(
    records: Records, relevant: NDArray[np.bool_], data: DataSettings, split: SplitSettings, seed: int
) -> SplitSettings:
    """Choose the shares of validation and test that were not given.

    Args:
        records: n records.
        relevant: (n,) which of them are relevant.
        data: as `split_records` takes it.
        split: the protocol, and the shares that were given.
        seed: decides who is held out.

    Returns:
        The split's settings with both shares.

    Raises:
        InputError: there are too few queries to split.
    """
    if records.labels is not None or split.protocol == "published":  # who is tested is settled
        return replace(split, validation=split.shares[0], test=split.shares[1])
    asked = len(np.unique(records.query[relevant]))
    systems = len(TrainingSettings.systems) + 1  # and the pretrained one
    validations = _list_rising(split.validation, VALIDATION_SHARES, asked, systems)
    tests = _list_rising(split.test, TEST_SHARES, asked, 1)  # which confirms one choice

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
    """Count the queries that are held out, and say what they can prove.

    Args:
        records: n records.
        grades: their threshold.
        task: what the split makes of them.
        settings: the metric, and how much of it may be lost.
        systems: that could be shipped, the pretrained one among them.

    Returns:
        The numbers, and how to say them.
    """
    asked = len(np.unique(records.query[records.grade >= grades.threshold]))
    parts = {name: int((task.splits == name).sum()) for name in HELD_OUT}
    held_out = describe_held_out(parts, asked, settings.recommendation, systems)
    if held_out.needed_in_all is None or records.labels is not None or task.split.protocol == "published" or task.folds:
        return held_out  # enough, or settled who is held out
    validation, test = task.split.shares
    wanted = ceil(20 * held_out.needed / asked) / 20
    is_possible = validation < wanted <= 1 - LEAST_TRAINED - test
    is_foldable = len(records.queries) >= FOLDS * FEWEST and held_out.validation < CHOOSING * asked
    return replace(held_out, validation_share=wanted if is_possible else None, folds=FOLDS if is_foldable else None)


def _list_rising(given: float | None, shares: Sequence[float], asked: int, systems: int) -> Sequence[float]:
    """The shares up to the first that holds enough queries to prove the default margin; only the given one, if any.

    Args:
        given: the share that the user wants.
        shares: to choose from, rising.
        asked: queries with a relevant document.
        systems: that share the confidence.

    Returns:
        One or more shares, rising.
    """
    if given is not None:
        return (given,)
    needed = describe_power(1, RecommendationSettings.margin, systems=systems).needed
    return shares[: 1 + sum(share * asked < needed for share in shares[:-1])]
