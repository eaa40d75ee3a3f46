"""A finished run with real weights on a small table, made once; nothing is trained, so nothing ships."""

from __future__ import annotations

import shutil

import pytest
from tables import rows, write_csv

import nestvec


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    source = write_csv(folder / "judged.csv", rows(queries=80))
    options = {
        "epochs": 0,
        "dimensions": "96,48",
        "precisions": "int8,binary",
        "resamples": 100,
        "test": 0.4,
        "seed": 7,
    }
    return nestvec.run(str(source), folder / "run", **options).folder.root


@pytest.fixture
def run(measured, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(measured, tmp_path / "run")
    return tmp_path / "run"
