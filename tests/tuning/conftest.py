"""A tiny model, a table of 60 queries, and a study of it that several test modules look at."""

from __future__ import annotations

import pytest
from studies import QUICK, SPACE
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.tuning import study_result
from nestvec.tuning.improvement import Improvement


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return str(save_tiny_mpnet(tmp_path_factory.mktemp("tuned") / "mpnet", dropout=0.1))


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    return str(write_csv(tmp_path_factory.mktemp("judged") / "judged.csv", rows()))


@pytest.fixture(scope="session")
def quick(tiny):
    """Settings that make a trial a matter of a second."""
    return {**QUICK, "model": tiny}


@pytest.fixture(scope="session")
def studied(tmp_path_factory, judged, quick):
    """A finished study of six trials, of which those at an absurd learning rate must fail."""
    out = tmp_path_factory.mktemp("studied") / "study"
    return nestvec.tune(judged, out, search="tpe", trials=6, space=SPACE, **quick)


@pytest.fixture
def without_runs(monkeypatch, studied):
    """Studies end with the two runs of the finished one, and with its gain, in place of their own."""
    gain = Improvement(studied.facts["gain"], studied.facts["seen"])
    link = lambda _, root, __: root.symlink_to(studied.folder / root.name)  # noqa: E731
    monkeypatch.setattr(study_result, "run_settings", link)
    monkeypatch.setattr(study_result, "measure_improvement", lambda *_: gain)
