"""A study as drawings: its history, which settings mattered, what went with what, learning curves, the frontier."""

from __future__ import annotations

from math import isclose, log10
from typing import TYPE_CHECKING, Any

from nestvec.report.drawing import INK, MUTED, PAPER, RULE, STYLES, draw, entry, head
from nestvec.report.words import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Facts = dict[str, Any]

_TRIAL, _BEST, _GREY = STYLES[2].light, STYLES[1].light, STYLES[0].light
_DASH = (0, (4, 2))
_COMPLETE: dict[str, Any] = {"marker": "o", "color": _TRIAL, "linestyle": ""}
_STOPPED: dict[str, Any] = {"marker": "o", "color": _GREY, "markerfacecolor": PAPER, "linestyle": ""}
_CHOSEN: dict[str, Any] = {
    "marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": "", "zorder": 4,
}  # fmt: skip
NAMES = {
    "learning_rate": "learning rate", "batch_size": "batch", "dimension_fade": "fade", "hard_negatives": "negatives",
    "dimension_weights": "weights", "validate_every": "validate", "negative_margin": "margin",
}  # fmt: skip


def draw_study(facts: Facts, directory: Path) -> dict[str, str]:
    """Draw what there is of a study.

    Args:
        facts: what `study.json` holds.
        directory: where PNG and SVG files go.

    Returns:
        Figure name to SVG text.
    """
    figures: dict[str, Any] = {"learning_curves": _curves}
    if "growth" in facts:
        figures = {"growth": _growth}
    else:
        figures["history"] = _history
        if facts["importance"]:
            figures["importance"] = _importance
        if len(facts["space"]) > 1:
            figures["parallel"] = _parallel
        if len(facts["frontier"]) > 1 or facts["aim"].endswith("bytes"):
            figures["frontier"] = _frontier
    if not any(trial["curve"] for trial in facts["trials"]):
        figures.pop("learning_curves", None)
    return {name: draw(name, paint, facts, directory) for name, paint in figures.items()}


def told(name: str) -> str:
    """A setting's name where there is little room."""
    return NAMES.get(name, name.replace("_", " "))


def chosen(facts: Facts) -> Facts:
    """The best trial."""
    found: Facts = next(trial for trial in facts["trials"] if trial["trial"] == facts["best"] + 1)
    return found


def _history(axes: Axes, facts: Facts) -> None:
    """Every trial in the order planned, the best so far, and what the defaults reach."""
    complete = [trial for trial in facts["trials"] if trial["value"] is not None]
    stopped = [trial["trial"] for trial in facts["trials"] if trial["value"] is None]
    best, line = 0.0, []
    for trial in complete:
        best = max(best, trial["value"])
        line.append((trial["trial"], best))
    axes.step(*zip(*line, strict=True), where="post", color=_BEST, linewidth=1.4)
    axes.plot([trial["trial"] for trial in complete], [trial["value"] for trial in complete], **_COMPLETE)
    top = chosen(facts)
    axes.plot([top["trial"]], [top["value"]], **_CHOSEN)
    entries = [entry("trial", **_COMPLETE)] + ([entry("stopped or failed", **_STOPPED)] if stopped else [])
    more = [entry("best so far", color=_BEST), entry("chosen", **{**_CHOSEN, "markersize": 10})]
    if "reference" in facts:
        axes.axhline(facts["reference"]["value"], color=INK, linestyle=_DASH, linewidth=1.1)
        more.append(entry("defaults", color=INK, linestyle=_DASH, linewidth=1.1))
    low, high = axes.get_ylim()
    axes.plot(stopped, [low] * len(stopped), **_STOPPED, clip_on=False)  # they have no value
    axes.set_ylim(low, high)
    _whole_numbers(axes)
    axes.set_xlabel("trial")
    head(axes, f"{label(facts['metric'])} on validation", entries, more)


