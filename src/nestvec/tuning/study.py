"""`nestvec tune`: run trials, which are measured on validation, then measure the best settings once on test."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from nestvec.files import write_json, write_text
from nestvec.pipeline.run_arguments import show_settings
from nestvec.progress import Progress, Reporter, Silent, make_reporter
from nestvec.settings import Settings
from nestvec.tuning.prepare_study import prepare_study
from nestvec.tuning.storage import holding_lock
from nestvec.tuning.study_result import conclude_study
from nestvec.tuning.tune_arguments import StudySettings
from nestvec.tuning.tune_settings import TuneSettings
from nestvec.tuning.workers import run_trials_here, run_trials_in_processes, run_trials_on_ray

if TYPE_CHECKING:
    from nestvec.tuning.prepare_study import Study
    from nestvec.tuning.trial_queue import TrialQueue

STUDY, TRIALS, REPORT, FIGURES = "study.json", "trials.csv", "report.html", "figures"


@dataclass(frozen=True)
class Tuned:
    """A finished tuning study.

    Attributes:
        folder: the study's folder.
        facts: the content of `study.json`.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def verdict(self) -> str:
        """The result of the study in a sentence or two."""
        return str(self.facts["verdict"])


@show_settings(StudySettings, TuneSettings)
def tune(
    source: str = "sample", out: str | Path = "tuning", *, progress: Progress = True, **settings: Unpack[StudySettings]
) -> Tuned:
    """Search for better training settings on validation, then measure their gain once on test.

    Args:
        source: a CSV, TSV, JSONL or Parquet file of judgements, a folder of them, hf:NAME, or `sample`.
        out: the study's folder; a study that was begun there with the same settings is continued.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        settings: settings by name: those of `TuneSettings`, such as `search="tpe"` and `trials=12`, and those of a run.

    Returns:
        The finished study.

    Raises:
        InputError: the input, a setting or the search space is wrong; nothing was written.
        NestvecError: no trial finished.
    """
    given = {"source": source, **settings}
    tuning = {name: given.pop(name) for name in list(given) if name in TuneSettings.__dataclass_fields__}
    shared = Settings.from_flat(given)
    return run_study(shared, TuneSettings.from_flat(tuning), Path(out), make_reporter(progress))


def run_study(settings: Settings, tuning: TuneSettings, root: Path, reporter: Reporter | None = None) -> Tuned:
    """Run a tuning study in the folder `root`, or continue a study that an earlier call began there.

    Raises InputError if the input, a setting or the search space is wrong, or if the folder was made with other
    settings; then nothing was written. Raises NestvecError if no trial finished.
    """
    reporter = reporter or Silent()
    study = prepare_study(settings, tuning, root)
    study.claim()
    with study.open_queue() as queue:
        reporter.say(_describe_start(study, queue))
        _run_trials(study, queue, reporter)
        with holding_lock(queue.locks, "conclusion"):  # only one process trains the final runs
            facts = conclude_study(study, queue, reporter)
            _write_results(root, facts)
    return Tuned(root, facts)


def _describe_start(study: Study, queue: TrialQueue) -> str:
    """Say how many trials a study plans and how many are done, by which search and with which aim."""
    done = len(queue.finished)
    before = f", {done} of them already done" if done else ""
    return f"{study.rules.slots} trials of {study.context.system} by {study.tuning.search}{before}; {study.aim.name}"


def _run_trials(study: Study, queue: TrialQueue, reporter: Reporter) -> None:
    """Run the remaining trials of a study in this process, in several processes, or on a Ray cluster."""
    tuning = study.tuning
    if queue.is_done:
        return
    if tuning.engine == "ray":
        run_trials_on_ray(study, queue, tuning.workers, reporter)
    elif (tuning.workers or 1) > 1:
        run_trials_in_processes(study, queue, tuning.workers or 1, reporter)
    else:
        run_trials_here(study, queue, reporter)


def _write_results(root: Path, facts: dict[str, Any]) -> None:
    """Write a study's results: `study.json`, `trials.csv` and the HTML report."""
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
