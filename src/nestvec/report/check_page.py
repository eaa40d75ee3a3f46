"""Writes the page of `nestvec check`: what a data set holds, before a model is trained on the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.files import write_text
from nestvec.report.checked import Checked
from nestvec.report.figure_style import draw_figure
from nestvec.report.formatting import count, percent, plain, pluralise
from nestvec.report.grade_histogram import describe_grades, draw_grades
from nestvec.report.html import fill_template
from nestvec.runs.conform import conform

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.schema import Grades

_THRESHOLDS = {
    "given": "relevant from {} on, as given",
    "dip": "relevant from {} on, where the grades dip",
    "middle": "the grades show no dip, so relevant from {} on, the middle of their range",
    "listed": "relevant from {} on, as the data lists relevant documents only",
}


def write_check_page(facts: dict[str, Any], path: Path) -> None:
    """Write `check.html` from the content of `check.json`; equal contents give equal bytes."""
    checked = read_checked(facts)
    drawings = {"grades": draw_figure("grades", draw_grades, checked.grades)}
    shown = {
        "checked": checked,
        "headline": check_headline(checked),
        "alt_texts": {"grades": describe_grades(checked.grades)},
        "row_split_lines": row_split_lines(checked),
    }
    write_text(path, fill_template("check.html.jinja", shown, drawings))


def read_checked(facts: dict[str, Any]) -> Checked:
    """Convert the content of `check.json` to `Checked`; raises MisfitError if a value is missing or of another type."""
    checked: Checked = conform(facts, Checked)
    return checked


def check_headline(checked: Checked) -> str:
    """Summarise the check in one sentence: sizes, threshold, and the number of warnings."""
    sizes = [(checked.records, "record"), (checked.queries, "query"), (checked.documents, "document")]
    contents = ", ".join(pluralise(size, noun) for size, noun in sizes)
    warnings = f"; {pluralise(len(checked.warnings), 'warning')}" if checked.warnings else ""
    return f"{contents}: {explain_threshold(checked.grades)}{warnings}."


def explain_threshold(grades: Grades) -> str:
    """Say from which grade a document is relevant, and why."""
    return _THRESHOLDS[grades.threshold_source].format(plain(grades.threshold))


def row_split_lines(checked: Checked) -> list[tuple[str, list[str]]]:
    """List the rows of the table that shows what a split by row would leak: a name, then a cell per text comparison."""
    ways = list(checked.row_split.values())
    lines = [(name, [percent(way.shares[name]) for way in ways]) for name in ways[0].shares]
    for kind in ways[0].recurring:
        texts = [way.recurring[kind] for way in ways]
        cells = [f"{count(text.in_training)} of {count(text.test)}" for text in texts]
        lines.append((f"distinct test {kind} that are in training", cells))
    return lines
