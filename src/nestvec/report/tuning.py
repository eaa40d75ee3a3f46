"""The page of a study: the best settings, what they gain on test, and how they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.files import replacing, write_text
from nestvec.report import words
from nestvec.report.html import count, fill, number, percent, plain, setting, signed
from nestvec.report.tuning_figures import chosen, draw_study
from nestvec.runs.schema import Measure

if TYPE_CHECKING:
    from pathlib import Path

PAGE, FIGURES = "report.html", "figures"
_NOTED = {"pruned": "stopped early", "failed": "failed", "complete": ""}


def write_tuning_page(facts: dict[str, Any], root: Path) -> None:
    """Write `report.html` and its figures; the same facts give the same bytes.

    Args:
        facts: what `study.json` holds.
        root: the study's folder.
    """
    with replacing(root / FIGURES) as directory:
        directory.mkdir()
        drawings = draw_study(facts, directory)
    shown = {
        "facts": {"growth": None, "reference": None, "changed": [], **facts},
        "headline": headline(facts),
        "label": words.label(facts["metric"]),
        "described": {name: _DESCRIBED[name](facts) for name in drawings},
        "trials": [_row(trial) for trial in facts["trials"]],
        "names": [name for name in facts["space"] if name in _shared(facts)],
        "space": [(name, _wish(wish)) for name, wish in facts["space"].items()],
        "states": {state: sum(trial["state"] == state for trial in facts["trials"]) for state in _NOTED},
        "repeated": sum(trial["attempts"] - 1 for trial in facts["trials"]),
        "seconds": sum(trial["seconds"] or 0 for trial in facts["trials"]),
        "gain": _gain(facts),
        "forecasts": _forecasts(facts),
        "top": chosen(facts) if "best" in facts else None,
    }
    write_text(root / PAGE, fill("tuning.html.jinja", shown, drawings))


def headline(facts: dict[str, Any]) -> str:
    """What came out, in one sentence.

    Args:
        facts: what `study.json` holds.

    Returns:
        The sentence.
    """
    name = words.label(facts["metric"])
    if "growth" in facts:
        found = facts["growth"]
        gain = found["gain"]
        if gain["low"] > 0:  # the least that is foretold lies above what was reached
            return f"Twice the judged queries would bring {signed(gain['value'])} {name}."
        return f"Twice the judged queries would bring {signed(gain['value'])} {name}, which may be nothing."
    gain = facts["gain"]
    if not facts["seen"]:
        reached = f"the tuned settings reach {name} {number(gain['mean_b'])}, the defaults {number(gain['mean_a'])}"
        return f"No significant gain: {reached}."
    word = "gain" if gain["difference"] > 0 else "lose"
    return f"The tuned settings {word} {number(abs(gain['difference']))} {name} on test over the defaults."


def _gain(facts: dict[str, Any]) -> dict[str, Any] | None:
    """The gain with intervals that the page's filters can read."""
    if "gain" not in facts:
        return None
    found = facts["gain"]
    rows = [{**row, "measure": _measure(row)} for row in found["by_dimension"]]
    return {**found, "measure": _measure(found), "by_dimension": rows[::-1]}


def _forecasts(facts: dict[str, Any]) -> dict[str, Measure]:
    """Forecasts with intervals that the page's filters can read."""
    found = facts.get("growth") or {}
    named = {name: found[name] for name in ("twice", "held_back") if name in found}
    return {name: Measure(one["value"], one["low"], one["high"]) for name, one in named.items()}


def _measure(row: dict[str, Any]) -> Measure:
    """A difference with its interval."""
    return Measure(value=row["difference"], low=row["low"], high=row["high"])


def _shared(facts: dict[str, Any]) -> set[str]:
    """Settings that every trial has."""
    return set.intersection(*(set(trial["params"]) for trial in facts["trials"]))


def _row(trial: dict[str, Any]) -> dict[str, Any]:
    """A trial as the table shows it."""
    curve = trial["curve"] if trial["state"] == "pruned" else None
    return {**trial, "note": _NOTED[trial["state"]], "last": curve[-1] if curve else None}


def _wish(wish: object) -> str:
    """A part of the space in words."""
    if isinstance(wish, dict):
        how = ", by logarithm" if wish.get("log") else f", in steps of {plain(wish['step'])}" if "step" in wish else ""
        return f"{plain(wish['low'])} to {plain(wish['high'])}{how}"
    return setting(wish)


def _history(facts: dict[str, Any]) -> str:
    """The history in numbers."""
    sentences = []
    for trial in facts["trials"]:
        value = trial["value"]
        note = f", {_NOTED[trial['state']]}" if _NOTED[trial["state"]] else ""
        sentences.append(f"Trial {trial['trial']}: {'none' if value is None else number(value)}{note}.")
    return f"Chart of {words.label(facts['metric'])} by trial. " + " ".join(sentences)


def _importance(facts: dict[str, Any]) -> str:
    """Importances in numbers."""
    shares = [f"{name}: {percent(share, 0)}" for name, share in facts["importance"].items()]
    return f"Bar chart of importance. {', '.join(shares)}."


def _parallel(facts: dict[str, Any]) -> str:
    """The best trial's line in numbers."""
    params = chosen(facts)["params"]
    return "Parallel coordinates of all trials. The best: " + ", ".join(f"{k} {setting(v)}" for k, v in params.items())


def _curves(facts: dict[str, Any]) -> str:
    """The best trial's curve in numbers."""
    values = [number(point["value"]) for point in chosen(facts)["curve"]]
    return f"Line chart of validation by share of the training. The best trial: {', '.join(values)}."


def _frontier(facts: dict[str, Any]) -> str:
    """The frontier in numbers."""
    best = [trial for slot in facts["frontier"] for trial in facts["trials"] if trial["trial"] == slot + 1]
    points = [f"{number(trial['value'])} at {count(trial['bytes_per_vector'])} bytes" for trial in best]
    return f"Chart of {words.label(facts['metric'])} by bytes. The frontier: {', '.join(points)}."


def _growth(facts: dict[str, Any]) -> str:
    """The learning curve in numbers."""
    found, twice = facts["growth"], facts["growth"]["twice"]
    points = [f"{number(mean)} with {count(size)}" for size, mean in zip(found["queries"], found["means"], strict=True)]
    ends = f"{number(twice['low'])} to {number(twice['high'])}"
    return (
        f"Chart of {words.label(found['metric'])} by training queries: {', '.join(points)}. "
        f"Forecast with {count(round(twice['queries']))}: {number(twice['value'])}, {ends}."
    )


_DESCRIBED = {
    "history": _history,
    "importance": _importance,
    "parallel": _parallel,
    "learning_curves": _curves,
    "frontier": _frontier,
    "growth": _growth,
}
