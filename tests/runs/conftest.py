"""A run that a test may change."""

from __future__ import annotations

import pytest
from shared_runs import copy_run


@pytest.fixture
def run(measured, tmp_path):
    """A copy of the run that nothing was trained in."""
    return copy_run(measured, tmp_path / "run")
