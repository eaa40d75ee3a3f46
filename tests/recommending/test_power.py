"""Oracle: simulation with the bound that decides, against binomial bounds; the rule of three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from nestvec.evaluation.significance import Bootstrap
from nestvec.recommending.power import TYPICAL_SPREAD, describe_held_out, describe_power
from nestvec.settings import RecommendationSettings


@pytest.mark.parametrize("queries", [300, 800, 2000])
def test_four_in_five_samples_prove_what_is_said_to_be_provable(queries):
    """Differences of a third, as often up as down, whose spread is the typical one."""
    rng, power = np.random.default_rng(queries), describe_power(queries, 0.01, systems=1)
    moves = TYPICAL_SPREAD**2 * 9
    passed = 0
    for _ in range(60):
        differences = rng.choice([-1 / 3, 0, 1 / 3], queries, p=[moves / 2, 1 - moves, moves / 2])
        passed += Bootstrap(queries, 300, rng).lower_bound(differences) > -power.provable
    low, high = scipy.stats.binom(60, 0.8).ppf([0.001, 0.999])
    assert low <= passed <= high


def test_as_many_as_it_takes_are_enough_and_the_numbers_agree():
    power = describe_power(100, 0.02)
    assert describe_power(power.needed, 0.02).provable == pytest.approx(0.02, rel=0.01)
    assert describe_power(power.needed, 0.02).enough
    assert not power.enough
    assert describe_power(100, 0.01, spread=0.0, systems=1).needed == 300  # ln 20 / 0.01


def describe(validation, test, asked, **wishes):
    parts = {"validation": validation, "test": test}
    return describe_held_out(parts, asked, RecommendationSettings(**wishes), systems=3)


def test_too_few_are_told_what_would_help():
    few = describe(90, 180, 900)
    choosing, confirming = describe_power(90, 0.01, systems=3), describe_power(180, 0.01, systems=1)
    assert choosing.provable <= few.provable < choosing.provable + 0.001
    assert confirming.provable <= few.confirmable < confirming.provable + 0.001
    assert choosing.needed <= few.needed < choosing.needed + 10
    assert few.needed_in_all == pytest.approx(900 * choosing.needed / 90, abs=100)
    assert few.lines == [
        "Held out: 90 validation and 180 test queries with a relevant document. For a vector that loses nothing, the "
        "validation queries have 80 % power to prove a loss of less than 0.074 recall@10, and the test queries to "
        "confirm less than 0.036.",
        "The margin of 0.01 takes about 2,140 validation and 1,500 test queries; with fewer, the answer may be "
        '"undecided". What would help: more judged queries (about 21,400 in all), or --margin 0.074.',
    ]
    assert describe(90, 180, 900, margin=few.provable).needed_in_all is None, "what would help does"
    assert "--validation 0.3, or --margin" in replace(few, validation_share=0.3).lines[1]
    assert "--folds 10, which holds out every query, or --margin" in replace(few, folds=10).lines[1]


def test_enough_are_told_so():
    many = describe(2310, 1527, 7700)
    said = "The margin of 0.01 takes about 2,140 validation and 1,500 test queries: there are enough."
    assert many.lines[1] == said
    assert many.provable <= 0.01 and many.needed_in_all is None
    assert describe(2310, 500, 7700).needed_in_all == pytest.approx(7700 * 1498 / 500, abs=100), "test confirms"


def test_without_validation_test_proves_it():
    held_out = describe(0, 2327, 9000, metric="ndcg@10")
    assert (held_out.confirmable, held_out.needed_to_confirm) == (None, None)
    assert held_out.lines == [
        "Held out: 2,327 test queries with a relevant document, and none for validation. For a vector that loses "
        "nothing, the test queries have 80 % power to prove a loss of less than 0.01 ndcg@10.",
        "The margin of 0.01 takes about 2,140 test queries: there are enough.",
    ]


def test_a_margin_that_nobody_can_ask_for_is_not_proposed():
    few = describe(1, 1, 20)
    assert few.provable == 1
    assert few.lines[1].endswith("in all).") and "--margin" not in few.lines[1]
