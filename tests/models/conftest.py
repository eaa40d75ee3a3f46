"""The two models that every backend is tried on."""

from __future__ import annotations

import pytest
from tiny_mpnet import save_tiny_mpnet

from nestvec.models.find import find_model
from nestvec.models.load import load_model


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """MiniLM as it is installed, and a tiny MPNet: another architecture, without token types."""
    tiny = save_tiny_mpnet(tmp_path_factory.mktemp("models") / "tiny")
    return {"minilm": find_model("all-MiniLM-L6-v2"), "mpnet": find_model(str(tiny))}


@pytest.fixture(scope="session")
def models(folders):
    return {name: load_model(folder) for name, folder in folders.items()}
