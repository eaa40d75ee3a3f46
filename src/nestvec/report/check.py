"""The page of `nestvec check`: what a data set holds, before anything is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.files import write_text
from nestvec.report.checked import Checked
from nestvec.report.drawing import draw
from nestvec.report.histogram import draw_grades
from nestvec.report.html import count, fill, histogram, percent, plain
from nestvec.runs.conform import conform

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.schema import Grades

_THRESHOLDS = {
    "given": "relevant from {} on, as given",
    "dip": "relevant from {} on, where the grades dip",
    "middle": "the grades show no dip, so relevant from {} on, the middle of their range",
}


def write_check_page(facts: dict[str, Any], path: Path) -> None:
    """Write `check.html`: one file that loads nothing; the same facts give the same bytes.

    Args:
        facts: what `check.json` holds.
        path: where to.
    """
    checked = read_checked(facts)
    drawings = {"grades": draw("grades", draw_grades, checked.grades)}
    told = {
        "checked": checked,
        "headline": headline(checked),
        "described": {"grades": histogram(checked.grades)},
        "leaked": leaked(checked),
    }
    write_text(path, fill("check.html.jinja", told, drawings))


def read_checked(facts: dict[str, Any]) -> Checked:
    """The facts as types.

    Args:
        facts: what `check.json` holds.

    Returns:
        The same.
    """
    checked: Checked = conform(facts, Checked)
    return checked


def headline(checked: Checked) -> str:
    """What was found, in one sentence."""
    sizes = [(checked.records, "record"), (checked.queries, "query"), (checked.documents, "document")]
    whole = ", ".join(counted(number, word) for number, word in sizes)
    warnings = f"; {counted(len(checked.warnings), 'warning')}" if checked.warnings else ""
    return f"{whole}: {threshold(checked.grades)}{warnings}."


def threshold(grades: Grades) -> str:
    """From which grade on a document is relevant, and why."""
    return _THRESHOLDS[grades.threshold_source].format(plain(grades.threshold))


def counted(number: int, word: str) -> str:
    """A count with its noun."""
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{count(number)} {word if number == 1 else plural}"


def leaked(checked: Checked) -> list[tuple[str, list[str]]]:
    """What a split by row would leak: a line per figure, in it a cell per way to compare texts."""
    ways = list(checked.row_split.values())
    lines = [(name, [percent(way.shares[name]) for way in ways]) for name in ways[0].shares]
    for kind in ways[0].recurring:
        found = [way.recurring[kind] for way in ways]
        cells = [f"{count(one.in_training)} of {count(one.test)}" for one in found]
        lines.append((f"distinct test {kind} that are in training", cells))
    return lines
