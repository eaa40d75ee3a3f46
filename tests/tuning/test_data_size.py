"""Oracles: a law that the values follow exactly; simulated studies of a known law, in which intervals must hold as
often as they say, and be as wide as forecasts miss."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.errors import NestvecError
from nestvec.tuning.data_size import fit_power_law, forecast_growth, list_curves, power_law

SIZES = np.array([60.0, 125.0, 250.0, 500.0])
TWICE = np.array([1000.0])
TRUTH = (0.8, 1.2, 0.45)
STUDIES, REPEATS, NOISE = 300, 3, 0.01


def trials(values):
    """Finished trials of values (s, r)."""
    return [
        {"queries": int(size), "value": float(value)} for size, row in zip(SIZES, values, strict=True) for value in row
    ]


def test_a_law_without_noise_is_found_again():
    found = fit_power_law(SIZES, power_law(SIZES, *TRUTH), np.full(4, 3.0))
    assert found == pytest.approx(TRUTH, rel=0.02)
    facts = forecast_growth(trials(np.repeat(power_law(SIZES, *TRUTH)[:, None], 2, axis=1)), "recall@10", 1).facts
    assert facts["twice"]["value"] == pytest.approx(power_law(np.array([1000.0]), *TRUTH)[0], abs=1e-4)
    assert facts["held_back"]["value"] == pytest.approx(facts["held_back"]["reached"], abs=1e-4)


def simulate(rng):
    """A study's values (s, r) around the true law, and the mean of as many trainings at twice the queries."""
    values = np.clip(power_law(SIZES, *TRUTH)[:, None] + rng.normal(0, NOISE, (4, REPEATS)), 0, 1)
    return values, power_law(TWICE, *TRUTH)[0] + rng.normal(0, NOISE / np.sqrt(REPEATS))


def miss(values, ahead):
    """How far the curve's forecasts lie off: at twice the queries, and at the largest size from the smaller ones."""
    means, counts = values.mean(axis=1), np.full(4, float(REPEATS))
    whole, smaller = (fit_power_law(SIZES[:count], means[:count], counts[:count]) for count in (4, 3))
    return ahead - power_law(TWICE, *whole)[0], means[3] - power_law(SIZES[3:], *smaller)[0]


@pytest.fixture(scope="module")
def forecasts():
    """Low, high and what came true, of (studies, 2) forecasts: at twice the queries, and of what was held back."""
    rng, found = np.random.default_rng(5), []
    for study in range(STUDIES):
        values, ahead = simulate(rng)
        facts = forecast_growth(trials(values), "recall@10", study, draws=150).facts
        twice, back = facts["twice"], facts["held_back"]
        assert back["inside"] == (back["low"] <= back["reached"] <= back["high"])
        found.append([(twice["low"], twice["high"], ahead), (back["low"], back["high"], back["reached"])])
    return np.array(found).transpose(2, 0, 1)


def test_intervals_hold_as_often_as_they_say(forecasts):
    low, high, truth = forecasts
    slack = 2.58 * np.sqrt(0.95 * 0.05 / STUDIES)  # of a share over so many studies, 99 times of 100
    assert ((low <= truth) & (truth <= high)).mean(axis=0) == pytest.approx([0.95, 0.95], abs=slack)
    for missed in ((truth < low).mean(axis=0), (truth > high).mean(axis=0)):
        assert missed == pytest.approx([0.025, 0.025], abs=2.58 * np.sqrt(0.025 * 0.975 / STUDIES))


def test_intervals_are_as_wide_as_forecasts_miss(forecasts):
    low, high, _ = forecasts
    rng = np.random.default_rng(6)
    spread = np.std([miss(*simulate(rng)) for _ in range(2000)], axis=0)  # known to 1.6 %
    assert (high - low).mean(axis=0) / (2 * 1.96 * spread) == pytest.approx([1, 1], abs=0.08)


def test_trials_without_a_value_are_left_out_and_three_sizes_must_be_left():
    table = trials(np.repeat(power_law(SIZES, *TRUTH)[:, None], 2, axis=1))
    table[0]["value"] = table[1]["value"] = None
    assert forecast_growth(table, "recall@10", 1).facts["queries"] == [125, 250, 500]
    table[2]["value"] = table[3]["value"] = None
    with pytest.raises(NestvecError, match="trials of 2 sizes finished"):
        forecast_growth(table, "recall@10", 1)


def test_each_system_and_leg_has_a_curve_of_its_own():
    given = [{**trial, "params": {"system": "mnr"}, "fused": 0.9} for trial in trials(np.full((4, 2), 0.5))]
    given += [{"queries": 500, "value": 0.7, "fused": None, "params": {"system": "adapted"}}]
    curves = {
        (curve["system"], curve["leg"]): curve for curve in list_curves(given, ("mnr", "adapted"), "recall@10", 1)
    }
    assert set(curves) == {("mnr", "alone"), ("mnr", "fused"), ("adapted", "alone")}
    assert curves["mnr", "alone"]["means"] == [0.5] * 4 and curves["mnr", "fused"]["means"] == [0.9] * 4
    assert curves["mnr", "fused"]["growth"]["gain"]["value"] == pytest.approx(0)
    assert curves["adapted", "alone"]["queries"] == [500] and "growth" not in curves["adapted", "alone"]
