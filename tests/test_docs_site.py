"""The documents as a site, and the notebook among them.

Oracles: mkdocs, which ends its build at a link that leads nowhere; the parser, the API and the public names that the
reference is made from; the notebook's own cells, run anew.
"""

from __future__ import annotations

import base64
import html
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import typer
from shared_runs import make_once

import nestvec
from nestvec.cli import app

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built; any warning would have ended it."""

    def build(folder):
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
        done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return make_once(tmp_path_factory, "site", build)


def shown(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.slow  # the site is built
def test_nothing_is_loaded_from_elsewhere(site):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]  # that one is made for a server's root
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|source|iframe)[^>]*\ssrc=\"?([^\" >]+)", text)
        loaded += re.findall(r"<link[^>]*\shref=\"?([^\" >]+)", text)
        assert loaded
        for target in loaded:
            assert target.startswith("data:") or (page.parent / target.partition("?")[0]).exists(), (page, target)
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow  # the site is built
def test_links_go_to_pages_and_to_the_notebook_itself(site):
    linked = {page: re.findall(r"href=\"?([^\" >]+)", page.read_text(encoding="utf-8")) for page in site.glob("*.html")}
    assert "notebook.ipynb" in linked[site / "notebook.html"]
    assert "run.html#commands" in linked[site / "index.html"]
    assert "data.html#folds-few-queries-each-held-out-once" in linked[site / "start.html"]
    assert "LICENSE.txt" in linked[site / "index.html"]


@pytest.mark.slow  # the site is built
def test_the_reference_is_whole(site):
    commands, python = shown(site / "reference" / "commands.html"), shown(site / "reference" / "python.html")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"nestvec {name}" in commands
        for param in command.params:
            assert any(option in commands for option in param.opts) or param.name.upper() in commands, param.name
    for name in nestvec.__all__:
        assert name in python or name == "__version__"
    assert "POST /v1/search" in shown(site / "reference" / "http.html")
    assert "recommendation.json" in shown(site / "reference" / "files.html")


def test_the_notebook_ends_with_a_picture():
    [*_, last] = nbformat.read(NOTEBOOK, as_version=4).cells
    [picture] = [output.data["image/png"] for output in last.outputs if "image/png" in output.get("data", {})]
    assert base64.b64decode(picture).startswith(b"\x89PNG")


@pytest.mark.slow  # it trains and measures
def test_the_notebook_runs(tmp_path):
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from run_notebook import run_notebook
    finally:
        sys.path.pop(0)
    told = nbformat.read(NOTEBOOK, as_version=4)
    again = run_notebook(NOTEBOOK, tmp_path)
    assert [cell.source for cell in again.cells] == [cell.source for cell in told.cells]
    kinds = [[output.output_type for output in cell.get("outputs", [])] for cell in (again.cells[-1], told.cells[-1])]
    assert kinds[0] == kinds[1] == ["display_data"]
