"""Read and check everything that a run needs (judgements, models, settings), before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.folds import make_folded_task, split_folds
from nestvec.data.grades import Grades, find_too_many, read_grades
from nestvec.data.load_records import load_records
from nestvec.data.own_split import NO_SPLIT
from nestvec.data.records import Records
from nestvec.data.split import HELD_OUT, split_records
from nestvec.data.task import Task, ask_training_queries, make_task
from nestvec.errors import InputError
from nestvec.evaluation.fit import MOST_QUERIES, FitQueries
from nestvec.evaluation.metrics import Judgements
from nestvec.evaluation.surface import Catalogue, Topics
from nestvec.extras import require_extras
from nestvec.lexical.words import detect_language
from nestvec.models.find import ModelFolder, find_model, list_short_names
from nestvec.models.load import load_model, measure_width, read_width
from nestvec.models.model_hashes import join_hashes
from nestvec.models.prompts import Prompts, has_router
from nestvec.pipeline.prompt_findings import find_prompt_problems
from nestvec.pipeline.shares import choose_shares
from nestvec.point import BM25, FULL, PRETRAINED, VectorFormat
from nestvec.runs.config import FILES_OF
from nestvec.runs.trec_ids import TrecIds
from nestvec.settings import CATALOGUE, NEED_NEGATIVES, REPORTERS, Settings, parse_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEWEST_DOCUMENTS = 2  # a model learns to tell documents apart, so it needs two


@dataclass(frozen=True)
class Prepared:
    """The checked input of a run: settings, records, grades, split and models."""

    settings: Settings
    records: Records
    grades: Grades
    task: Task
    model: ModelFolder
    others: dict[str, ModelFolder] = field(default_factory=dict)  # systems measured without training, and their models
    missing: dict[str, str] = field(default_factory=dict)  # models that were not found, and why

    def computing_in(self, compute: str) -> Prepared:
        """Return a copy of the input whose training computes in the format `compute`, `float32` or `bfloat16`."""
        training = replace(self.settings.training, compute=compute)
        return replace(self, settings=replace(self.settings, training=training))

    def in_fold(self, number: int) -> Prepared:
        """Return the input of cross-validation fold `number`, counted from 1; every fold trains with another seed."""
        settings = replace(self.settings, seed=(self.settings.seed + number) % 2**32)
        return replace(self, settings=settings, task=self.task.folds[number - 1])

    @property
    def protocol(self) -> str:
        """How the records were split: a value of `--protocol`, or `own` if a column of the source names the split."""
        return self.settings.split.protocol if self.records.labels is None else "own"

    @property
    def trained(self) -> tuple[str, ...]:
        """Systems to train; none with `--epochs 0`."""
        return self.settings.training.trained

    @property
    def systems(self) -> tuple[str, ...]:
        """Systems with vectors (all but BM25), in the order in which they are measured."""
        return (PRETRAINED, *self.others, *self.trained)

    @property
    def prompts(self) -> dict[str, Prompts]:
        """The prompts of each system; trained systems use the pretrained model's prompts."""
        return {system: self.others.get(system, self.model).prompts for system in self.systems}

    @property
    def inputs(self) -> dict[str, str]:
        """SHA-256 of each input by name: the source, each model's weights and files, and prompts."""
        models = {"model": self.model} | {f"model {name}": model for name, model in self.others.items()}
        weights = {name: model.sha256 for name, model in models.items()}
        files = {f"{FILES_OF}{name}": join_hashes(dict(model.files)) for name, model in models.items()}
        prompts = {f"prompts of {name}": model.prompts.sha256 for name, model in self.others.items() if model.prompts}
        return {"source": self.records.sha256, **weights, **prompts, **files}

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Vector widths to measure of the pretrained model and of trained systems, widest first."""
        return self.settings.evaluation.dimensions or ()

    def widths(self, system: str) -> tuple[int, ...]:
        """Vector widths at which a system is measured, widest first; a model of `--models` also at its full width."""
        if system not in self.others:
            return self.dimensions
        full = read_width(self.others[system])
        return tuple(sorted({full, *(width for width in self.dimensions if width <= full)}, reverse=True))

    def formats(self, system: str) -> list[VectorFormat]:
        """Vector formats in which a system is measured: all widths and precisions, some also on PCA axes."""
        evaluation, widths = self.settings.evaluation, self.widths(system)
        plain = [VectorFormat(width, precision) for width in widths for precision in evaluation.precisions]
        turned = [precision for precision in evaluation.precisions if precision in evaluation.axes_precisions]
        return plain + [VectorFormat(width, precision, axes=True) for width in widths[1:] for precision in turned]

    def stages(self, system: str) -> tuple[tuple[VectorFormat, VectorFormat], ...]:
        """Two-stage searches that are measured for a system: pairs of a shortlist's and a reranking's vector format.

        Without `--two-stage`, the shortlist has int8 vectors of the narrowest width or binary vectors of full width,
        and the reranking has int8 vectors of full width. Pairs of `--two-stage` wider than the model are left out.
        """
        widths, asked = self.widths(system), self.settings.evaluation.two_stage
        if asked is not None:
            return tuple(pair for pair in map(parse_stages, asked) if max(pair).dimension <= widths[0])
        fine = VectorFormat(widths[0], "int8")
        return (VectorFormat(widths[-1], "int8"), fine), (VectorFormat(widths[0], "binary"), fine)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The documents that are searched when queries are measured."""
        rows = self.task.catalogue.tolist()
        ids, texts = self.records.document_ids, self.records.documents
        return Catalogue([ids[row] for row in rows], [texts[row] for row in rows], self.task.own)

    @cached_property
    def trec_ids(self) -> tuple[TrecIds, TrecIds]:
        """The ids of queries and of documents in the form that TREC files hold, without white space."""
        return TrecIds.of(dict.fromkeys(self.task.ids)), TrecIds.of(self.catalogue.ids)

    @cached_property
    def topics(self) -> Topics:
        """The queries that are measured: validation and test queries, or all queries with folds."""
        number: dict[str, int] = {}
        texts = np.array([number.setdefault(text, len(number)) for text in self.task.texts])
        return Topics(np.arange(len(self.task.ids)), self.task.ids, self.task.splits, texts, self.task.fold)

    @cached_property
    def fit_queries(self) -> FitQueries:
        """Training queries with which the settings of keyword search and of fused search are chosen."""
        metric, seed = self.settings.recommendation.metric, self.settings.seed
        asked = ask_training_queries(self.records, self.grades, self.task.learning, MOST_QUERIES, seed)
        shape = len(asked.texts), len(self.task.catalogue)
        judgements = Judgements(asked.topic, asked.document, asked.gain, shape, self.task.relevant_from)
        return FitQueries(asked.texts, judgements, replace(self.catalogue, own=asked.own), metric)

    @cached_property
    def judgements(self) -> Judgements:
        """The judgements of the queries that are measured: validation and test queries, or all queries with folds."""
        task = self.task
        shape = len(task.ids), len(task.catalogue)
        return Judgements(task.topic, task.document, task.gain, shape, task.relevant_from)


