"""The product in one screen: each stage called in order, skipped if its files are done.

records → grades → split → training → embeddings → surface → recommendation → report

Whatever can be wrong with the user's input is found before the run's folder is touched.
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
_TRAIN = "train "  # stages that all processes take part in


class Part(NamedTuple):
    """A run, or one of its folds."""

    prepared: Prepared
    folder: RunFolder
    reporter: Reporter


class Stage(NamedTuple):
    """One stage of a run or of a fold: `work` does it and gives facts about it."""

    name: str
    part: Part
    work: Callable[[], dict[str, Any]]


@show_settings(RunSettings)
def run(
    source: str = "sample", out: str | Path = "run", *, progress: Progress = True, **settings: Unpack[RunSettings]
) -> Run:
    """The main job, end to end.

    Args:
        source: `sample`, or a CSV, TSV, JSONL or Parquet file of judgements.
        out: the run's folder; one that was begun with the same settings is continued.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        settings: by name, such as `epochs=1`; see `nestvec.settings`.

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
    """The surface, its statistics and the recommendation for models as they are; trains nothing.

    Args:
        models: folders or names of sentence-transformers models; the pretrained one is measured beside them.
        data: `sample`, or a file of judgements, as for `run`.
        out: the folder; one that was begun with the same settings is continued.
        progress: as for `run`.
        settings: by name; see `nestvec.settings`.

    Returns:
        A finished run, in which every model is a system.

    Raises:
        InputError: a model, the input or a setting is wrong; nothing was written.
    """
    chosen = {"source": data, "models": list(models), "epochs": 0}
    return run_settings(Settings.from_flat({**settings, **chosen}), Path(out), make_reporter(progress))


def run_settings(settings: Settings, root: Path, reporter: Reporter | None = None) -> Run:
    """Run every stage that is not done yet.

    Args:
        settings: what to do.
        root: the run's folder.
        reporter: is told of progress.

    Returns:
        The finished run.

    Raises:
        InputError: the input or a setting is wrong, the folder was made with others, or another process runs in it;
            nothing was written.
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
    """Run a stage unless its files are there; all processes train together, the first alone does all else.

    Returns the seconds that it took, now or before; None where no time is known.
    """
    name, folder = stage.name, stage.part.folder
    together = name.startswith(_TRAIN)
    if not (together or distributed.is_first()):
        return None
    done = folder.is_done(name)
    if distributed.take_first_value(done) if together else done:
        stage.part.reporter.say(f"{name}: done before")
        return folder.facts(name).get("seconds") if distributed.is_first() else None
    start = time.perf_counter()
    facts = stage.work()
    seconds = round(time.perf_counter() - start, 2)
    if distributed.is_first():
        folder.mark_done(name, {**facts, "seconds": seconds})
        remove(folder.path("checkpoints"))
    return seconds


def settle_compute(wanted: str, root: Path) -> str:
    """The number format to train in: as set, else as a run that is continued began, else as the hardware is fast."""
    config = RunFolder(root).path("config")
    if wanted == "auto" and config.is_file():
        with suppress(InputError):  # a damaged file is named when the folder is claimed
            wanted = str(read_run_config(config).settings.get("compute", wanted))
    return choose_compute(wanted)


def _list_stages(prepared: Prepared, folder: RunFolder, reporter: Reporter) -> list[Stage]:
    """What is done, in order: of folds, what each trains and fits in a folder of its own, until it is measured."""
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
        *(  # of every query, whichever fold asks it
            Stage(f"encode {system}", part, partial(stages.encode_texts, prepared, *part[1:], system))
            for part, system in encodings
        ),
        *(Stage("fit", part, partial(keyword_stage.fit, *part)) for part in (whole, *folds)),
        Stage("evaluate", whole, partial(stages.evaluate, *whole)),
        Stage("report", whole, partial(stages.write_page, folder)),
    ]


def _say_what_was_read(prepared: Prepared, reporter: Reporter) -> None:
    """One line on the data, one on the threshold, two on what can be proven, and one per finding."""
    records, grades = prepared.records, prepared.grades
    reporter.say(f"{len(records):,} records, {len(records.queries):,} queries, {len(records.documents):,} documents")
    share = f"{grades.relevant_share:.0%} of the records are relevant"
    if folds := len(prepared.task.folds):
        reporter.say(
            f"{folds} folds: each query is asked of a training that has not seen it, and one more is handed over"
        )
    for note in note_texts_read(prepared.settings.training.adapted_on).values():
        reporter.say(note)
    for name, why in prepared.missing.items():
        reporter.say(f"{name} is not on this machine, so it is not measured")
        _LOG.debug("%s %s", name, why)
    reporter.say(f"relevant from {grades.threshold:g} on ({grades.origin}): {share}")
    held_out = count_held_out(records, grades, prepared.task, prepared.settings, len(prepared.systems))
    for line in held_out.lines:
        reporter.say(line)
    for finding in records.findings:
        reporter.say(f"{finding.name}: {finding.count:,}. {finding.action}")
