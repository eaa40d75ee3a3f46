"""What is said where a library is not installed.

Oracles: the extras of pyproject.toml and the libraries that the environment says they bring; the imports in the
package's own code; a library that is taken away.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from tables import rows, write_csv

import nestvec
from nestvec.extras import LIBRARIES, require_extras

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BY_HAND = {  # libraries that come with those that are named, and modules of which several distributions have parts
    "huggingface_hub": "transformers",
    "markupsafe": "jinja2",
    "pydantic": "fastapi",
    "pydantic_core": "fastapi",
    "sqlalchemy": "optuna",
    "starlette": "fastapi",
    "tokenizers": "transformers",
}


def name_of(requirement):
    """The distribution that a requirement names, as `packages_distributions` spells it."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


DISTRIBUTIONS = {module: {name_of(name) for name in names} for module, names in packages_distributions().items()}
EXTRAS = {extra: {name_of(entry) for entry in PROJECT["optional-dependencies"][extra]} for extra in LIBRARIES}
BASE = {name_of(entry) for entry in PROJECT["dependencies"]}


def imported(path):
    """The outside modules that a file imports, wherever in it, but for the eyes of a type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


IMPORTED = {name for path in (ROOT / "src").rglob("*.py") for name in imported(path)} - set(sys.stdlib_module_names)


@pytest.mark.parametrize(("extra", "library"), [(extra, name) for extra in LIBRARIES for name in LIBRARIES[extra]])
def test_an_extra_brings_the_libraries_that_are_said_to_come_with_it(extra, library):
    assert EXTRAS[extra] & (DISTRIBUTIONS[library] | {BY_HAND.get(library)})


def test_what_is_imported_comes_with_the_base_or_an_extra():
    known = {library for libraries in LIBRARIES.values() for library in libraries}
    unknown = IMPORTED - known - {"nestvec"}
    assert {module for module in unknown if not DISTRIBUTIONS.get(module, {module}) & BASE} == set()


def take_away(monkeypatch, *libraries):
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)


def test_all_that_is_missing_is_named_at_once(monkeypatch):
    take_away(monkeypatch, "bm25s", "jinja2")
    with pytest.raises(nestvec.MissingExtraError) as error:
        require_extras("train", "evaluate", "report")
    told = "bm25s is not installed; this needs the extras evaluate and report: pip install 'nestvec[evaluate,report]'"
    assert str(error.value) == told


def test_a_run_says_so_before_it_reads_anything(monkeypatch, tmp_path):
    take_away(monkeypatch, "matplotlib")
    with pytest.raises(nestvec.MissingExtraError, match=r"matplotlib is not installed; .*'nestvec\[report\]'"):
        nestvec.run("there is no such file", tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def fail_to_import(monkeypatch, module):
    def compare(*_):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("nestvec.pipeline.comparing.compare", compare)


def test_an_import_that_fails_halfway_is_named_too(monkeypatch, typed):
    take_away(monkeypatch, "torch")
    fail_to_import(monkeypatch, "torch.nn")
    code, _, told = typed("compare", "a", "b")
    assert code == 2
    assert told == "nestvec: torch is not installed; this needs the extra train: pip install 'nestvec[train]'\n"


@pytest.mark.parametrize("module", ["elsewhere", "matplotlib.elsewhere"])
def test_a_module_that_no_extra_brings_is_a_fault(monkeypatch, typed, module):
    fail_to_import(monkeypatch, module)
    with pytest.raises(ModuleNotFoundError):
        typed("compare", "a", "b")


def test_without_a_tokenizer_a_check_says_what_is_not_counted(monkeypatch, tmp_path):
    take_away(monkeypatch, "tokenizers")
    checked = nestvec.check(str(write_csv(tmp_path / "judged.csv", rows())), tmp_path, progress=False)
    assert checked.facts["tokens"] is None
    assert checked.warnings[-1].endswith(
        "tokenizers is not installed; this needs the extra train: pip install 'nestvec[train]'."
    )
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "Text lengths" not in page and "tokenizers is not installed" in page
