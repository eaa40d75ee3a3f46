"""Oracle: a run's folder may say which database on this machine holds its index; any other is for the user to name."""

from __future__ import annotations

import json

import pytest

from nestvec.errors import InputError
from nestvec.indexing.location import find_location
from nestvec.runs.folder import RunFolder

ELSEWHERE = "postgresql://me@db.example:5432/shop"


@pytest.fixture
def noted(tmp_path):
    """Makes a run's folder with a note."""

    def make(store):
        (tmp_path / "index").mkdir(exist_ok=True)
        (tmp_path / "index/store.json").write_text(json.dumps({"schema": 1, "name": "ours", "store": store}))
        return RunFolder(tmp_path)

    return make


@pytest.mark.parametrize(
    "store",
    [
        "embedded",
        "postgresql:///shop",
        "postgresql://me@localhost:5432/shop",
        "postgresql://127.0.0.1/shop",
        "postgresql://me@[::1]:5432/shop",
        "postgresql:///shop?host=/var/run/postgresql",
    ],
)
def test_a_note_that_stays_on_this_machine_is_followed(noted, store):
    found = find_location(noted(store))
    assert (found.store, found.name) == (store, "ours")


@pytest.mark.parametrize(
    "store",
    [
        ELSEWHERE,
        "postgresql://203.0.113.7/shop",
        "postgresql://localhost,db.example/shop",
        "postgresql://localhost.db.example/shop",
        "postgresql://127.0.0.1.db.example/shop",
        "postgresql://localhost:5432,[2001:db8::1]:5432/shop",
    ],
)
def test_a_note_that_leads_to_another_machine_is_refused_and_says_how_to_go_on(noted, store):
    with pytest.raises(InputError) as refused:
        find_location(noted(store))
    message = str(refused.value)
    assert "index/store.json: names " in message
    assert "--store URL, or NESTVEC_STORE=URL in the environment" in message


@pytest.mark.parametrize(
    "store",
    [
        "postgresql:///shop?host=db.example",
        "postgresql:///shop?hostaddr=203.0.113.7",
        "postgresql:///shop?host=/tmp&passfile=/etc/passwd",
        "postgresql://%64b.example/shop",
        "postgresql://me@db.example@localhost/shop",
        "host=db.example",
        "service=shop",
        "redis://localhost",
        "",
    ],
)
def test_a_note_that_nestvec_does_not_write_is_damage(noted, store):
    with pytest.raises(InputError, match=r"store\.json: is damaged"):
        find_location(noted(store))


def test_who_names_the_database_again_goes_there(noted, monkeypatch):
    folder = noted(ELSEWHERE)
    assert find_location(folder, ELSEWHERE).store == ELSEWHERE
    monkeypatch.setenv("NESTVEC_STORE", "postgresql://me:secret@db.example:5432/shop")
    assert find_location(folder).store == "postgresql://me:secret@db.example:5432/shop"
    assert find_location(noted("embedded")).store == "embedded"