def _importance(axes: Axes, facts: Facts) -> None:
    """How much of the spread of the values each setting explains."""
    items = sorted(facts["importance"].items(), key=lambda item: item[1])
    axes.barh([told(name) for name, _ in items], [share for _, share in items], color=_TRIAL, height=0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of the spread explained")
    axes.tick_params(axis="y", labelcolor=MUTED)
    head(axes, "Importance of each setting (fANOVA)", left=1.05)


def _parallel(axes: Axes, facts: Facts) -> None:
    """A line per trial through its settings to what it reached; the better third stands out."""
    names = list(facts["space"])
    shown = [trial for trial in facts["trials"] if set(names) <= set(trial["params"])]
    scales = [_scale(name, facts["space"][name], shown) for name in names]
    values = sorted((trial["value"] for trial in shown if trial["value"] is not None), reverse=True)
    low, high = values[-1], values[0]
    bar = values[max(0, len(values) // 3 - 1)]
    for trial in shown:
        line = [scale[trial["params"][name]] for scale, name in zip(scales, names, strict=True)]
        if trial["value"] is not None:
            line.append((trial["value"] - low) / (high - low) if high > low else 0.5)
        axes.plot(range(len(line)), line, **_look(trial, bar, facts["best"]))
    axes.set_xlim(-0.3, len(names) + 0.3)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names) + 1), labels=[_broken(told(name)) for name in (*names, "value")], fontsize=8)
    axes.set_yticks([])
    ends_of = [*(_ends(facts["space"][name]) for name in names), (_short(low), _short(high))]
    for place, ends in enumerate(ends_of):
        axes.axvline(place, color=RULE, linewidth=0.8, zorder=0)
        axes.text(place, -0.03, ends[0], ha="center", va="top", fontsize=7.5, color=MUTED)
        axes.text(place, 1.02, ends[1], ha="center", va="bottom", fontsize=7.5, color=MUTED)
    entries = [entry("best", color=_BEST), entry("better third", color=_TRIAL), entry("others", color=_GREY, alpha=0.5)]
    head(axes, "Settings of every trial, and what it reached", entries, left=0.12, bottom=0.62)


def _look(trial: Facts, bar: float, best: int) -> dict[str, Any]:
    """How a trial's line is drawn."""
    if trial["trial"] == best + 1:
        return {"color": _BEST, "linewidth": 2.4, "zorder": 4}
    if trial["value"] is not None and trial["value"] >= bar:
        return {"color": _TRIAL, "linewidth": 1.4, "zorder": 3}
    return {"color": _GREY, "linewidth": 0.9, "alpha": 0.5, "linestyle": "-" if trial["value"] is not None else _DASH}


def _scale(name: str, wish: object, trials: Sequence[Facts]) -> Mapping[Any, float]:
    """Where each value of a setting lies between 0 and 1."""
    values = {trial["params"][name] for trial in trials}
    if isinstance(wish, list):
        return {value: place / max(len(wish) - 1, 1) for place, value in enumerate(wish)}
    low, high = _numbers(wish)
    if isinstance(wish, dict) and wish.get("log"):
        return {value: log10(value / low) / log10(high / low) for value in values}
    return {value: (value - low) / (high - low) for value in values}


def _numbers(wish: Any) -> tuple[float, float]:  # noqa: ANN401 - a range as TOML has it
    """The ends of a range."""
    return float(wish["low"]), float(wish["high"])


def _ends(wish: Any) -> tuple[str, str]:  # noqa: ANN401 - values or a range, as TOML has them
    """What stands at both ends of a setting's axis."""
    ends = (wish[0], wish[-1]) if isinstance(wish, list) else _numbers(wish)
    return _short(ends[0]), _short(ends[1])


def _short(value: object) -> str:
    """A value where there is little room."""
    if isinstance(value, float) and not isclose(value, 0):
        return f"{value:.3g}".replace("e-0", "e-")
    text = str(value)
    return text if len(text) <= 9 else f"{text[:8]}…"


def _broken(name: str) -> str:
    """A name over two lines where it has two words."""
    return name.replace(" ", "\n", 1)


