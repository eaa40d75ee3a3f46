"""What a finished run prints in the terminal: the recommendation, and commands to type next."""

from __future__ import annotations

import shlex
from math import ceil
from typing import TYPE_CHECKING

from nestvec.recommending.power import describe_power
from nestvec.report.answer import search_command
from nestvec.report.content import read_content
from nestvec.report.run_page import run_headline

if TYPE_CHECKING:
    from nestvec.runs.run import Run

EPOCHS = 3  # for real data a better start than the default of 1, which is meant for a first look (docs/run.md)


def read_answer(run: Run) -> str:
    """Read a run's recommendation in one sentence: the headline of the run's report."""
    return run_headline(read_content(run)).replace("\N{NO-BREAK SPACE}", " ")


def list_next_steps(run: Run) -> list[str]:
    """List the commands that a user may type after a run, with the path of the run's folder, as lines to print.

    If the run recommends nothing, the lines say what would help, and which command compares the measured models.
    """
    folder = shlex.quote(str(run.root))
    if run.ships:
        return [
            "Next:",
            f"  nestvec export {folder} --to onnx --out {shlex.quote(str(run.root / 'export'))}",
            f'  nestvec index {folder} && nestvec search {folder} "your query"',
            f"  nestvec serve {folder}",
        ]
    steps = [f"What would help: {_say_remedies(run)}."]
    if likely := run.likely:
        steps += [
            "To try the vectors that likely hold up:",
            f"  nestvec index {folder} {likely.options} && {search_command(folder, likely)}",
            f"  nestvec export {folder} {likely.options} --out {shlex.quote(str(run.root / 'export'))}",
        ]
    return [*steps, "To compare the measured models:", f"  nestvec serve {folder}"]


def _say_remedies(run: Run) -> str:
    """Say what would make a recommendation more likely, for a run that recommends nothing."""
    recommendation, remedies = run.recommendation, list[str]()
    if queries := _say_more_queries(run):
        remedies.append(queries)
    if not run.results.trained:
        remedies.append(f"fine-tuning (nestvec run with --epochs {EPOCHS} and another --out)")
    elif run.config.settings.get("epochs", EPOCHS) < EPOCHS:
        remedies.append(f"longer training (--epochs {EPOCHS})")
    if run.results.trained:
        remedies.append("better settings (nestvec tune)")
    if recommendation.max_bytes is not None:
        remedies.append(f"a higher --max-bytes than {recommendation.max_bytes:,}")
    if recommendation.min_recall is not None:
        remedies.append(f"a lower --min-recall than {recommendation.min_recall:g}")
    return "; ".join(remedies)


def _say_more_queries(run: Run) -> str:
    """Say how many judged queries a recommendation needs; return an empty text if the run had enough judged queries."""
    recommendation = run.recommendation
    had = recommendation.power or recommendation.validation
    if had is None or not had.queries:
        return ""
    typical = describe_power(had.queries, recommendation.margin, systems=max(1, len(run.systems) - 1))
    needed = recommendation.queries_needed or ceil(typical.needed / 10) * 10
    if needed <= had.queries:
        return ""
    about = float(f"{needed:.2g}")  # an estimate: more digits would promise too much
    return f"more judged queries (about {about:,.0f} {recommendation.chosen_on} queries; this run had {had.queries:,})"
