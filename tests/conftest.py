"""Checks that several test modules read; each is made once."""

from __future__ import annotations

import sys

import pytest
from database import start_server
from tables import rows, spoilt, write_csv

import nestvec
from nestvec.cli import main


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """A check of the usual table: 60 queries, grades 3, 3, 2, 1, 1; nine queries share a document with the next one."""
    return nestvec.check(str(write_csv(tmp_path_factory.mktemp("plain") / "judged.csv", rows())))


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """A check of the spoilt table, its bad rows set aside."""
    path = write_csv(tmp_path_factory.mktemp("spoilt") / "judged.csv", spoilt())
    return nestvec.check(str(path), on_bad_row="set-aside")


@pytest.fixture(scope="session")
def server():
    """The URL of a real PostgreSQL server."""
    with start_server() as url:
        yield url


@pytest.fixture
def typed(capsys, monkeypatch):
    """Gives exit code, standard output and standard error of a command that is run in this process."""

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["nestvec", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return command
