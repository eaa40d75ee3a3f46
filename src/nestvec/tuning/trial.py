"""Run one trial of a tuning study: train with the trial's settings, measure on validation, and record the result."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError, NestvecError, StoppedError
from nestvec.evaluation.ranking import ask_words
from nestvec.files import read_json, remove, write_json, write_text
from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.words import WordForms
from nestvec.models.load import load_model
from nestvec.runs.config import config_text
from nestvec.training.examples import TrainingData
from nestvec.training.systems import SYSTEMS
from nestvec.training.validation import BUDGET, make_validation
from nestvec.tuning.aim import measure_model
from nestvec.tuning.space import apply_params
from nestvec.tuning.trial_data import take_query_share
from nestvec.tuning.trial_queue import MESSAGE, REPORTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optuna import Trial
    from sentence_transformers import SentenceTransformer

    from nestvec.data.task import Task
    from nestvec.evaluation.ranking import Words
    from nestvec.pipeline.inputs import Prepared
    from nestvec.point import VectorFormat
    from nestvec.progress import Reporter
    from nestvec.settings import Settings
    from nestvec.training.job import Job
    from nestvec.training.validation import Validation
    from nestvec.tuning.aim import Aim, Measurement
    from nestvec.tuning.trial_queue import TrialQueue

TRIALS, SETTINGS, CURVE, FACTS, CHECKPOINTS = "trials", "settings.toml", "curve.json", "trial.json", "checkpoints"
SYSTEM, SHARE, REPEAT, QUERIES = "system", "share", "repeat", "queries"  # of a data-size search
LOOKED, MEASURED = BUDGET // 2, 4 * BUDGET  # tokens of documents that are encoded: while training, and at the end
_STREAM = 0x51  # makes the draws of queries independent of other draws with the same seed


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a tuning study share: input, aim and folder."""

    prepared: Prepared  # the input without the test split
    aim: Aim
    root: Path  # the study's folder
    measures_fused: bool = False  # whether trials are also measured fused with keyword search

    @property
    def system(self) -> str:
        """The system that trials train; with `--search data-size`, which may train several, the first of them."""
        return self.prepared.settings.training.systems[0]

    def folder(self, slot: int) -> Path:
        """Return the folder for the files of the planned trial with number `slot`."""
        return self.root / TRIALS / f"{slot:04d}"


@dataclass(frozen=True)
class TrialTraining:
    """What a trial trains: the system, its settings, and the records to train on."""

    system: str
    settings: Settings
    task: Task  # says which records are trained on
    queries: int | None = None  # number of training queries; only in a search over the size of the data


class TrialWatch:
    """Measures a trial's model during its training, reports the values to Optuna, and stops a trial that falls behind.

    Args:
        trial: the trial in Optuna.
        measure: measures the model in its present state on a small part of the validation data.
        steps: number of steps of the whole training.
        path: file for the values measured so far, from which a later process continues if this process is killed.
        reports: whether to report values to Optuna, which accepts none during a trial with two aims.
    """

    def __init__(self, trial: Trial, measure: Callable[[], Measurement], steps: int, path: Path, reports: bool) -> None:
        self._trial, self._measure, self._path, self._reports = trial, measure, path, reports
        self._places = {ceil(steps * place / REPORTS): place for place in range(1, REPORTS)}  # by step
        self.curve: list[dict[str, float]] = []

    def resume_curve(self, step: int) -> None:
        """Report again the values that a killed process measured up to `step`, after which the training continues."""
        for point in read_json(self._path) if self._path.exists() else ():
            if point["step"] <= step and point["place"] < REPORTS:  # the last point is measured again
                self._report_point(point)

    def __call__(self, step: int) -> None:
        """Measure the model after certain steps; raise TrialPruned if the trial falls behind and must stop."""
        place = self._places.get(step)
        if place is None or any(point["place"] == place for point in self.curve):
            return
        self._report_point({"place": place, "step": step, "value": self._measure().value})
        write_json(self._path, self.curve)
        if self._reports and self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned

    def finish(self, step: int) -> None:
        """Measure the model at the end of its training, and report the value."""
        self._report_point({"place": REPORTS, "step": step, "value": self._measure().value})
        write_json(self._path, self.curve)

    def _report_point(self, point: dict[str, float]) -> None:
        """Append a measured value to the curve of this trial and report the value to Optuna."""
        self.curve.append(point)
        if self._reports:
            self._trial.report(point["value"], int(point["place"]))


def run_trial(context: TrialContext, queue: TrialQueue, trial: Trial, slot: int, reporter: Reporter) -> None:
    """Train, measure and record a trial; a failed trial is recorded with its error message.

    Raises StoppedError at Ctrl-C or SIGTERM; a continued study continues the trial. Raises MissingExtraError if a
    library is missing, because all other trials would fail, too.
    """
    from optuna import TrialPruned

    folder, start = context.folder(slot), time.perf_counter()
    facts: dict[str, Any] = {"slot": slot, "params": dict(trial.params), "worker": f"{platform.node()}:{os.getpid()}"}
    values: list[float] | None = None
    pruned = False
    try:
        facts |= _train_and_measure(context, trial, slot, folder, reporter)
        values = [facts["value"], facts["bytes_per_vector"]] if context.aim.with_bytes else [facts["value"]]
    except TrialPruned:
        pruned = True
        facts["curve"] = read_json(folder / CURVE)
    except (StoppedError, MissingExtraError, KeyboardInterrupt):
        raise
    except Exception as error:  # other settings may still work
        facts[MESSAGE] = _describe_failure(error)
    facts["seconds"] = round(time.perf_counter() - start, 2)
    facts["state"] = "pruned" if pruned else "failed" if values is None else "complete"
    write_json(folder / FACTS, facts)
    remove(folder / CHECKPOINTS)
    remove(folder / CURVE)
    for name, value in facts.items():
        if name not in {"slot", "params", "state"}:
            trial.set_user_attr(name, value)
    queue.end_trial(trial, values, pruned)


