"""Prepare a tuning study: check the input, choose the settings to search, create the folder, open the trial queue."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec import distributed
from nestvec.errors import InputError
from nestvec.pipeline.inputs import prepare
from nestvec.runs.config import FILES_OF, config_text
from nestvec.runs.folder import claim_folder
from nestvec.settings import ADAPTED, Settings
from nestvec.training.systems import SYSTEMS
from nestvec.tuning.aim import parse_aim
from nestvec.tuning.space import Values, default_space, read_space
from nestvec.tuning.storage import ServerLocks, open_study_storage
from nestvec.tuning.trial import REPEAT, SHARE, SYSTEM, TrialContext
from nestvec.tuning.trial_data import hide_test_split
from nestvec.tuning.trial_queue import TrialQueue, TrialRules, plan_trials
from nestvec.tuning.tune_settings import SHARES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.pipeline.inputs import Prepared
    from nestvec.tuning.aim import Aim
    from nestvec.tuning.space import Space, Value
    from nestvec.tuning.tune_settings import TuneSettings

DEFAULT_SYSTEM = "matryoshka"


@dataclass(frozen=True)
class Study:
    """A tuning study whose input and settings are checked, so that it can start."""

    tuning: TuneSettings
    context: TrialContext  # without the test split
    settings: Settings  # resolved; shared by all trials, and the defaults that the best settings are compared with
    rules: TrialRules
    root: Path  # the study's folder
    name: str  # the study's name in the storage

    @property
    def aim(self) -> Aim:
        """The aim of the study: the metric, and the vector format or few bytes."""
        return self.context.aim

    @property
    def space(self) -> Space:
        """The search space: the settings that are searched, with the values or the range of each."""
        return self.rules.space

    def claim(self) -> None:
        """Create the study's folder, or accept a folder with the same settings; first check the database server."""
        if self.tuning.storage is not None:
            ServerLocks(self.tuning.storage, self.name).close()
        config = config_text(self.settings, self.context.prepared.inputs, _tune_table(self))
        claim_folder(self.root, config)

    @contextmanager
    def open_queue(self) -> Iterator[TrialQueue]:
        """Open the study's storage and yield the queue of trials; close the storage when the `with` block ends."""
        with closing(open_study_storage(self.root, self.tuning.storage, self.name)) as storage:
            yield TrialQueue(storage, self.name, self.rules)


def prepare_study(settings: Settings, tuning: TuneSettings, root: Path) -> Study:
    """Read and check everything that a study needs; writes nothing.

    Raises InputError if the input, a setting, the aim or the space is wrong.
    """
    if settings.training.epochs == 0:
        raise InputError("--epochs is 0", "1 or more, because every trial trains")
    if settings.split.folds:
        wanted = "tune without --folds, because all trials share one split"
        raise InputError(f"--folds is {settings.split.folds}", wanted)
    if distributed.world_size() > 1:
        wanted = "nestvec tune without torchrun, and --workers N or --engine ray"
        raise InputError("tune was started by torchrun", wanted)
    settings = _settle_systems(settings, tuning)
    prepared = prepare(settings)
    aim = parse_aim(tuning.aim, prepared.settings, prepared.dimensions)
    if aim.with_bytes and tuning.is_data_size:
        raise InputError(f"--aim is {tuning.aim}", "an aim without `,bytes`, because --search data-size has one aim")
    prepared = _include_aim_format(prepared, aim)
    space = _settle_space(tuning, prepared.settings, aim)
    slots, fixed = plan_trials(space, "grid" if tuning.is_data_size else tuning.search, tuning.trials, settings.seed)
    if tuning.is_data_size:
        fixed = _order_sizes(fixed)
        slots = len(fixed)
    name = tuning.study or root.resolve().name
    pruner = "none" if tuning.is_data_size else tuning.pruner
    rules = TrialRules(tuning.search, slots, fixed, space, pruner, tuple(aim.directions), settings.seed, identity="")
    context = TrialContext(hide_test_split(prepared), aim, root, measures_fused=tuning.is_data_size)
    study = Study(tuning, context, prepared.settings, rules, root, name)
    return replace(study, rules=replace(rules, identity=_hash_identity(study)))


