"""Oracle: simulation with the bound that decides, against binomial bounds; the rule of three."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from nestvec.evaluation.significance import Bootstrap
from nestvec.recommending.power import TYPICAL_SPREAD, describe_power


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


def test_the_sentence_says_what_would_help():
    few, many = describe_power(90, 0.01), describe_power(5000, 0.01)
    assert few.sentence.startswith("90 held-out queries can prove that a smaller vector loses less than 0.0")
    assert f"takes about {few.needed:,}. Judge more queries" in few.sentence
    assert "enough for the margin of 0.01." in many.sentence
