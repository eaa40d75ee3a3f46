"""One real run, trained from MiniLM on a small table, that all modules here look at and none changes."""

from __future__ import annotations

import pytest
from shared_runs import make_once
from tables import rows, write_csv

import nestvec

# a margin that lets a small vector through, so that codes are written; and a start that later runs must reach again
OPTIONS = {"epochs": 1, "batch_size": 16, "resamples": 500, "test": 0.3, "validation": 0.2, "seed": 7, "margin": 0.4}


@pytest.fixture(scope="session")
def options():
    """The settings of the real run."""
    return OPTIONS


@pytest.fixture(scope="session")
def real_run(tmp_path_factory):
    """The folder that holds the real run and the table that it was made of."""

    def make(folder):
        nestvec.run(str(write_csv(folder / "judged.csv", rows(queries=150))), folder / "run", **OPTIONS)

    return make_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def source(real_run):
    return real_run / "judged.csv"


@pytest.fixture(scope="session")
def finished(real_run):
    return nestvec.load_run(real_run / "run")