def _train_and_measure(
    context: TrialContext, trial: Trial, slot: int, folder: Path, reporter: Reporter
) -> dict[str, Any]:
    """Train and measure the model of a trial; return the facts for `trial.json`."""
    from nestvec.training.job import make_job
    from nestvec.training.train import train
    from nestvec.training.trainer import last_checkpoint, step_of

    prepared, aim = context.prepared, context.aim
    training = _trial_training(context, dict(trial.params))
    write_text(folder / SETTINGS, config_text(training.settings, prepared.inputs))
    model = load_model(prepared.model)
    data = TrainingData.of(prepared.records, prepared.grades, training.task)
    job = make_job(model, training.system, data, training.settings, prepared.dimensions)
    if not _needs_validation(job):
        job = replace(job, validation=None)
    quick, stored = _trial_validation(context, job, LOOKED), aim.choose_format(trial.params)

    def measure() -> Measurement:
        return measure_model(model, quick, aim, stored)

    watch = TrialWatch(trial, measure, job.steps, folder / CURVE, reports=not aim.with_bytes)
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    watch.resume_curve(step_of(checkpoint) if checkpoint else 0)
    with reporter.step(f"trial {slot + 1}", job.steps) as advance:
        trained = train(model, job, folder / CHECKPOINTS, None, advance, watch)
    watch.finish(trained.steps)
    measured = _measure_at_end(context, model, job, stored)
    facts = {name: getattr(trained, name) for name in ("steps", "learning_rate", "rows", "best_step", "mixed")}
    queries = {} if training.queries is None else {QUERIES: training.queries}
    return {**vars(measured), **facts, **queries, "curve": watch.curve}


def _needs_validation(job: Job) -> bool:
    """Whether a training needs validation: to choose the step to keep, to stop early, or to mix weights."""
    settings = job.settings
    mixes = SYSTEMS[job.system].ours and settings.graded.mixing != (1.0,)
    return mixes or bool(settings.training.patience) or job.steps > job.interval


def _trial_validation(context: TrialContext, job: Job, budget: int) -> Validation:
    """Make a trial's validation data, the same for all trials; its documents have about `budget` tokens in all."""
    prepared = context.prepared
    data = TrainingData(prepared.records, prepared.grades, prepared.task, job.texts)
    validation = make_validation(data, job.tokens, (), job.compute, prepared.settings.seed, budget)
    if validation is None:  # cannot happen: `hide_test_split` refuses data without validation queries
        raise NestvecError("there is no validation query to measure a trial on")
    return validation


def _measure_at_end(context: TrialContext, model: SentenceTransformer, job: Job, stored: VectorFormat) -> Measurement:
    """Measure a trial's trained model on validation; in a data-size search also fused with keyword search."""
    validation = _trial_validation(context, job, MEASURED)
    words = _ask_keyword_search(context, validation, job) if context.measures_fused else None
    return measure_model(model, validation, context.aim, stored, words)


def _ask_keyword_search(context: TrialContext, validation: Validation, job: Job) -> Words:
    """Rank the validation documents for the validation queries by BM25 with default settings."""
    catalogue = validation.catalogue
    lexical = LexicalSettings(WordForms(context.prepared.settings.evaluation.language or "english"))
    index = Bm25.of([catalogue.texts[row] for row in catalogue.order], lexical)
    return ask_words(index, [job.texts.queries[number] for number in validation.queries.tolist()], catalogue)


def _trial_training(context: TrialContext, params: dict[str, Any]) -> TrialTraining:
    """Return what a trial with these parameters trains: system, settings, and records to train on."""
    settings, task = context.prepared.settings, context.prepared.task
    if SHARE not in params:
        return TrialTraining(context.system, apply_params(settings, params), task)
    # a repeat draws its own queries and trains in its own order, but is measured on the same queries
    seed = settings.seed + int(params[REPEAT])
    task, queries = take_query_share(context.prepared.records, task, float(params[SHARE]), seed ^ _STREAM)
    system = str(params.get(SYSTEM, context.system))
    return TrialTraining(system, replace(settings, seed=seed % 2**32), task, queries)


def measure_reference(context: TrialContext, model: SentenceTransformer) -> Measurement:
    """Measure a model on validation exactly like the models of trials, whose width and tokenizer it must share."""
    from nestvec.training.job import make_job

    prepared = context.prepared
    data = TrainingData.of(prepared.records, prepared.grades, prepared.task)
    settings = replace(prepared.settings, graded=replace(prepared.settings.graded, hard_negatives=0))
    job = make_job(model, context.system, data, settings, prepared.dimensions)
    return _measure_at_end(context, model, job, context.aim.choose_format({}))


def _describe_failure(error: Exception) -> str:
    """Return an error's message as one line, with the error's class unless nestvec raised it on purpose."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, NestvecError) else f"{type(error).__name__}: {text}"[:500]
