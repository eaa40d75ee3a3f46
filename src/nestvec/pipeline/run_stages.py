"""Run all stages of a run in order; a stage that is done is skipped.

records → grades → split → training → embeddings → surface → recommendation → report

All input is checked before the run's folder is touched.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from nestvec import distributed
from nestvec.data.audit import note_texts_read
from nestvec.errors import InputError
from nestvec.files import remove
from nestvec.models.compute import choose_compute
from nestvec.pipeline import keyword_stage, stages
from nestvec.pipeline.inputs import Prepared, prepare
from nestvec.pipeline.rank_points import list_folds
from nestvec.pipeline.run_arguments import MeasuringSettings, RunSettings, show_settings
from nestvec.pipeline.shares import count_held_out
from nestvec.pipeline.time_left import TimeLeft, size_stage
from nestvec.progress import PartReporter, Progress, Reporter, Silent, foresee, make_reporter
from nestvec.runs.config import config_text, read_run_config
from nestvec.runs.folder import RunFolder, claim_folder, hold_folder
from nestvec.runs.run import Run
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOG = logging.getLogger(__name__)
_TRAIN = "train "  # begins the names of the stages in which all processes take part


class Part(NamedTuple):
    """What the stages of a run, or of one cross-validation fold, work on: input, folder and reporter of progress."""

    prepared: Prepared
    folder: RunFolder
    reporter: Reporter


class Stage(NamedTuple):
    """One stage of a run or of a cross-validation fold; `work()` runs the stage and returns facts to record."""

    name: str
    part: Part
    work: Callable[[], dict[str, Any]]


@show_settings(RunSettings)
def run(
    source: str = "sample", out: str | Path = "run", *, progress: Progress = True, **settings: Unpack[RunSettings]
) -> Run:
    """Prepare the data, train, measure vectors of every size, recommend one, and write a report.

    Args:
        source: a CSV, TSV, JSONL or Parquet file of judgements, a folder of them, hf:NAME, or `sample`.
        out: the run's folder; a run that was begun there with the same settings is continued.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        settings: settings by name, such as `epochs=1`; see `nestvec.settings`.

    Returns:
        The finished run.

    Raises:
        InputError: the input or a setting is wrong; nothing was written.
    """
    return run_settings(Settings.from_flat({"source": source, **settings}), Path(out), make_reporter(progress))


@show_settings(MeasuringSettings)
def evaluate(
    models: Sequence[str],
    data: str = "sample",
    out: str | Path = "evaluation",
    *,
    progress: Progress = True,
    **settings: Unpack[MeasuringSettings],
) -> Run:
    """Measure models without training, and recommend a vector size and precision.

    Args:
        models: folders or names of sentence-transformers models; the pretrained model is measured beside them.
        data: a CSV, TSV, JSONL or Parquet file of judgements, a folder of them, hf:NAME, or `sample`.
        out: the run's folder; a run that was begun there with the same settings is continued.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        settings: settings by name; see `nestvec.settings`.

    Returns:
        A finished run, in which every model is a system.

    Raises:
        InputError: a model, the input or a setting is wrong; nothing was written.
    """
    chosen = {"source": data, "models": list(models), "epochs": 0}
    return run_settings(Settings.from_flat({**settings, **chosen}), Path(out), make_reporter(progress))


def run_settings(settings: Settings, root: Path, reporter: Reporter | None = None) -> Run:
    """Run every unfinished stage of the run that the settings describe.

    Args:
        settings: settings of the run.
        root: the run's folder.
        reporter: shows the progress.

    Returns:
        The finished run.

    Raises:
        InputError: the input or a setting is wrong, the folder was made with other settings, or another process
            works in it; nothing was written.
    """
    reporter = reporter or Silent()
    distributed.join_processes()
    with reporter.step("read the input", 1) as advance:
        prepared = prepare(settings)
        advance(1)
    prepared = prepared.computing_in(
        distributed.take_first_value(settle_compute(prepared.settings.training.compute, root))
    )
    folder = RunFolder(root)
    with hold_folder(root) if distributed.is_first() else nullcontext():  # of several processes, the first writes
        if distributed.is_first():
            claim_folder(root, config_text(prepared.settings, prepared.inputs))
        distributed.wait_for_all()
        _say_what_was_read(prepared, reporter)
        listed = _list_stages(prepared, folder, reporter)
        time_left = TimeLeft([size_stage(stage.name, stage.part.prepared, prepared) for stage in listed])
        with foresee(reporter, time_left.estimate):
            for stage in listed:
                time_left.end_stage(_run_stage(stage))
    return Run(folder)


def _run_stage(stage: Stage) -> float | None:
    """Run a stage, unless it is done; all processes train together, and the first process alone runs all other stages.

    Returns the seconds that the stage took, in this or an earlier call; None if the time is not known.
    """
    name, folder = stage.name, stage.part.folder
    together = name.startswith(_TRAIN)
    if not (together or distributed.is_first()):
        return None
    done = folder.is_done(name)
    if distributed.take_first_value(done) if together else done:
        stage.part.reporter.say(f"{name}: already done")
        return folder.facts(name).get("seconds") if distributed.is_first() else None
    start = time.perf_counter()
    facts = stage.work()
    seconds = round(time.perf_counter() - start, 2)
    if distributed.is_first():
        folder.mark_done(name, {**facts, "seconds": seconds})
        remove(folder.path("checkpoints"))
    return seconds


def settle_compute(wanted: str, root: Path) -> str:
    """Choose the number format of the training: the set one; for `auto` the continued run's, or the fastest here."""
    config = RunFolder(root).path("config")
    if wanted == "auto" and config.is_file():
        with suppress(InputError):  # `claim_folder` reports a damaged file
            wanted = str(read_run_config(config).settings.get("compute", wanted))
    return choose_compute(wanted)


