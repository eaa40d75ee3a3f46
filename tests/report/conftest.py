"""Made-up runs with their reports, written once per session and never changed; `changed_run` is a copy to damage."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from report_broad import broaden
from report_browser import launched
from report_fixture import write_run
from report_page import BLANK, Page

from nestvec.report import write_report
from nestvec.report.content import read_content
from nestvec.report.run_page import render_run_page
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; the test is skipped where there is none."""
    yield from launched()


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of the sample that ends with a recommendation."""
    folder = write_run(tmp_path_factory.mktemp("shipped") / "run")
    write_report(Run(folder))
    return folder


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with three choices for both teams, every point measured fused as well as alone."""
    folder = write_run(tmp_path_factory.mktemp("chosen") / "run", choices=True)
    write_report(Run(folder))
    return folder


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on somebody's own data that ends with "do not ship"."""
    folder = write_run(tmp_path_factory.mktemp("stopped") / "run", ship=False, synthetic=False)
    write_report(Run(folder))
    return folder


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of four trained systems, one with a long name, that recommends `graded`."""
    trained = ("mnr", "matryoshka", "cosine-matryoshka", "graded")
    folder = write_run(tmp_path_factory.mktemp("crowded") / "run", trained=trained)
    write_report(Run(folder))
    return folder


@pytest.fixture(scope="session")
def page(shipped: RunFolder) -> Page:
    """The shipped run's page, taken apart."""
    return Page.read(shipped.path("report"))


@pytest.fixture
def changed_run(shipped: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the shipped run without its report."""
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(shipped.root, copy.root, ignore=shutil.ignore_patterns("figures", "tables", "report.html"))
    return copy


@pytest.fixture
def rendered(changed_run: RunFolder) -> Callable[[str, Callable[[dict], object]], Page]:
    """A function that edits one JSON file of the copy and gives the page without drawings."""

    def edit(name: str, change: Callable[[dict], object]) -> Page:
        path = changed_run.path(name)
        value = json.loads(path.read_text(encoding="utf-8"))
        change(value)
        path.write_text(json.dumps(value), encoding="utf-8")
        return Page.parse(render_run_page(read_content(Run(changed_run)), BLANK))

    return edit


@pytest.fixture(scope="session")
def broad(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with six precisions, two full widths, systems made of others, and all metrics."""
    folder = write_run(tmp_path_factory.mktemp("broad") / "run")
    broaden(folder)
    write_report(Run(folder))
    return folder


@pytest.fixture(scope="session")
def broad_page(broad: RunFolder) -> Page:
    """The broad run's page, taken apart."""
    return Page.read(broad.path("report"))
