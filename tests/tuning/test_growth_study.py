"""Oracles: how many trainings a study of several systems must make, and a run's own measure of the pretrained model."""

from __future__ import annotations

from itertools import chain

import pytest

import nestvec

pytestmark = pytest.mark.slow  # a study of nine trainings


@pytest.fixture(scope="module")
def grown(tmp_path_factory, judged, quick):
    out = tmp_path_factory.mktemp("grown") / "study"
    return nestvec.tune(judged, out, search="data-size", repeats=2, systems="mnr,adapted", **quick)


def test_a_system_without_judgements_is_trained_at_full_size_only(grown):
    systems = [trial["params"]["system"] for trial in grown.facts["trials"]]
    assert (systems.count("mnr"), systems.count("adapted")) == (8, 2)
    assert {trial["params"]["share"] for trial in grown.facts["trials"] if trial["params"]["system"] == "adapted"} == {
        1
    }
    assert all(trial["state"] == "complete" for trial in grown.facts["trials"])


def test_curves_hold_what_the_trials_reached(grown):
    curves = {(curve["system"], curve["leg"]): curve for curve in grown.facts["curves"]}
    assert set(curves) == {(system, leg) for system in ("mnr", "adapted") for leg in ("alone", "fused")}
    for (system, leg), curve in curves.items():
        own = [trial for trial in grown.facts["trials"] if trial["params"]["system"] == system]
        key = "value" if leg == "alone" else "fused"
        assert sorted(chain(*curve["values"])) == sorted(trial[key] for trial in own)
    assert grown.facts["growth"] == curves["mnr", "alone"]["growth"]


def test_the_verdict_tells_both_legs(grown):
    assert grown.verdict.startswith("mnr: Twice the judged queries")
    assert "Beside keyword search: " in grown.verdict
    page = (grown.folder / "report.html").read_text()
    assert "pretrained beside keyword search" in page and (grown.folder / "figures" / "systems.svg").exists()
    assert grown.facts["reference"]["fused"] is not None
