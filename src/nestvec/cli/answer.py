"""The end of a run in the terminal: the answer, the report's path, and what to type next."""

from __future__ import annotations

import shlex
from math import ceil
from typing import TYPE_CHECKING

from nestvec.recommending.power import describe_power
from nestvec.report.content import read_content
from nestvec.report.run_page import run_headline

if TYPE_CHECKING:
    from nestvec.runs.run import Run

EPOCHS = 3  # a better start for real data than the one of a first look (README)


def read_answer(run: Run) -> str:
    """The recommendation in one sentence, the one at the top of the run's report."""
    return run_headline(read_content(run)).replace("\N{NO-BREAK SPACE}", " ")


def list_next_steps(run: Run) -> list[str]:
    """What to type next, with the run's own path: a line each, ready to print.

    Where nothing ships: what would help, and how to look at what was measured.
    """
    folder = shlex.quote(str(run.root))
    if run.ships:
        return [
            "Next:",
            f"  nestvec export {folder} --to onnx --out {shlex.quote(str(run.root / 'export'))}",
            f'  nestvec index {folder} && nestvec search {folder} "your query"',
            f"  nestvec serve {folder}",
        ]
    return [f"What would help: {_say_remedies(run)}.", "Look at what was measured:", f"  nestvec serve {folder}"]


def _say_remedies(run: Run) -> str:
    """What makes a run more likely to end with a recommendation, by what this one lacked."""
    recommendation, remedies = run.recommendation, list[str]()
    if queries := _say_more_queries(run):
        remedies.append(queries)
    if not run.results.trained:
        remedies.append("fine-tuning (nestvec run)")
    elif run.config.settings.get("epochs", EPOCHS) < EPOCHS:
        remedies.append(f"a longer training (--epochs {EPOCHS})")
    if run.results.trained:
        remedies.append("better settings (nestvec tune)")
    if recommendation.max_bytes is not None:
        remedies.append(f"a higher --max-bytes than {recommendation.max_bytes:,}")
    if recommendation.min_recall is not None:
        remedies.append(f"a lower --min-recall than {recommendation.min_recall:g}")
    return "; ".join(remedies)


def _say_more_queries(run: Run) -> str:
    """How many queries the choice would take, where it was made on fewer; else nothing."""
    recommendation = run.recommendation
    had = recommendation.power or recommendation.validation
    if had is None or not had.queries:
        return ""
    typical = describe_power(had.queries, recommendation.margin, systems=max(1, len(run.systems) - 1))
    needed = recommendation.queries_needed or ceil(typical.needed / 10) * 10
    if needed <= had.queries:
        return ""
    return f"more judged queries (about {needed:,} {recommendation.chosen_on} queries; there are {had.queries:,})"
