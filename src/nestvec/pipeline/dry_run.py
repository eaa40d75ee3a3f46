"""Plan a run for `--dry-run`: what the run would do, and about how long the run would take; writes nothing.

The input is read and checked as for a run. Times are estimated from trials of about two seconds on this machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from nestvec.errors import MissingExtraError
from nestvec.models.load import load_model
from nestvec.pipeline.inputs import prepare, read_task
from nestvec.pipeline.rank_points import count_points
from nestvec.pipeline.run_stages import settle_compute
from nestvec.pipeline.trial_speed import time_encoding, time_point, time_step
from nestvec.progress import Silent
from nestvec.runs.config import config_text
from nestvec.runs.folder import RunFolder, refuse_folder

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task
    from nestvec.pipeline.inputs import Prepared
    from nestvec.pipeline.trial_speed import EncodingSpeed
    from nestvec.progress import Reporter
    from nestvec.settings import Settings


@dataclass(frozen=True)
class PlannedTraining:
    """The planned training of one system; with cross-validation, the trainings of all folds.

    Attributes:
        system: the system's name.
        rows: training rows; each holds a query and its documents.
        batch: rows per batch.
        epochs: passes over the rows.
        steps: optimizer steps of a training that is not stopped early.
        trainings: number of trainings: 1, or with folds the number of folds plus 1.
        seconds: estimated duration of all trainings.
    """

    system: str
    rows: int
    batch: int
    epochs: int
    steps: int
    trainings: int
    seconds: float


@dataclass(frozen=True)
class PlannedEncoding:
    """The planned encoding of texts by one system: the number of texts, and the estimated duration in seconds."""

    system: str
    texts: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The plan of a run: data, split, trainings, encodings and estimated times.

    Attributes:
        settings: the settings of the run, resolved as far as possible.
        records: the records that the run would read.
        grades: histogram and threshold of the grades.
        task: the split.
        protocol: how the records are split; `own` if a column of the source assigns each record to a split.
        dimensions: widths that would be measured; empty if the extra `train` is not installed.
        root: the run's folder; None if none is given.
        done: stages that are already finished in the run's folder.
        trainings: the planned training of each system to train.
        encodings: the planned encoding of each system with vectors.
        points: number of points (systems in a vector format) that would be measured.
        point_seconds: estimated duration of ranking and measuring all queries for one point.
        lacking: why the plan has no training and no times, such as a missing extra; empty if the plan is complete.
    """

    settings: Settings
    records: Records
    grades: Grades
    task: Task
    protocol: str
    dimensions: tuple[int, ...] = ()
    root: Path | None = None
    done: tuple[str, ...] = ()
    trainings: tuple[PlannedTraining, ...] = ()
    encodings: tuple[PlannedEncoding, ...] = ()
    points: int = 0
    point_seconds: float = 0.0
    lacking: str = ""

    @cached_property
    def seconds(self) -> tuple[float, float, float]:
        """Estimated seconds of training, of encoding and of ranking; finished stages count as 0."""
        training = sum(part.seconds for part in self.trainings if f"train {part.system}" not in self.done)
        encoding = sum(part.seconds for part in self.encodings if f"encode {part.system}" not in self.done)
        return training, encoding, 0.0 if "evaluate" in self.done else self.points * self.point_seconds


def plan_run(settings: Settings, root: Path | None, reporter: Reporter | None = None) -> Plan:
    """Read and check the input of a run and plan the run; writes nothing.

    Args:
        settings: settings of the run.
        root: the run's folder; None if none is given.
        reporter: shows the progress.

    Returns:
        The plan; if the extra `train` is not installed, it has the data and the split, but no training and no times.

    Raises:
        InputError: the input or a setting is wrong, or the folder was made with other settings.
    """
    reporter = reporter or Silent()
    with reporter.step("read the input", 1) as advance:
        try:
            prepared = prepare(settings)
        except MissingExtraError as error:
            return _plan_without_model(settings, root, str(error))
        advance(1)
    compute = settle_compute(prepared.settings.training.compute, root) if root else prepared.settings.training.compute
    prepared = prepared.computing_in(compute)
    if root is not None:
        refuse_folder(root, config_text(prepared.settings, prepared.inputs))
    with reporter.step("measure the speed of this machine", len(prepared.systems) + len(prepared.trained)) as advance:
        models = {system: prepared.others.get(system, prepared.model) for system in prepared.systems}
        speeds: dict[str, EncodingSpeed] = {}  # by the model's path: a trained model is as fast as its base model
        for model in models.values():
            if str(model.path) not in speeds:
                speeds[str(model.path)] = time_encoding(prepared, model)
            advance(1)
        by_system = {system: speeds[str(model.path)] for system, model in models.items()}
        trainings = []
        for system in prepared.trained:
            trainings.append(_plan_training(prepared, system, by_system[system]))
            advance(1)
    return Plan(
        prepared.settings,
        prepared.records,
        prepared.grades,
        prepared.task,
        prepared.protocol,
        prepared.dimensions,
        root,
        tuple(RunFolder(root).done()) if root else (),
        tuple(trainings),
        tuple(_plan_encoding(prepared, system, speed) for system, speed in by_system.items()),
        count_points(prepared),
        time_point(prepared),
    )


def _plan_without_model(settings: Settings, root: Path | None, why: str) -> Plan:
    """Plan a run if the extra `train` is not installed: the data and the split, but no training and no times."""
    records, grades, task = read_task(settings)
    protocol = settings.split.protocol if records.labels is None else "own"
    return Plan(replace(settings, split=task.split), records, grades, task, protocol, root=root, lacking=why)


def _plan_training(prepared: Prepared, system: str, speed: EncodingSpeed) -> PlannedTraining:
    """Plan a system's training, and time some training steps with the run's settings, but without hard negatives."""
    from nestvec.training.examples import TrainingData
    from nestvec.training.job import make_job

    settings, task = prepared.settings, prepared.task
    settings = replace(settings, graded=replace(settings.graded, hard_negatives=0))  # mining takes all documents
    data = TrainingData.of(prepared.records, prepared.grades, task.learning)
    job = make_job(load_model(prepared.model), system, data, settings, prepared.dimensions)
    trainings = 1 + len(task.folds)
    seconds = job.steps * time_step(prepared, job)
    if job.validation is not None:
        validations = 1 + math.ceil(job.steps / job.interval)
        seconds += validations * speed.estimate(len(job.validation.queries), len(job.validation.documents))
    sizes = len(job.examples), job.batch_size, job.epochs, job.steps, trainings
    return PlannedTraining(system, *sizes, trainings * seconds)


def _plan_encoding(prepared: Prepared, system: str, speed: EncodingSpeed) -> PlannedEncoding:
    """Count the texts that a system encodes: all queries and documents; a trained system also in each fold."""
    queries, documents = len(prepared.task.texts), len(prepared.catalogue.ids)
    times = 1 + (len(prepared.task.folds) if system in prepared.trained else 0)
    return PlannedEncoding(system, times * (queries + documents), times * speed.estimate(queries, documents))
