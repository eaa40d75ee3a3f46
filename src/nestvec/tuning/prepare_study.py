"""A study before its first trial: the input read and checked, the space settled, the folder claimed, the queue open."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec import distributed
from nestvec.errors import InputError
from nestvec.pipeline.inputs import prepare
from nestvec.runs.config import config_text
from nestvec.runs.folder import claim_folder
from nestvec.settings import Settings
from nestvec.tuning.aim import parse_aim
from nestvec.tuning.trial_data import blind
from nestvec.tuning.trial_queue import Board, Rules, planned
from nestvec.tuning.tune_settings import SHARES, SIZE
from nestvec.tuning.space import Values, default_space, read_space
from nestvec.tuning.storage import ServerLocks, open_store
from nestvec.tuning.trial import REPEAT, SHARE, Bench

if TYPE_CHECKING:
    from nestvec.pipeline.inputs import Prepared
    from nestvec.tuning.aim import Aim
    from nestvec.tuning.tune_settings import Plan
    from nestvec.tuning.space import Space
    from nestvec.tuning.storage import Store

DEFAULT_SYSTEM = "matryoshka"


@dataclass(frozen=True)
class Study:
    """A study that can begin.

    Attributes:
        plan: what it is to do.
        bench: what trials start from; without the test split.
        settings: those that all trials share, resolved; the defaults that the best is compared with.
        rules: how trials are chosen.
        root: its folder.
        name: its name in the storage.
    """

    plan: Plan
    bench: Bench
    settings: Settings
    rules: Rules
    root: Path
    name: str

    @property
    def aim(self) -> Aim:
        """What trials are worth."""
        return self.bench.aim

    @property
    def space(self) -> Space:
        """What is searched."""
        return self.rules.space

    def claim(self) -> None:
        """Make the folder, or take up the one that was begun with the same settings; a server must answer first."""
        if self.plan.storage is not None:
            ServerLocks(self.plan.storage, self.name).close()
        claim_folder(self.root, config_text(self.settings, self.bench.prepared.inputs, _table(self)), shared=True)

    def open(self) -> tuple[Board, Store]:
        """The queue of trials, and what must be closed at the end."""
        store = open_store(self.root, self.plan.storage, self.name)
        try:
            return Board(store, self.name, self.rules), store
        except BaseException:
            store.close()
            raise


def set_up(settings: Settings, plan: Plan, root: Path) -> Study:
    """Read and check everything; writes nothing.

    Args:
        settings: those that all trials share.
        plan: what the study is to do.
        root: its folder.

    Returns:
        The study.

    Raises:
        InputError: the input, a setting, the aim or the space is wrong.
    """
    if settings.training.epochs == 0:
        raise InputError("--epochs is 0", "1 or more: a trial is a training")
    if distributed.count() > 1:
        raise InputError("tune was started by torchrun", "--workers, or --engine ray")
    settings = _one_system(settings)
    prepared = prepare(settings)
    aim = parse_aim(plan.aim, prepared.settings, prepared.dimensions)
    if aim.small and plan.search == SIZE:
        raise InputError(f"--aim is {plan.aim}", "one aim, for a search over the size of the data")
    prepared = _measured(prepared, aim)
    hidden = blind(prepared)
    space = _space(plan, prepared.settings, aim)
    slots, fixed = planned(space, "grid" if plan.is_size else plan.search, plan.trials, settings.seed)
    if plan.is_size:  # the small ones first, so that something can be seen early
        fixed = tuple(sorted(fixed, key=lambda params: (params[SHARE], params[REPEAT])))
    name = plan.study or root.resolve().name
    pruner = "none" if plan.is_size else plan.pruner
    rules = Rules(plan.search, slots, fixed, space, pruner, tuple(aim.directions), settings.seed, identity="")
    study = Study(plan, Bench(hidden, aim, root), prepared.settings, rules, root, name)
    return replace(study, rules=replace(rules, identity=_identity(study)))  # which is of all the rest


def _one_system(settings: Settings) -> Settings:
    """The settings with the one system that is tuned: `matryoshka` where none was named."""
    systems = settings.training.systems
    if systems == Settings().training.systems:
        systems = (DEFAULT_SYSTEM,)
    if len(systems) > 1:
        raise InputError(f"--systems is {', '.join(systems)}", "one system to tune")
    return replace(settings, training=replace(settings.training, systems=systems))


def _measured(prepared: Prepared, aim: Aim) -> Prepared:
    """The input with the aim's own point among those that a run measures."""
    evaluation = prepared.settings.evaluation
    dimensions = tuple(sorted({*prepared.dimensions, aim.dimension}, reverse=True))
    weights = prepared.settings.training.dimension_weights
    if weights is not None and len(weights) != len(dimensions):
        found = f"--dimension-weights holds {len(weights)} numbers"
        raise InputError(found, f"one for each of the widths {', '.join(map(str, dimensions))}, the aim's among them")
    precisions = tuple(dict.fromkeys((*evaluation.precisions, aim.precision)))
    evaluation = replace(evaluation, dimensions=dimensions, precisions=precisions)
    return replace(prepared, settings=replace(prepared.settings, evaluation=evaluation))


def _space(plan: Plan, settings: Settings, aim: Aim) -> Space:
    """What is searched."""
    if plan.is_size:
        return Values(SHARE, SHARES), Values(REPEAT, tuple(range(plan.repeats)))
    if plan.space is not None:
        return read_space(plan.space, settings, aim, plan.where)
    return default_space(settings.training.systems[0], plan.search == "grid", aim, settings)


def _table(study: Study) -> dict[str, Any]:
    """The table `tune` of the study's config.toml."""
    plan = study.plan
    told: dict[str, Any] = {"search": plan.search, "aim": study.aim.name, "pruner": study.rules.pruner}
    if plan.is_size:
        return {**told, "repeats": plan.repeats}
    return {**told, "trials": study.rules.slots, "space": {knob.name: knob.told() for knob in study.space}}


def _identity(study: Study) -> str:
    """A hash of all that makes the study this one: settings, data, model and space, wherever they lie."""
    settings = study.settings.flat()
    for place in ("source", "queries", "corpus", "qrels", "model"):
        settings.pop(place, None)
    table = _table(study)
    table.pop("trials", None)
    told = json.dumps([settings, study.bench.prepared.inputs, table], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
