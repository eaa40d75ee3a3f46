"""Conclude a study: find the best settings, train them and the defaults once more, and compare both on test."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nestvec.errors import NestvecError
from nestvec.files import write_text
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.pipeline.run_stages import run_settings
from nestvec.runs.config import config_text
from nestvec.tuning.data_size import Growth, list_curves, show_gain
from nestvec.tuning.improvement import BEST, DEFAULT, measure_improvement
from nestvec.tuning.space import apply_params
from nestvec.tuning.trial import measure_reference
from nestvec.tuning.trial_queue import MESSAGE, SLOT, silence_optuna

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nestvec.progress import Reporter
    from nestvec.settings import Settings
    from nestvec.tuning.prepare_study import Study
    from nestvec.tuning.trial_queue import TrialQueue

BEST_SETTINGS = "best.toml"
_FEWEST = 4  # fewest complete trials for an estimate of importances
_MEASURED = ("error", "fused", "bytes_per_vector", "seconds")
_COPIED = (*_MEASURED, "steps", "learning_rate", "rows", "queries", "curve", "worker")


def conclude_study(study: Study, queue: TrialQueue, reporter: Reporter) -> dict[str, Any]:
    """Summarise the trials and, if settings were searched, measure what the best settings gain on test.

    Returns the content of `study.json`; raises NestvecError if no trial finished.
    """
    finished = queue.finished
    complete = {slot: trial for slot, trial in finished.items() if trial.state.name == "COMPLETE"}
    facts = _study_facts(study, queue)
    if not complete:
        failed = [trial.user_attrs[MESSAGE] for trial in finished.values() if MESSAGE in trial.user_attrs]
        raise NestvecError(f"no trial finished; the last error: {failed[-1] if failed else 'none, all stopped early'}")
    if study.tuning.is_data_size:
        return {**facts, **_conclude_growth(study, facts)}
    frontier = _find_frontier(complete, study.aim.with_bytes)
    slot = _choose_slot(complete, frontier, study)
    facts |= {"best": slot, "frontier": frontier, "importance": _measure_importance(queue, study)}
    params = complete[slot].params
    best = apply_params(study.settings, params)
    write_text(study.root / BEST_SETTINGS, config_text(best, study.context.prepared.inputs))
    for name, settings in ((DEFAULT, study.settings), (BEST, best)):
        reporter.say(f"{name} settings: a whole run, measured on test")
        run_settings(settings, study.root / name, reporter)
    improvement = measure_improvement(study.root, study.context.system, study.aim, study.aim.choose_format(params))
    facts |= {"gain": improvement.facts, "seen": improvement.is_significant}
    facts["changed"] = _list_changed_settings(study.settings, best)
    if not study.aim.with_bytes:
        model = load_model(find_model(str(study.root / DEFAULT / "models" / study.context.system)))
        facts["reference"] = asdict(measure_reference(study.context, model))
    return {**facts, "verdict": improvement.verdict}


def _conclude_growth(study: Study, facts: dict[str, Any]) -> dict[str, Any]:
    """Conclude a search over the size of the data: every system's curves, and what more judgements would bring."""
    systems, metric, seed = study.settings.training.systems, study.aim.metric, study.rules.seed
    queries = facts["validation_queries"]
    curves = list_curves(facts["trials"], systems, metric, seed, queries)
    model = load_model(study.context.prepared.model)
    reference = asdict(measure_reference(study.context, model))
    legs = {curve["leg"]: curve for curve in curves if curve["system"] == systems[0]}
    growth, fused = Growth(legs["alone"]["growth"]), legs.get("fused", {})
    beside = f" Beside keyword search: {show_gain(fused['growth'])}." if "growth" in fused else ""
    verdict = (f"{systems[0]}: " if len(systems) > 1 else "") + growth.verdict + beside
    return {"growth": growth.facts, "curves": curves, "reference": reference, "verdict": verdict}


def _study_facts(study: Study, queue: TrialQueue) -> dict[str, Any]:
    """Describe what was searched and how, and list every trial."""
    prepared, tuning = study.context.prepared, study.tuning
    attempts = Counter(trial.user_attrs.get(SLOT) for trial in queue.trials if trial.state.is_finished())
    return {
        "schema": 1,
        "source": study.settings.data.name,
        "synthetic": prepared.records.synthetic,
        "model": prepared.model.name,
        "system": study.context.system,
        "search": tuning.search,
        "aim": study.aim.name,
        "metric": study.aim.metric,
        "pruner": study.rules.pruner if not study.aim.with_bytes else "none",
        "seed": study.rules.seed,
        "planned": study.rules.slots,
        "space": {knob.name: knob.to_toml() for knob in study.space},
        "validation_queries": int((prepared.task.splits == "validation").sum()),
        "trials": [_trial_facts(slot, trial, attempts[slot]) for slot, trial in queue.finished.items()],
    }


def _trial_facts(slot: int, trial: FrozenTrial, attempts: int) -> dict[str, Any]:
    """Describe a finished trial for `study.json`."""
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    value = trial.values[0] if trial.state.name == "COMPLETE" else None
    facts = {"trial": slot + 1, "state": states[trial.state.name], "params": dict(trial.params), "value": value}
    copied = {name: trial.user_attrs.get(name) for name in (*_COPIED, MESSAGE)}
    return {**facts, **copied, "attempts": attempts}


def _find_frontier(complete: dict[int, FrozenTrial], with_bytes: bool) -> list[int]:
    """Find the trials that no other trial beats in metric and bytes, sorted by bytes; with one aim, the best trial."""
    if not with_bytes:
        return [max(complete, key=lambda slot: (complete[slot].values[0], -slot))]
    frontier: list[int] = []
    for slot in sorted(complete, key=lambda slot: (complete[slot].values[1], -complete[slot].values[0], slot)):
        if not frontier or complete[slot].values[0] > complete[frontier[-1]].values[0]:
            frontier.append(slot)
    return frontier


def _choose_slot(complete: dict[int, FrozenTrial], frontier: list[int], study: Study) -> int:
    """Choose the best trial; if bytes are an aim, the trial with fewest bytes that loses no more than the margin."""
    margin = study.settings.recommendation.margin if study.aim.with_bytes else 0.0
    highest = max(complete[slot].values[0] for slot in frontier)
    return next(slot for slot in frontier if complete[slot].values[0] >= highest - margin)


def _measure_importance(queue: TrialQueue, study: Study) -> dict[str, float]:
    """Estimate the share of the values' variance that each setting explains (fANOVA); empty with too few trials."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    trials = [trial for trial in queue.trials if trial.state == TrialState.COMPLETE]
    values = [trial.values[0] for trial in trials]
    if len(trials) < _FEWEST or max(values) == min(values):
        return {}
    with silence_optuna():
        shares = get_param_importances(
            queue.study,
            evaluator=FanovaImportanceEvaluator(seed=study.rules.seed),
            target=(lambda trial: float(trial.values[0])) if study.aim.with_bytes else None,
        )
    return {name: float(value) for name, value in shares.items()}


def _list_changed_settings(default: Settings, best: Settings) -> list[list[Any]]:
    """List the settings that differ between best and default: name, default value, best value."""
    before, after = default.flat(), best.flat()
    return [[name, before.get(name, "as usual"), after[name]] for name in after if after[name] != before.get(name)]
