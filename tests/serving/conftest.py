"""A finished run of real models on a small table, trained for one pass, made once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from page_visit import beginning, facts
from report.report_browser import launched
from running import Running, serving
from shared_runs import copy_run, keep_graphs, make_once
from tables import rows, write_csv

import nestvec
from nestvec.indexing.index import build_index
from nestvec.indexing.index_settings import Columns


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The folder of a run with pretrained, mnr, matryoshka and bm25 at three widths and precisions; never changed."""

    def make(folder):
        source = write_csv(folder / "judged.csv", rows(queries=80))
        options = {"systems": "mnr,matryoshka", "epochs": 1, "dimensions": "96,48", "precisions": "int8,binary"}
        nestvec.run(str(source), folder / "run", **options, resamples=100, test=0.4, seed=7)
        keep_graphs(folder / "run", "mnr")

    return make_once(tmp_path_factory, "shop", make) / "run"


@pytest.fixture(scope="session")
def service(shop):
    """The run, loaded."""
    from nestvec.serving.service import Service

    service = Service.open(shop)
    yield service
    service.close()


@pytest.fixture(scope="session")
def served(shop):
    """A real server of it, that every module may ask but none may stop."""
    with serving(shop) as server:
        yield server


class ServedIndex(NamedTuple):
    """A server, and the run that it serves with an index of its own documents at 48 int8."""

    server: Running
    run: Path
    goods: Path


@pytest.fixture(scope="session")
def served_index(shop, tmp_path_factory):
    """A real server of a copy of the run with an index whose documents have prices; who harms the index mends it."""
    run = copy_run(shop, tmp_path_factory.mktemp("indexed") / "run")
    goods = run.parent / "goods.csv"
    goods.write_text("id,name,price\n" + "".join(f"g{size},hammer of size {size},{size}\n" for size in range(1, 41)))
    build_index(run, system="mnr", dimension=48, precision="int8", documents=goods, columns=Columns("name")).close()
    with serving(run, "--index-seconds", 1) as server:
        yield ServedIndex(server, run, goods)


@pytest.fixture(scope="module")
def browser():
    """Chromium; the test is skipped where there is none."""
    yield from launched()


@pytest.fixture(scope="module")
def run(served):
    """What the server says of its run."""
    return facts(served)


@pytest.fixture(scope="module")
def start(served):
    """The dimension and precision that the page shows first."""
    return beginning(served)
