"""Writes the page of a tuning study: the best settings, their gain on test, and all trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.files import replacing, write_text
from nestvec.report.formatting import count, number, percent, plain, setting_text, signed
from nestvec.report.html import fill_template
from nestvec.report.tuning_figures import best_trial, draw_study
from nestvec.report.words import metric_label
from nestvec.runs.schema import Measure

if TYPE_CHECKING:
    from pathlib import Path

PAGE, FIGURES = "report.html", "figures"
LEGS = {"alone": "alone", "fused": "beside keyword search"}  # what a curve's vectors rank with
_NOTED = {"pruned": "stopped early", "failed": "failed", "complete": ""}


def write_tuning_page(facts: dict[str, Any], root: Path) -> None:
    """Write `report.html` and its figures from the content of `study.json`; equal contents give equal bytes."""
    with replacing(root / FIGURES) as directory:
        directory.mkdir()
        drawings = draw_study(facts, directory)
    shown = {
        "facts": {"growth": None, "curves": [], "reference": None, "changed": [], **facts},
        "legs": LEGS,
        "headline": study_headline(facts),
        "label": metric_label(facts["metric"]),
        "alt_texts": {name: _ALT_TEXTS[name](facts) for name in drawings},
        "trials": [_trial_row(trial) for trial in facts["trials"]],
        "names": [name for name in facts["space"] if name in _settings_of_all(facts)],
        "space": [(name, _describe_search(searched)) for name, searched in facts["space"].items()],
        "states": {state: sum(trial["state"] == state for trial in facts["trials"]) for state in _NOTED},
        "repeated": sum(trial["attempts"] - 1 for trial in facts["trials"]),
        "seconds": sum(trial["seconds"] or 0 for trial in facts["trials"]),
        "gain": _gain_with_intervals(facts),
        "forecasts": _forecasts_with_intervals(facts),
        "top": best_trial(facts) if "best" in facts else None,
    }
    write_text(root / PAGE, fill_template("tuning.html.jinja", shown, drawings))


def study_headline(facts: dict[str, Any]) -> str:
    """Summarise the tuning study's result in one sentence."""
    name = metric_label(facts["metric"])
    if "growth" in facts:
        gain = facts["growth"]["gain"]
        doubt = "" if gain["low"] > 0 else ", but the gain is not certain"
        return f"Twice as many judged queries would bring {signed(gain['value'])} {name}{doubt}."
    gain = facts["gain"]
    if not facts["seen"]:
        reached = f"the tuned settings reach {name} {number(gain['mean_b'])}, the defaults {number(gain['mean_a'])}"
        return f"No significant gain: {reached}."
    word = "gain" if gain["difference"] > 0 else "lose"
    return f"The tuned settings {word} {number(abs(gain['difference']))} {name} on test over the defaults."


def _gain_with_intervals(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Convert the gain's intervals to `Measure` objects, which the page's filters can format; None without a gain."""
    if "gain" not in facts:
        return None
    gain = facts["gain"]
    rows = [{**row, "measure": _difference_interval(row)} for row in gain["by_dimension"]]
    return {**gain, "measure": _difference_interval(gain), "by_dimension": rows[::-1]}


def _forecasts_with_intervals(facts: dict[str, Any]) -> dict[str, Measure]:
    """Convert the forecasts' intervals to `Measure` objects, which the page's filters can format."""
    growth = facts.get("growth") or {}
    forecasts = {name: growth[name] for name in ("twice", "held_back") if name in growth}
    return {name: Measure(entry["value"], entry["low"], entry["high"]) for name, entry in forecasts.items()}


def _difference_interval(row: dict[str, Any]) -> Measure:
    return Measure(value=row["difference"], low=row["low"], high=row["high"])


def _settings_of_all(facts: dict[str, Any]) -> set[str]:
    return set.intersection(*(set(trial["params"]) for trial in facts["trials"]))


def _trial_row(trial: dict[str, Any]) -> dict[str, Any]:
    """Prepare a trial for the page's table: add a note such as `stopped early`, and a stopped trial's last value."""
    curve = trial["curve"] if trial["state"] == "pruned" else None
    return {**trial, "note": _NOTED[trial["state"]], "last": curve[-1] if curve else None}


def _describe_search(searched: object) -> str:
    """Describe in words the range, or the list of values, that a tuning study searched for a setting."""
    if isinstance(searched, dict):
        steps = f", in steps of {plain(searched['step'])}" if "step" in searched else ""
        how = ", log scale" if searched.get("log") else steps
        return f"{plain(searched['low'])} to {plain(searched['high'])}{how}"
    return setting_text(searched)


def _describe_history(facts: dict[str, Any]) -> str:
    sentences = []
    for trial in facts["trials"]:
        value = trial["value"]
        note = f", {_NOTED[trial['state']]}" if _NOTED[trial["state"]] else ""
        sentences.append(f"Trial {trial['trial']}: {'none' if value is None else number(value)}{note}.")
    return f"Chart of {metric_label(facts['metric'])} by trial. " + " ".join(sentences)


def _describe_importance(facts: dict[str, Any]) -> str:
    shares = [f"{name}: {percent(share, 0)}" for name, share in facts["importance"].items()]
    return f"Bar chart of importance. {', '.join(shares)}."


def _describe_best_line(facts: dict[str, Any]) -> str:
    params = best_trial(facts)["params"]
    values = [f"{name} {setting_text(value)}" for name, value in params.items()]
    return f"Parallel coordinates of all trials. The best: {', '.join(values)}"


def _describe_best_curve(facts: dict[str, Any]) -> str:
    values = [number(point["value"]) for point in best_trial(facts)["curve"]]
    return f"Line chart of validation by share of the training. The best trial: {', '.join(values)}."


def _describe_frontier(facts: dict[str, Any]) -> str:
    best = [trial for slot in facts["frontier"] for trial in facts["trials"] if trial["trial"] == slot + 1]
    points = [f"{number(trial['value'])} at {count(trial['bytes_per_vector'])} bytes" for trial in best]
    return f"Chart of {metric_label(facts['metric'])} by bytes. The frontier: {', '.join(points)}."


def _describe_growth(facts: dict[str, Any]) -> str:
    growth, twice = facts["growth"], facts["growth"]["twice"]
    means = zip(growth["queries"], growth["means"], strict=True)
    points = [f"{number(mean)} with {count(queries)}" for queries, mean in means]
    ends = f"{number(twice['low'])} to {number(twice['high'])}"
    return (
        f"Chart of {metric_label(growth['metric'])} by training queries: {', '.join(points)}. "
        f"Forecast with {count(round(twice['queries']))}: {number(twice['value'])}, {ends}."
    )


def _describe_systems(facts: dict[str, Any]) -> str:
    told = []
    for curve in facts["curves"]:
        means = zip(curve["queries"], curve["means"], strict=True)
        points = ", ".join(f"{number(mean)} with {count(queries)}" for queries, mean in means)
        told.append(f"{curve['system']} {LEGS[curve['leg']]}: {points}.")
    return f"Chart of {metric_label(facts['metric'])} by training queries and system. {' '.join(told)}"


_ALT_TEXTS = {
    "history": _describe_history,
    "importance": _describe_importance,
    "parallel": _describe_best_line,
    "learning_curves": _describe_best_curve,
    "frontier": _describe_frontier,
    "growth": _describe_growth,
    "systems": _describe_systems,
}
