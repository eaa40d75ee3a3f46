"""Every store, and documents to put into it."""

from __future__ import annotations

from contextlib import closing
from itertools import count

import pytest
from worlds import STAGES, World

from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.postgres.store import PostgresStore

_NAMES = count()


@pytest.fixture(params=["embedded", "postgres"])
def opened(request, tmp_path):
    """Opens the store of a test, again and again the same one."""
    if request.param == "embedded":
        return lambda: closing(EmbeddedStore(tmp_path / "index"))
    url, name = request.getfixturevalue("server"), f"suite{next(_NAMES)}"
    return lambda: closing(PostgresStore(url, name))


@pytest.fixture
def store(opened):
    with opened() as held:
        yield held


@pytest.fixture(params=STAGES)
def world(request):
    return World(STAGES[request.param])


@pytest.fixture
def plain():
    """A world of one precision, for what does not depend on it."""
    return World(STAGES["int8"])
