"""Checks that several test modules read; each is made once."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest
import torch
from database import start_server
from shared_runs import keep_graphs, make_once
from tables import rows, spoilt, write_csv
from threadpoolctl import threadpool_limits
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.cli import main
from nestvec.models.find import find_model
from nestvec.models.load import load_model


@pytest.fixture(scope="session")
def minilm_folder():
    """The real MiniLM, from the installed package that carries it."""
    return find_model("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    """The real MiniLM, loaded once, never changed."""
    return load_model(minilm_folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny MPNet: another architecture, tokenizer and width than MiniLM's."""
    return save_tiny_mpnet(tmp_path_factory.mktemp("models") / "tiny")


if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as processors: one that takes more waits for the others
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")


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
def measured(tmp_path_factory):
    """The folder of a finished run with MiniLM on a small table; nothing is trained, so nothing ships."""

    def make(folder):
        source = write_csv(folder / "judged.csv", rows(queries=80))
        options = {"epochs": 0, "dimensions": "96,48", "precisions": "int8,binary", "resamples": 100}
        nestvec.run(str(source), folder / "run", **options, test=0.4, seed=7)
        keep_graphs(folder / "run", "pretrained")

    return make_once(tmp_path_factory, "measured", make) / "run"


@pytest.fixture(scope="session")
def two_models(tmp_path_factory):
    """The folder of a finished run of MiniLM and a tiny MPNet of another width; nothing is trained."""

    def make(folder):
        source, tiny = write_csv(folder / "judged.csv", rows(queries=150)), save_tiny_mpnet(folder / "tiny")
        options = {"resamples": 300, "test": 0.3, "validation": 0.2, "seed": 7, "precisions": "int8,binary"}
        nestvec.evaluate([str(tiny)], str(source), folder / "run", **options)
        keep_graphs(folder / "run", "pretrained", "tiny")

    return make_once(tmp_path_factory, "two-models", make) / "run"


@pytest.fixture(scope="session")
def server():
    """The URL of a real PostgreSQL server."""
    with start_server() as url:
        yield url


@pytest.fixture(scope="module")
def cluster():
    """A real Ray cluster of two machines as far as Ray can tell: each has a daemon, a store and a processor."""
    ray = pytest.importorskip("ray")
    given = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from ray.cluster_utils import Cluster

        machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        machines.add_node(num_cpus=1)
        ray.init(address=machines.address, log_to_driver=False, logging_level=logging.ERROR)
        yield machines
        ray.shutdown()
        machines.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


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
