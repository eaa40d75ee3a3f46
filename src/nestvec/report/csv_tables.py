"""Writes the report's tables as CSV with unrounded numbers, for spreadsheets and plots."""

from __future__ import annotations

import csv
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nestvec.report.content import Content

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that begins so for a formula


def write_tables(content: Content, directory: Path) -> None:
    """Write surface.csv, frontier.csv, comparisons.csv and steps.csv to a folder, which is created if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    tables = {
        "surface": [row.flat for row in content.run.results.surface],
        "frontier": [row.flat for row in content.run.frontier(content.run.recommendation.metric)],
        "comparisons": [asdict(entry) for entry in content.run.results.comparisons],
        "steps": [asdict(step) for step in content.run.recommendation.steps],
    }
    for name, rows in tables.items():
        _write(directory / f"{name}.csv", rows)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a header with the columns of all rows, then the rows; an empty table becomes an empty file."""
    table = list(rows)
    heads = list(dict.fromkeys(name for row in table for name in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, heads)
        if heads:
            writer.writeheader()
        writer.writerows({name: _safe(value) for name, value in row.items()} for row in table)


def _safe(value: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
