"""`nestvec tune`: trials on validation, then the best settings once on test."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.files import write_json, write_text
from nestvec.progress import Reporter, Silent
from nestvec.settings import Settings
from nestvec.tuning.conclude import concluded
from nestvec.tuning.plan import Plan
from nestvec.tuning.setup import set_up
from nestvec.tuning.storage import held
from nestvec.tuning.workers import work, work_in_processes, work_on_ray

if TYPE_CHECKING:
    from nestvec.tuning.board import Board
    from nestvec.tuning.setup import Study

STUDY, TRIALS, REPORT, FIGURES = "study.json", "trials.csv", "report.html", "figures"


@dataclass(frozen=True)
class Tuned:
    """A finished study.

    Attributes:
        folder: where its files are.
        facts: what `study.json` holds.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def verdict(self) -> str:
        """What came out, in a sentence or two."""
        return str(self.facts["verdict"])


def tune(source: str = "sample", out: str | Path = "tuning", **options: Any) -> Tuned:  # noqa: ANN401 - values of settings
    """Search for better training settings on validation, and ask test once what they gain.

    Args:
        source: as for `run`.
        out: the study's folder; one that was begun with the same settings is continued.
        options: those of `Plan`, such as `search="tpe"` and `trials=12`, and settings by name.

    Returns:
        The finished study.

    Raises:
        InputError: the input, a setting or the space is wrong; nothing was written.
        NestvecError: no trial came to an end.
    """
    planned = {name: options.pop(name) for name in list(options) if name in Plan.__dataclass_fields__}
    settings = Settings.from_flat({"source": source, **options})
    return tune_settings(settings, Plan.of(planned), Path(out))


def tune_settings(settings: Settings, plan: Plan, root: Path, reporter: Reporter | None = None) -> Tuned:
    """Run a study, or what is left of it.

    Args:
        settings: those that all trials share.
        plan: what to do.
        root: the study's folder.
        reporter: is told of progress.

    Returns:
        The finished study.

    Raises:
        InputError: the input, a setting or the space is wrong, or the folder was made with others; nothing was written.
        NestvecError: no trial came to an end.
    """
    reporter = reporter or Silent()
    study = set_up(settings, plan, root)
    study.claim()
    board, store = study.open()
    try:
        reporter.say(_beginning(study, board))
        _work(study, board, reporter)
        with held(store.locks, "conclusion"):  # of several processes, one trains what is left
            facts = concluded(study, board, reporter)
            _write(root, facts)
    finally:
        store.close()
    return Tuned(root, facts)


def _beginning(study: Study, board: Board) -> str:
    """How many trials there are to do."""
    done = len(board.finished)
    before = f", {done} of them done before" if done else ""
    return f"{study.rules.slots} trials of {study.bench.system} by {study.plan.search}{before}; {study.aim.name}"


def _work(study: Study, board: Board, reporter: Reporter) -> None:
    """Let those work who shall."""
    plan = study.plan
    if board.done:
        return
    if plan.engine == "ray":
        work_on_ray(study, board, plan.workers, reporter)
    elif (plan.workers or 1) > 1:
        work_in_processes(study, board, plan.workers or 1, reporter)
    else:
        work(study, board, reporter)


def _write(root: Path, facts: dict[str, Any]) -> None:
    """Write what came out, for machines and for people."""
    from nestvec.report.tuning_page import write_tuning_page

    write_json(root / STUDY, facts)
    names = list(facts["space"])
    columns = ["trial", "state", "value", "error", "bytes_per_vector", "seconds", "steps", "attempts", "message"]
    lines = StringIO()
    writer = csv.DictWriter(lines, [columns[0], *names, *columns[1:]], extrasaction="ignore", restval="")
    writer.writeheader()
    for trial in facts["trials"]:
        writer.writerow({**trial["params"], **{name: value for name, value in trial.items() if value is not None}})
    write_text(root / TRIALS, lines.getvalue())
    write_tuning_page(facts, root)