def prepare(settings: Settings) -> Prepared:
    """Read and check a run's input and resolve its settings, without writing; raise InputError if anything is wrong."""
    require_extras("train", "evaluate", "report")
    for name in settings.training.report_to:
        if not any(find_spec(module) for module in REPORTERS[name]):
            raise InputError(f"--report-to names {name}, which is not installed", f"pip install {name}")
    model = find_model(settings.training.model, settings.training.model_sha256)
    _refuse_router(settings, model)
    settings, model = _settle_prompts(_resolve_settings(settings, _measure_model(model, settings)), model)
    others, missing = _find_other_models(settings, model)
    records, grades, task = read_task(settings)
    _refuse_untrainable(settings, records, grades, task)
    _refuse_unread(settings, records, task)
    pinned = dict(records.columns)  # recorded, so that a run with this config reads the same data
    if records.revision is not None:
        pinned["revision"] = records.revision
    settings = replace(settings, data=replace(settings.data, **pinned), split=task.split)  # type: ignore[arg-type]
    if settings.evaluation.language is None:
        language = detect_language(records.documents)
        settings = replace(settings, evaluation=replace(settings.evaluation, language=language))
    found = [*find_prompt_problems((model, *others.values())), *filter(None, [find_too_many(grades)])]
    records = replace(records, findings=(*records.findings, *found))
    return Prepared(settings, records, grades, task, model, others, missing)


def _settle_prompts(settings: Settings, model: ModelFolder) -> tuple[Settings, ModelFolder]:
    """Apply the prompts of the settings to the model, and record the prompts that result in the settings."""
    prompts = model.prompts.override(settings.training.query_prompt, settings.training.document_prompt)
    if prompts or model.prompts:
        training = replace(settings.training, query_prompt=prompts.query, document_prompt=prompts.document)
        settings = replace(settings, training=training)
    return settings, replace(model, prompts=prompts)


def _refuse_router(settings: Settings, model: ModelFolder) -> None:
    """Raise InputError if a model to train encodes queries and documents with different modules (Router)."""
    if settings.training.epochs and has_router(model.path):
        problem = "encodes queries and documents with different modules (Router): nestvec can measure, not train it"
        raise InputError(problem, "--epochs 0, or another model", file=model.path)


def _refuse_untrainable(settings: Settings, records: Records, grades: Grades, task: Task) -> None:
    """Raise InputError if a system needs documents judged not relevant, and the training split has none."""
    systems = settings.training.trained
    refused = [system for system in systems if system in NEED_NEGATIVES]
    if not refused or (records.grade[task.learning.in_part("train")] < grades.threshold).any():
        return
    able = [system for system in systems if system not in NEED_NEGATIVES] or Settings().training.systems
    where = "data" if not (records.grade < grades.threshold).any() else "training split"
    name = f"system {refused[0]} needs" if len(refused) == 1 else f"systems {', '.join(refused)} need"
    problem = f"{name} documents that were judged not relevant; the {where} holds relevant ones only"
    raise InputError(problem, f"--systems {','.join(able)}", file=settings.data.name)