def _list_stages(prepared: Prepared, folder: RunFolder, reporter: Reporter) -> list[Stage]:
    """List a run's stages in order; unless `evaluate` is done, also each fold's trainings, encodings and fit."""
    whole, folds = Part(prepared, folder, reporter), list[Part]()
    if not distributed.take_first_value(folder.is_done("evaluate")):
        for number, fold in enumerate(list_folds(prepared, folder), 1):
            folds.append(Part(*fold, PartReporter(reporter, f"fold {number} of {len(prepared.task.folds)}")))
    trainings = [(part, system) for part in (*folds, whole) for system in prepared.trained]
    encodings = [(whole, system) for system in prepared.systems]
    encodings += [(part, system) for part in folds for system in prepared.trained]
    return [
        Stage("prepare", whole, partial(stages.write_data, prepared, folder)),
        *(Stage(f"{_TRAIN}{system}", part, partial(stages.train_system, *part, system)) for part, system in trainings),
        *(  # each fold encodes all queries, not only its own
            Stage(f"encode {system}", part, partial(stages.encode_texts, prepared, *part[1:], system))
            for part, system in encodings
        ),
        *(Stage("fit", part, partial(keyword_stage.fit, *part)) for part in (whole, *folds)),
        Stage("evaluate", whole, partial(stages.evaluate, *whole)),
        Stage("report", whole, partial(stages.write_page, folder)),
    ]


def _say_what_was_read(prepared: Prepared, reporter: Reporter) -> None:
    """Print what was read from the data: sizes, threshold, what the held-out queries can prove, and the findings."""
    records, grades = prepared.records, prepared.grades
    reporter.say(f"{len(records):,} records, {len(records.queries):,} queries, {len(records.documents):,} documents")
    share = f"{grades.relevant_share:.0%} of the records are relevant"
    if folds := len(prepared.task.folds):
        reporter.say(
            f"{folds} folds: each query is measured with a model that was trained without it; one more model is "
            "trained on all queries, for export"
        )
    for note in note_texts_read(prepared.settings.training.adapted_on).values():
        reporter.say(note)
    for name, why in prepared.missing.items():
        reporter.say(f"{name} is not on this machine, so it is not measured")
        _LOG.debug("%s %s", name, why)
    reporter.say(f"relevant from grade {grades.threshold:g} on ({grades.origin}): {share}")
    held_out = count_held_out(records, grades, prepared.task, prepared.settings, len(prepared.systems))
    for line in held_out.lines:
        reporter.say(line)
    for finding in records.findings:
        reporter.say(f"{finding.name}: {finding.count:,}. {finding.action}")
