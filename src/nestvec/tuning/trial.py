"""One trial: a training with the settings that were drawn, watched on validation, and what came of it."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError, NestvecError, StoppedError
from nestvec.files import read_json, remove, write_json, write_text
from nestvec.models.load import load_model
from nestvec.runs.config import config_text
from nestvec.training.systems import SYSTEMS
from nestvec.training.validation import BUDGET, make_validation
from nestvec.tuning.aim import measure
from nestvec.tuning.trial_data import of_queries
from nestvec.tuning.trial_queue import MESSAGE, REPORTS
from nestvec.tuning.space import applied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optuna import Trial
    from sentence_transformers import SentenceTransformer

    from nestvec.data.task import Task
    from nestvec.pipeline.inputs import Prepared
    from nestvec.progress import Reporter
    from nestvec.settings import Settings
    from nestvec.training.job import Job
    from nestvec.training.validation import Validation
    from nestvec.tuning.aim import Aim, Worth
    from nestvec.tuning.trial_queue import Board

TRIALS, SETTINGS, CURVE, FACTS, CHECKPOINTS = "trials", "settings.toml", "curve.json", "trial.json", "checkpoints"
SHARE, REPEAT, QUERIES = "share", "repeat", "queries"  # of a search over the size of the data
LOOKED, MEASURED = BUDGET // 2, 4 * BUDGET  # tokens of documents: while a trial trains, and for its value at the end
_STREAM = 0x51  # keeps the draws of queries apart from others of the same seed


@dataclass(frozen=True)
class Bench:
    """What every trial of a worker starts from.

    Attributes:
        prepared: the input without the test split.
        aim: what a trial is worth.
        root: the study's folder.
    """

    prepared: Prepared
    aim: Aim
    root: Path

    @property
    def system(self) -> str:
        """What is trained."""
        return self.prepared.settings.training.systems[0]

    def folder(self, slot: int) -> Path:
        """Where a trial's files are."""
        return self.root / TRIALS / f"{slot:04d}"


@dataclass(frozen=True)
class Recipe:
    """What a trial trains.

    Attributes:
        settings: the trial's.
        task: whom it learns from.
        queries: how many training queries that are, where it matters.
    """

    settings: Settings
    task: Task
    queries: int | None = None


class Watch:
    """Measures a trial while it trains, tells Optuna, and stops it where it falls behind.

    Args:
        trial: Optuna's.
        look: measures the model as it stands, on what is quick to encode.
        steps: of the whole training.
        path: where the curve is kept, for a process that continues after this one was killed.
        reports: whether Optuna is told; it knows no curves of two aims.
    """

    def __init__(self, trial: Trial, look: Callable[[], Worth], steps: int, path: Path, reports: bool) -> None:
        self._trial, self._look, self._path, self._reports = trial, look, path, reports
        self._marks = {ceil(steps * place / REPORTS): place for place in range(1, REPORTS)}
        self.curve: list[dict[str, float]] = []

    def take_up(self, step: int) -> None:
        """Go on after a step: what was measured up to it is told again."""
        known = read_json(self._path) if self._path.exists() else []
        for point in known:
            if point["step"] <= step and point["place"] < REPORTS:  # the last one is measured again
                self._tell(point)

    def __call__(self, step: int) -> None:
        """After a step: measure, if it is time; raises TrialPruned where the trial is to stop."""
        place = self._marks.get(step)
        if place is None or any(point["place"] == place for point in self.curve):
            return
        self._tell({"place": place, "step": step, "value": self._look().value})
        write_json(self._path, self.curve)
        if self._reports and self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned

    def end(self, step: int) -> None:
        """The training is over."""
        self._tell({"place": REPORTS, "step": step, "value": self._look().value})
        write_json(self._path, self.curve)

    def _tell(self, point: dict[str, float]) -> None:
        """Keep a point, and tell Optuna."""
        self.curve.append(point)
        if self._reports:
            self._trial.report(point["value"], int(point["place"]))


