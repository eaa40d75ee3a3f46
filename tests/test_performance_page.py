"""Oracles: the benchmarks' own sources, and figures made up for the purpose."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def performance():
    spec = importlib.util.spec_from_file_location("performance", BENCHMARKS / "performance.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["performance"] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_was_measured_and_nothing_else(performance):
    measured = json.loads(performance.MEASURED.read_text())
    assert measured
    assert performance.PAGE.read_text() == performance.render(measured)


def test_every_figure_on_the_page_was_found(performance):
    for name, told in json.loads(performance.MEASURED.read_text()).items():
        for figure in performance.BENCHMARKS[name].figures:
            found = performance.read_figure(told["found"], figure.path)
            assert found is not None, (name, figure.label)
            assert f"{found:.3g} {figure.unit}" in performance.PAGE.read_text()


def test_a_benchmark_that_was_not_run_is_named(performance):
    told = {"found": {"seconds": 61.25}, "date": "2026-01-02", "commit": "abc", "machine": "2 of X"}
    page = performance.render({"reading": told})
    assert "| Reading 10,000,000 judgements from CSV (`nestvec check`): seconds | 61.2 s | 60 |" in page
    assert "abc · 2 of X" in page
    assert "peak memory" not in page  # that this run did not print
    assert re.search(r"Not measured yet: training, encode, evaluation, search,", page)


def test_every_command_names_a_script_and_options_that_it_has(performance):
    for name, benchmark in performance.BENCHMARKS.items():
        script, *words = benchmark.command.split()
        source = (BENCHMARKS / script).read_text()
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in source, (name, option)