def _refuse_unread(settings: Settings, records: Records, task: Task) -> None:
    """Raise InputError if `adapted` is to be trained and the split leaves fewer than two documents to train on."""
    if settings.training.adapted_on in ("", CATALOGUE):
        return
    number = records.normalised_documents
    for part in (task.learning, *(fold.learning for fold in task.folds)):
        left = len(np.unique(number[~part.held_out_documents]))
        if left < _FEWEST_DOCUMENTS:
            counted = "all documents belong" if not left else f"all documents but {left} belong"
            problem = f"adapted has no documents to learn from: {counted} to validation or test queries"
            wanted = f"--adapt {CATALOGUE}, which learns from all documents, or documents that nobody judged"
            raise InputError(problem, wanted, file=settings.data.name)


def _measure_model(folder: ModelFolder, settings: Settings) -> int:
    """Measure the width of a model's vectors; raise InputError if the model is to be trained, and cannot be trained."""
    model = load_model(folder)
    if settings.training.trained:
        from nestvec.training.trainable import refuse_untrainable

        refuse_untrainable(model, folder.path)
    return measure_width(model, folder.path)


def _find_other_models(settings: Settings, model: ModelFolder) -> tuple[dict[str, ModelFolder], dict[str, str]]:
    """Find the models of `--models` and `--bigger`, by system name; also return why a model was not found."""
    models, missing = [_find_whole(name) for name in settings.evaluation.models], {}
    if bigger := settings.evaluation.bigger:
        try:
            models.append(_find_whole(bigger, fetch=False))
        except InputError as error:
            missing[bigger.rpartition("/")[2]] = f"could not be loaded: {error}"
    taken = {PRETRAINED, BM25, *settings.training.trained}
    others: dict[str, ModelFolder] = {}
    seen = [model.hashes]  # of all files: the same weights with another pooling are another model
    for candidate in models:
        if candidate.hashes not in seen:
            others[_name_system(candidate, taken)] = candidate
            seen.append(candidate.hashes)
    return others, missing


def _find_whole(name: str, fetch: bool = True) -> ModelFolder:
    """Find a model to measure; raise InputError if the model cannot be loaded or cannot encode a text."""
    folder = find_model(name, fetch=fetch)
    read_width(folder)
    return folder


def _name_system(model: ModelFolder, taken: set[str]) -> str:
    """Choose a system name for a model: the shortest end of the model's name that no other system has."""
    for name in list_short_names(model.name):
        if name not in taken:
            break
    while name in taken:
        name += "-2"
    taken.add(name)
    return name


def read_task(settings: Settings) -> tuple[Records, Grades, Task]:
    """Read, check and split the judgements as the settings say; raise InputError if the judgements cannot be used."""
    protocol, data = settings.split.protocol, settings.data
    folds = settings.split.folds
    if (protocol != "leak-free" or folds) and data.split_column is None:  # the user's choice: ignore a split column
        data = replace(data, split_column=NO_SPLIT)
    if protocol == "published":  # splits by row numbers of the whole table, so nothing is merged or left out
        records = load_records(replace(data, max_records=None), merge=False)
    else:
        records = load_records(data, settings.seed)
    try:
        grades = read_grades(records.grade, data.threshold, records.unlisted, estimated=records.estimated)
        if folds:
            parted = split_folds(records, folds, protocol, settings.seed)
            return records, grades, replace(make_folded_task(records, grades, parted), split=settings.split)
        split = choose_shares(records, records.grade >= grades.threshold, data, settings.split, settings.seed)
        parts = split_records(records, data, split, settings.seed)
        task = make_task(records, grades, parts, protocol, _list_needed_parts(settings))
        return records, grades, replace(task, split=split)
    except InputError as error:
        raise error.with_file(data.name) from error


def _list_needed_parts(settings: Settings) -> Sequence[str] | None:
    """List the splits that need a relevant record if only `adapted` is trained; None for the usual ones."""
    return HELD_OUT if settings.training.only_adapted and settings.split.protocol != "published" else None


def _resolve_settings(settings: Settings, width: int) -> Settings:
    """Complete the widths and precisions to measure in the settings; full width and float32 are always included."""
    given = settings.evaluation.dimensions or (width // 2, width // 4, width // 8)
    if (largest := max(given)) > width:
        raise InputError(f"--dimensions holds {largest}", f"numbers from 1 to {width}, the model's width")
    dimensions = tuple(sorted({width, *given}, reverse=True))
    weights = settings.training.dimension_weights
    if weights is not None and len(weights) != len(dimensions):
        problem = f"--dimension-weights holds {len(weights)} numbers"
        raise InputError(problem, f"one weight for each of the widths {', '.join(map(str, dimensions))}")
    precisions = tuple(dict.fromkeys((FULL, *settings.evaluation.precisions)))
    return replace(settings, evaluation=replace(settings.evaluation, dimensions=dimensions, precisions=precisions))