def run_trial(bench: Bench, board: Board, trial: Trial, slot: int, reporter: Reporter) -> None:
    """Train, measure and tell; a trial that fails is recorded and ends there.

    Args:
        bench: what it starts from.
        board: the study.
        trial: Optuna's, with its parameters.
        slot: which it is.
        reporter: is told of progress.

    Raises:
        StoppedError: Ctrl-C or SIGTERM; the trial goes on when the study is continued.
        MissingExtraError: a library is missing, which no other trial would have either.
    """
    from optuna import TrialPruned

    folder, start = bench.folder(slot), time.perf_counter()
    for stale in folder.rglob(".*.tmp"):  # of a process that was killed
        remove(stale)
    facts: dict[str, Any] = {"slot": slot, "params": dict(trial.params), "worker": f"{platform.node()}:{os.getpid()}"}
    values: list[float] | None = None
    pruned = False
    try:
        facts |= _trained(bench, trial, slot, folder, reporter)
        values = [facts["value"], facts["bytes_per_vector"]] if bench.aim.small else [facts["value"]]
    except TrialPruned:
        pruned = True
        facts["curve"] = read_json(folder / CURVE)
    except (StoppedError, MissingExtraError, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever these settings did, others need not do
        facts[MESSAGE] = _said(error)
    facts["seconds"] = round(time.perf_counter() - start, 2)
    facts["state"] = "pruned" if pruned else "failed" if values is None else "complete"
    write_json(folder / FACTS, facts)
    remove(folder / CHECKPOINTS)
    remove(folder / CURVE)
    for name, value in facts.items():
        if name not in {"slot", "params", "state"}:
            trial.set_user_attr(name, value)
    board.tell(trial, values, pruned)


def _trained(bench: Bench, trial: Trial, slot: int, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Train, and say what came of it."""
    from nestvec.training.job import make_job
    from nestvec.training.train import train
    from nestvec.training.trainer import last_checkpoint, step_of

    prepared, aim = bench.prepared, bench.aim
    recipe = _recipe(bench, dict(trial.params))
    write_text(folder / SETTINGS, config_text(recipe.settings, prepared.inputs))
    model = load_model(prepared.model)
    data = prepared.records, prepared.grades, recipe.task
    job = make_job(model, bench.system, data, recipe.settings, prepared.dimensions)
    if not _chooses(job):
        job = replace(job, validation=None)
    quick, place = _validation(bench, job, LOOKED), aim.point(trial.params)

    def look() -> Worth:
        return measure(model, quick, aim, place)

    watch = Watch(trial, look, job.steps, folder / CURVE, reports=not aim.small)
    before = last_checkpoint(folder / CHECKPOINTS)
    watch.take_up(step_of(before) if before else 0)
    with reporter.step(f"trial {slot + 1}", job.steps) as advance:
        trained = train(model, job, folder / CHECKPOINTS, None, advance, watch)
    watch.end(trained.steps)
    worth = measure(model, _validation(bench, job, MEASURED), aim, place)
    told = {name: getattr(trained, name) for name in ("steps", "learning_rate", "rows", "best_step", "mixed")}
    known = {} if recipe.queries is None else {QUERIES: recipe.queries}
    return {**vars(worth), **told, **known, "curve": watch.curve}


def _chooses(job: Job) -> bool:
    """Whether a training looks at validation for more than its report: which step to keep, when to stop, how to mix."""
    settings = job.settings
    mixes = SYSTEMS[job.system].ours and settings.graded.mixing != (1.0,)
    return mixes or bool(settings.training.patience) or job.steps > job.interval


def _validation(bench: Bench, job: Job, budget: int) -> Validation:
    """What every trial of the study is measured on, whatever its own seed: so many tokens of documents."""
    prepared = bench.prepared
    seed = prepared.settings.seed
    data, texts = (prepared.records, prepared.task), (job.texts, job.tokens)
    found = make_validation(data, texts, (), job.compute, seed, budget)
    if found is None:  # which was refused before
        raise NestvecError("there is nothing to measure a trial on")
    return found


def _recipe(bench: Bench, params: dict[str, Any]) -> Recipe:
    """What a trial trains."""
    settings, task = bench.prepared.settings, bench.prepared.task
    if SHARE not in params:
        return Recipe(applied(settings, params), task)
    # a repeat draws its own queries and trains in its own order; whom it is measured on stays
    seed = settings.seed + int(params[REPEAT])
    part, queries = of_queries(bench.prepared.records, task, float(params[SHARE]), seed ^ _STREAM)
    return Recipe(replace(settings, seed=seed % 2**32), part, queries)


def reference(bench: Bench, model: SentenceTransformer) -> Worth:
    """What a model is worth by the trials' own measure.

    Args:
        bench: the study's.
        model: any of the same width and tokenizer.

    Returns:
        What trials are compared with.
    """
    from nestvec.training.job import make_job

    prepared = bench.prepared
    data = prepared.records, prepared.grades, prepared.task
    settings = replace(prepared.settings, graded=replace(prepared.settings.graded, hard_negatives=0))
    job = make_job(model, bench.system, data, settings, prepared.dimensions)
    return measure(model, _validation(bench, job, MEASURED), bench.aim, bench.aim.point({}))


def _said(error: Exception) -> str:
    """What went wrong, in a line."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, NestvecError) else f"{type(error).__name__}: {text}"[:500]
