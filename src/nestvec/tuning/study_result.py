"""What a study found, and what it is worth on test: the best settings and the defaults are trained once more, whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nestvec.errors import NestvecError
from nestvec.files import write_text
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.pipeline.run import run_settings
from nestvec.runs.config import config_text
from nestvec.tuning.trial_queue import MESSAGE, SLOT, quiet
from nestvec.tuning.improvement import BEST, DEFAULT, gained
from nestvec.tuning.data_size import growth
from nestvec.tuning.space import applied
from nestvec.tuning.trial import reference

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nestvec.progress import Reporter
    from nestvec.settings import Settings
    from nestvec.tuning.trial_queue import Board
    from nestvec.tuning.prepare_study import Study

BEST_SETTINGS = "best.toml"
_FEWEST = 4  # complete trials from which importances can be guessed
_KEPT = (
    "error",
    "bytes_per_vector",
    "seconds",
    "steps",
    "learning_rate",
    "rows",
    "queries",
    "curve",
    "worker",
    MESSAGE,
)


def concluded(study: Study, board: Board, reporter: Reporter) -> dict[str, Any]:
    """Say what the trials found, and, where settings were searched, what the best ones gain on test.

    Args:
        study: what was to be done.
        board: its trials, all finished.
        reporter: is told of progress.

    Returns:
        What `study.json` holds.

    Raises:
        NestvecError: no trial came to an end.
    """
    finished = board.finished
    complete = {slot: trial for slot, trial in finished.items() if trial.state.name == "COMPLETE"}
    facts = _facts(study, board)
    if not complete:
        failed = [trial.user_attrs[MESSAGE] for trial in finished.values() if MESSAGE in trial.user_attrs]
        raise NestvecError(f"no trial came to an end; the last one: {failed[-1] if failed else 'stopped early'}")
    if study.plan.is_size:
        found = growth(facts["trials"], study.aim.metric, study.rules.seed, facts["validation_queries"])
        return {**facts, "growth": found.facts, "verdict": found.verdict}
    frontier = _frontier(complete, study.aim.small)
    slot = _chosen(complete, frontier, study)
    facts |= {"best": slot, "frontier": frontier, "importance": _importance(board, study)}
    chosen = complete[slot]
    settings = applied(study.settings, chosen.params)
    write_text(study.root / BEST_SETTINGS, config_text(settings, study.bench.prepared.inputs))
    for name, wanted in ((DEFAULT, study.settings), (BEST, settings)):
        reporter.say(f"{name}: training and measuring once more, with test")
        run_settings(wanted, study.root / name, reporter)
    gain = gained(study.root, study.bench.system, study.aim, study.aim.point(chosen.params))
    facts |= {"gain": gain.facts, "seen": gain.seen, "changed": _changed(study.settings, settings)}
    if not study.aim.small:
        model = load_model(find_model(str(study.root / DEFAULT / "models" / study.bench.system)))
        facts["reference"] = asdict(reference(study.bench, model))
    return {**facts, "verdict": gain.verdict}


def _facts(study: Study, board: Board) -> dict[str, Any]:
    """What was searched, how, and every trial."""
    prepared, plan = study.bench.prepared, study.plan
    attempts: dict[int, int] = {}
    for trial in board.trials:
        if SLOT in trial.user_attrs:
            attempts[trial.user_attrs[SLOT]] = attempts.get(trial.user_attrs[SLOT], 0) + trial.state.is_finished()
    return {
        "schema": 1,
        "source": study.settings.data.source,
        "synthetic": prepared.records.synthetic,
        "model": prepared.model.name,
        "system": study.bench.system,
        "search": plan.search,
        "aim": study.aim.name,
        "metric": study.aim.metric,
        "pruner": study.rules.pruner if not study.aim.small else "none",
        "seed": study.rules.seed,
        "planned": study.rules.slots,
        "space": {knob.name: knob.told() for knob in study.space},
        "validation_queries": int((prepared.task.splits == "validation").sum()),
        "trials": [_told(slot, trial, attempts[slot]) for slot, trial in board.finished.items()],
    }


def _told(slot: int, trial: FrozenTrial, attempts: int) -> dict[str, Any]:
    """A finished trial."""
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    value = trial.values[0] if trial.state.name == "COMPLETE" else None
    kept = {name: trial.user_attrs.get(name) for name in _KEPT}
    told = {"trial": slot + 1, "state": states[trial.state.name], "params": dict(trial.params), "value": value}
    return {**told, **kept, "attempts": attempts}


def _frontier(complete: dict[int, FrozenTrial], small: bool) -> list[int]:
    """Slots that no other beats in both aims, by bytes; with one aim, the best."""
    if not small:
        return [max(complete, key=lambda slot: (complete[slot].values[0], -slot))]
    found: list[int] = []
    for slot in sorted(complete, key=lambda slot: (complete[slot].values[1], -complete[slot].values[0], slot)):
        if not found or complete[slot].values[0] > complete[found[-1]].values[0]:
            found.append(slot)
    return found


def _chosen(complete: dict[int, FrozenTrial], frontier: list[int], study: Study) -> int:
    """The best; where bytes count, the smallest of the frontier that loses no more than the margin."""
    margin = study.settings.recommendation.margin if study.aim.small else 0.0
    highest = max(complete[slot].values[0] for slot in frontier)
    return next(slot for slot in frontier if complete[slot].values[0] >= highest - margin)


def _importance(board: Board, study: Study) -> dict[str, float]:
    """How much of the values' spread each setting explains (fANOVA); empty where there are too few trials to tell."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    trials = [trial for trial in board.trials if trial.state == TrialState.COMPLETE]
    values = [trial.values[0] for trial in trials]
    if len(trials) < _FEWEST or max(values) == min(values):
        return {}
    with quiet():
        found = get_param_importances(
            board.study,
            evaluator=FanovaImportanceEvaluator(seed=study.rules.seed),
            target=(lambda trial: float(trial.values[0])) if study.aim.small else None,
        )
    return {name: float(value) for name, value in found.items()}


def _changed(usual: Settings, best: Settings) -> list[list[Any]]:
    """Settings in which the best differ from the defaults: name, what it was, what it is."""
    before, after = usual.flat(), best.flat()
    return [[name, before.get(name, "as usual"), after[name]] for name in after if after[name] != before.get(name)]
