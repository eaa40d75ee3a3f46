"""The two models that every backend is tried on."""

from __future__ import annotations

import pytest

from nestvec.models.find import find_model
from nestvec.models.load import load_model


@pytest.fixture(scope="session")
def folders(minilm_folder, tiny):
    """MiniLM as it is installed, and a tiny MPNet: another architecture, without token types."""
    return {"minilm": minilm_folder, "mpnet": find_model(str(tiny))}


@pytest.fixture(scope="session")
def models(folders):
    return {name: load_model(folder) for name, folder in folders.items()}
