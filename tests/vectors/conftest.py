"""The real MiniLM, from the installed package that carries it; loaded once, never changed."""

from __future__ import annotations

import pytest

from nestvec.models.find import find_model
from nestvec.models.load import load_model


@pytest.fixture(scope="session")
def minilm_folder():
    return find_model("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    return load_model(minilm_folder)
