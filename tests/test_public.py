"""What users of the package rely on: its public names, their types, and how little importing it costs.

Oracles: the names that a type checker sees (the block under TYPE_CHECKING) and those that exist when the program runs,
which must be the same; the dataclasses of the settings; `sys.modules` of a fresh process.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import nestvec
from nestvec.pipeline.run_arguments import MeasuringSettings, RunSettings
from nestvec.settings import Settings, sections
from nestvec.tuning.tune_arguments import StudySettings
from nestvec.tuning.tune_settings import TuneSettings

PACKAGE = Path(nestvec.__file__).parent
STATED = {  # public name to the module that a type checker finds it in
    alias.name: node.module
    for block in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")))
    if isinstance(block, ast.If)
    for node in block.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def test_the_public_names_are_those_that_a_type_checker_sees():
    assert nestvec.__all__ == sorted([*STATED, "__version__"])
    assert dir(nestvec) == nestvec.__all__


@pytest.mark.parametrize("name", STATED)
def test_a_public_name_is_where_the_type_checker_finds_it(name):
    public = getattr(nestvec, name)
    assert public.__module__ == STATED[name]
    assert public.__name__ == name
    assert inspect.getdoc(public)


def test_other_names_are_no_attributes():
    assert not hasattr(nestvec, "pipelines")


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


def test_nothing_inside_imports_the_public_names():
    """Modules import each other; the package's own `__init__` stands above all of them."""
    modules = {path.stem for path in PACKAGE.iterdir()}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert "nestvec" not in [alias.name for alias in node.names], f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}:{node.lineno}"
                if node.module == "nestvec":
                    assert modules >= {alias.name for alias in node.names}, f"{path}:{node.lineno}"


def test_importing_loads_the_package_and_the_standard_library_alone():
    code = "import sys, nestvec; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    bare = subprocess.run([sys.executable, "-c", code.replace(", nestvec", "")], capture_output=True, text=True)
    loaded = set(done.stdout.split()) - set(bare.stdout.split()) - set(sys.stdlib_module_names)
    assert loaded == {"nestvec"}


# Settings as keyword arguments


def keyword_type(stated):
    """What a caller may give for a field: where the field holds several values, a sequence or a text with commas."""
    if isinstance(stated, UnionType):
        kind, nothing = get_args(stated)
        assert nothing is type(None)
        return keyword_type(kind) | None
    if get_origin(stated) is not tuple:
        return stated
    item = get_args(stated)[0]
    return Sequence[str] if item is str else Sequence[item] | str  # a text is a sequence of texts


def of_run():
    """Every setting of a run: its keyword's type, and its default."""
    kinds = [*sections().values(), Settings]
    entries = [(kind, entry) for kind in kinds for entry in fields(kind) if entry.default is not MISSING]
    return {entry.name: (keyword_type(get_type_hints(kind)[entry.name]), entry.default) for kind, entry in entries}


def of_study():
    hints = get_type_hints(TuneSettings)
    return {entry.name: (hints[entry.name], entry.default) for entry in fields(TuneSettings) if entry.name != "where"}


GIVEN = {  # function: its keywords, and what it takes otherwise
    "run": (RunSettings, {"source"}, of_run),
    "check": (RunSettings, {"source"}, of_run),
    "evaluate": (MeasuringSettings, {"source", "models", "epochs"}, of_run),
    "tune": (StudySettings, {"source"}, lambda: of_run() | of_study()),
}


@pytest.mark.parametrize("name", GIVEN)
def test_keyword_arguments_are_the_settings(name):
    keywords, otherwise, expected = GIVEN[name]
    types = {key: kind for key, (kind, _) in expected().items() if key not in otherwise}
    assert keywords.__annotations__ == types
    assert not keywords.__required_keys__


@pytest.mark.parametrize("name", GIVEN)
def test_help_and_completion_list_every_setting_with_its_default(name):
    _, otherwise, expected = GIVEN[name]
    parameters = inspect.signature(getattr(nestvec, name)).parameters
    for setting, (_, default) in expected().items():
        if setting not in otherwise:
            assert parameters[setting].default == default
            assert parameters[setting].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["progress"].default is True
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def test_an_unknown_keyword_is_an_error_of_the_input():
    arguments: dict[str, Any] = {"epoch": 3}
    with pytest.raises(nestvec.InputError, match=r"unknown setting 'epoch'.*epochs"):
        nestvec.check("sample", **arguments)