def _curves(axes: Axes, facts: Facts) -> None:
    """Every trial on validation while it trained; those that were stopped end early."""
    reports = max(point["place"] for trial in facts["trials"] for point in trial["curve"] or ())
    for trial in facts["trials"]:
        curve = trial["curve"] or ()
        line = [100 * point["place"] / reports for point in curve], [point["value"] for point in curve]
        if trial["trial"] == facts["best"] + 1:
            axes.plot(*line, color=_BEST, linewidth=2.4, marker="o", zorder=4)
        elif trial["state"] == "pruned":
            axes.plot(*line, color=_GREY, linewidth=1, linestyle=_DASH, alpha=0.8)
            axes.plot([line[0][-1]], [line[1][-1]], **_STOPPED)
        else:
            axes.plot(*line, color=_TRIAL, linewidth=1, alpha=0.6)
    axes.set_xlabel("share of the training, %")
    entries = [entry("best", color=_BEST, marker="o"), entry("seen through", color=_TRIAL, alpha=0.6)]
    if any(trial["state"] == "pruned" for trial in facts["trials"]):
        entries.append(entry("stopped early", **{**_STOPPED, "linestyle": _DASH}))
    head(axes, f"{label(facts['metric'])} on validation, while training", entries)


def _frontier(axes: Axes, facts: Facts) -> None:
    """Bytes and the metric of every trial, and the best that each number of bytes reaches."""
    complete = [trial for trial in facts["trials"] if trial["value"] is not None]
    best = [trial for slot in facts["frontier"] for trial in complete if trial["trial"] == slot + 1]
    place = [trial["bytes_per_vector"] for trial in best], [trial["value"] for trial in best]
    axes.step(*place, where="post", color=_BEST, linewidth=1.4)
    axes.plot([trial["bytes_per_vector"] for trial in complete], [trial["value"] for trial in complete], **_COMPLETE)
    top = chosen(facts)
    axes.plot([top["bytes_per_vector"]], [top["value"]], **_CHOSEN)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_xlabel("bytes per vector (log scale)")
    more = [entry("frontier", color=_BEST), entry("chosen", **{**_CHOSEN, "markersize": 10})]
    head(axes, f"{label(facts['metric'])} on validation", [entry("trial", **_COMPLETE), *more])


def _growth(axes: Axes, facts: Facts) -> None:
    """Trainings by size, the curve through them, and the forecasts."""
    found = facts["growth"]
    line, full = found["line"], found["queries"][-1]
    axes.fill_between(line["queries"], line["low"], line["high"], color=_TRIAL, alpha=0.15, linewidth=0)
    axes.plot(line["queries"], line["value"], color=_TRIAL)
    for queries, values in zip(found["queries"], found["values"], strict=True):
        axes.plot([queries] * len(values), values, **_COMPLETE)
    entries: list[Artist] = [entry("training", **_COMPLETE), entry("fitted curve", color=_TRIAL)]
    bars: dict[str, Any] = {"capsize": 4, "linestyle": ""}
    twice = found["twice"]
    axes.errorbar([twice["queries"]], [twice["value"]], _arms(twice), color=_BEST, marker="D", **bars)
    more: list[Artist] = [entry("forecast of twice", color=_BEST, marker="D", linestyle="-")]
    if "held_back" in found:
        held = found["held_back"]
        axes.errorbar([full * 1.07], [held["value"]], _arms(held), color=_GREY, marker="s", fillstyle="none", **bars)
        more.append(entry("from smaller sizes", color=_GREY, marker="s", fillstyle="none"))
    axes.set_xscale("log", base=2)
    ticks = [*found["queries"], round(twice["queries"])]
    axes.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training queries (log scale)")
    head(axes, f"{label(found['metric'])} on validation", entries, more)


def _arms(found: Facts) -> list[list[float]]:
    """How far an interval reaches below and above its value."""
    return [[max(found["value"] - found["low"], 0)], [max(found["high"] - found["value"], 0)]]


def _whole_numbers(axes: Axes) -> None:
    """Trials are counted."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
