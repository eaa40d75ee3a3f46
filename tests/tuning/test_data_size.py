"""Oracles: a law that the values follow exactly; how often intervals hold where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.errors import NestvecError
from nestvec.tuning.data_size import fit_power_law, forecast_growth, power_law

SIZES = np.array([60.0, 125.0, 250.0, 500.0])
TRUTH = (0.8, 1.2, 0.45)


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


def test_intervals_hold_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    truth = power_law(SIZES, *TRUTH)
    ahead = power_law(np.array([1000.0]), *TRUTH)[0]
    kept, twice = 0, 0
    studies = 200
    for study in range(studies):
        noisy = np.clip(truth[:, None] + rng.normal(0, 0.01, (4, 3)), 0, 1)
        facts = forecast_growth(trials(noisy), "recall@10", study, draws=150).facts
        kept += facts["held_back"]["inside"]
        twice += facts["twice"]["low"] <= ahead <= facts["twice"]["high"]
    assert kept >= 0.85 * studies
    assert twice >= 0.85 * studies


def test_trials_without_a_value_are_left_out_and_three_sizes_must_be_left():
    table = trials(np.repeat(power_law(SIZES, *TRUTH)[:, None], 2, axis=1))
    table[0]["value"] = table[1]["value"] = None
    assert forecast_growth(table, "recall@10", 1).facts["queries"] == [125, 250, 500]
    table[2]["value"] = table[3]["value"] = None
    with pytest.raises(NestvecError, match="2 sizes came to an end"):
        forecast_growth(table, "recall@10", 1)