def _order_sizes(points: tuple[dict[str, Value], ...]) -> tuple[dict[str, Value], ...]:
    """Order the trainings of `--search data-size`, those on few queries first, because they finish early.

    A system that learns without judgements is trained once per repeat only, on the full data.
    """
    kept = [point for point in points if point[SHARE] == 1 or SYSTEMS[str(point.get(SYSTEM, DEFAULT_SYSTEM))].judged]
    return tuple(sorted(kept, key=lambda point: (point[SHARE], point[REPEAT])))


def _settle_systems(settings: Settings, tuning: TuneSettings) -> Settings:
    """Set the system to tune: `matryoshka` unless the user named another; raise InputError for several systems.

    Only `--search data-size` takes several systems; the first of them must learn from judgements.
    """
    systems = settings.training.systems
    if systems == Settings().training.systems:
        systems = (DEFAULT_SYSTEM,)
    if len(systems) > 1 and not tuning.is_data_size:
        raise InputError(f"--systems is {', '.join(systems)}", "one system to tune, or --search data-size")
    if tuning.is_data_size and not SYSTEMS[systems[0]].judged:
        problem = f"--systems begins with {systems[0]}, which learns without judgements"
        raise InputError(problem, f"first a system that learns from judgements: --systems mnr,{systems[0]}")
    if settings.training.start_of(systems[0]) == ADAPTED:
        problem = f"--adapt is {settings.training.adapt}, but trials always start from the model given as --model"
        raise InputError(problem, "nestvec run --systems adapted first, then nestvec tune --model RUN/models/adapted")
    return replace(settings, training=replace(settings.training, systems=systems))


def _include_aim_format(prepared: Prepared, aim: Aim) -> Prepared:
    """Add the dimension and the precision of the aim to those that are measured."""
    evaluation = prepared.settings.evaluation
    dimensions = tuple(sorted({*prepared.dimensions, aim.format.dimension}, reverse=True))
    weights = prepared.settings.training.dimension_weights
    if weights is not None and len(weights) != len(dimensions):
        problem = f"--dimension-weights holds {len(weights)} numbers"
        raise InputError(
            problem, f"one weight for each of the widths {', '.join(map(str, dimensions))}, the aim's among them"
        )
    precisions = tuple(dict.fromkeys((*evaluation.precisions, aim.format.precision)))
    evaluation = replace(evaluation, dimensions=dimensions, precisions=precisions)
    return replace(prepared, settings=replace(prepared.settings, evaluation=evaluation))


def _settle_space(tuning: TuneSettings, settings: Settings, aim: Aim) -> Space:
    """Choose the search space: sizes and repeats for data-size; else the table `[tune.space]`, or the default space."""
    if tuning.is_data_size:
        systems = settings.training.systems
        named = (Values(SYSTEM, systems),) if len(systems) > 1 else ()
        return *named, Values(SHARE, SHARES), Values(REPEAT, tuple(range(tuning.repeats)))
    if tuning.space is not None:
        return read_space(tuning.space, settings, aim, tuning.where)
    return default_space(settings.training.systems[0], tuning.search == "grid", aim, settings)


def _tune_table(study: Study) -> dict[str, Any]:
    """Make the table `[tune]` of the study's config.toml."""
    tuning = study.tuning
    table: dict[str, Any] = {"search": tuning.search, "aim": study.aim.name, "pruner": study.rules.pruner}
    if tuning.is_data_size:
        return {**table, "repeats": tuning.repeats}
    return {**table, "trials": study.rules.slots, "space": {knob.name: knob.to_toml() for knob in study.space}}


def _hash_identity(study: Study) -> str:
    """Hash what identifies a study: settings, search space and the contents of data and model, but no paths."""
    settings = study.settings.flat()
    for path in ("source", "queries", "corpus", "qrels", "model"):
        settings.pop(path, None)
    table = _tune_table(study)
    table.pop("trials", None)
    inputs = {name: code for name, code in study.context.prepared.inputs.items() if not name.startswith(FILES_OF)}
    content = json.dumps(
        [settings, inputs, table], sort_keys=True
    )  # without hashes of single files: earlier versions had none, and the folder's config.toml checks them
    return hashlib.sha256(content.encode()).hexdigest()
