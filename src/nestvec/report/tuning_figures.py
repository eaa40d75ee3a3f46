"""Draws a tuning study: history, importance of settings, parallel coordinates, learning curves and the frontier."""

from __future__ import annotations

from itertools import accumulate
from math import isclose, log10
from typing import TYPE_CHECKING, Any

from nestvec.report.figure_style import INK, MUTED, PAPER, RULE, STYLES, add_heading, draw_figure, legend_line
from nestvec.report.words import metric_label

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
    """Draw every figure that `study.json` has data for, and write it to a folder; returns SVG texts by figure name."""
    figures: dict[str, Any] = {"learning_curves": _draw_curves}
    if "growth" in facts:
        figures = {"growth": _draw_growth}
        if len(facts.get("curves", ())) > 1:
            figures["systems"] = _draw_systems
    else:
        figures["history"] = _draw_history
        if facts["importance"]:
            figures["importance"] = _draw_importance
        if len(facts["space"]) > 1:
            figures["parallel"] = _draw_parallel
        if len(facts["frontier"]) > 1 or facts["aim"].endswith("bytes"):
            figures["frontier"] = _draw_frontier
    if not any(trial["curve"] for trial in facts["trials"]):
        figures.pop("learning_curves", None)
    return {name: draw_figure(name, paint, facts, directory) for name, paint in figures.items()}


def short_setting_name(name: str) -> str:
    """Shorten a setting's name for a chart."""
    return NAMES.get(name, name.replace("_", " "))


def best_trial(facts: Facts) -> Facts:
    """Find the trial with the best value of the metric that the study optimises."""
    best: Facts = next(trial for trial in facts["trials"] if trial["trial"] == facts["best"] + 1)
    return best


def _draw_history(axes: Axes, facts: Facts) -> None:
    """Draw each trial's metric in planned order, the best metric so far, and that of the default settings."""
    from matplotlib.ticker import MaxNLocator

    complete = [trial for trial in facts["trials"] if trial["value"] is not None]
    stopped = [trial["trial"] for trial in facts["trials"] if trial["value"] is None]
    slots, values = [trial["trial"] for trial in complete], [trial["value"] for trial in complete]
    axes.step(slots, list(accumulate(values, max)), where="post", color=_BEST, linewidth=1.4)
    axes.plot(slots, values, **_COMPLETE)
    top = best_trial(facts)
    axes.plot([top["trial"]], [top["value"]], **_CHOSEN)
    entries = [legend_line("trial", **_COMPLETE)] + ([legend_line("stopped or failed", **_STOPPED)] if stopped else [])
    more = [legend_line("best so far", color=_BEST), legend_line("chosen", **{**_CHOSEN, "markersize": 10})]
    if "reference" in facts:
        axes.axhline(facts["reference"]["value"], color=INK, linestyle=_DASH, linewidth=1.1)
        more.append(legend_line("defaults", color=INK, linestyle=_DASH, linewidth=1.1))
    low, high = axes.get_ylim()
    axes.plot(stopped, [low] * len(stopped), **_STOPPED, clip_on=False)  # they have no value
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # trials are counted
    axes.set_xlabel("trial")
    add_heading(axes, f"{metric_label(facts['metric'])} on validation", entries, more)


def _draw_importance(axes: Axes, facts: Facts) -> None:
    """Draw the importance of each setting: its share of the variance between the trials' metrics."""
    items = sorted(facts["importance"].items(), key=lambda item: item[1])
    axes.barh([short_setting_name(name) for name, _ in items], [share for _, share in items], color=_TRIAL, height=0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of the variance explained")
    axes.tick_params(axis="y", labelcolor=MUTED)
    add_heading(axes, "Importance of each setting (fANOVA)", left=1.05)


def _draw_parallel(axes: Axes, facts: Facts) -> None:
    """Draw parallel coordinates: a line per trial through its settings to its metric, the best third highlighted."""
    names = list(facts["space"])
    shown = [trial for trial in facts["trials"] if set(names) <= set(trial["params"])]
    scales = [_axis_positions(name, facts["space"][name], shown) for name in names]
    values = sorted((trial["value"] for trial in shown if trial["value"] is not None), reverse=True)
    low, high = values[-1], values[0]
    bar = values[max(0, len(values) // 3 - 1)]
    for trial in shown:
        line = [scale[trial["params"][name]] for scale, name in zip(scales, names, strict=True)]
        if trial["value"] is not None:
            line.append((trial["value"] - low) / (high - low) if high > low else 0.5)
        axes.plot(range(len(line)), line, **_trial_look(trial, bar, facts["best"]))
    axes.set_xlim(-0.3, len(names) + 0.3)
    axes.set_ylim(-0.08, 1.08)
    labels = [short_setting_name(name).replace(" ", "\n", 1) for name in (*names, "value")]
    axes.set_xticks(range(len(names) + 1), labels=labels, fontsize=8)
    axes.set_yticks([])
    ends_of = [*(_axis_ends(facts["space"][name]) for name in names), (_short_value(low), _short_value(high))]
    for column, (lowest, highest) in enumerate(ends_of):
        axes.axvline(column, color=RULE, linewidth=0.8, zorder=0)
        axes.text(column, -0.03, lowest, ha="center", va="top", fontsize=7.5, color=MUTED)
        axes.text(column, 1.02, highest, ha="center", va="bottom", fontsize=7.5, color=MUTED)
    entries = [legend_line("best", color=_BEST), legend_line("better third", color=_TRIAL)]
    entries.append(legend_line("others", color=_GREY, alpha=0.5))
    add_heading(axes, "Settings and value of every trial", entries, left=0.12, bottom=0.62)


def _trial_look(trial: Facts, bar: float, best: int) -> dict[str, Any]:
    if trial["trial"] == best + 1:
        return {"color": _BEST, "linewidth": 2.4, "zorder": 4}
    if trial["value"] is not None and trial["value"] >= bar:
        return {"color": _TRIAL, "linewidth": 1.4, "zorder": 3}
    return {"color": _GREY, "linewidth": 0.9, "alpha": 0.5, "linestyle": "-" if trial["value"] is not None else _DASH}


def _axis_positions(name: str, searched: Any, trials: Sequence[Facts]) -> Mapping[Any, float]:  # noqa: ANN401 - TOML
    """Map each value of a setting to its height (0 to 1) on the setting's axis in the parallel coordinates."""
    values = {trial["params"][name] for trial in trials}
    if isinstance(searched, list):
        return {value: index / max(len(searched) - 1, 1) for index, value in enumerate(searched)}
    low, high = float(searched["low"]), float(searched["high"])
    if searched.get("log"):
        return {value: log10(value / low) / log10(high / low) for value in values}
    return {value: (value - low) / (high - low) for value in values}


def _axis_ends(searched: Any) -> tuple[str, str]:  # noqa: ANN401 - values or a range, as TOML has them
    """Format the lowest and the highest value that was searched, as labels for the ends of a setting's axis."""
    if isinstance(searched, list):
        return _short_value(searched[0]), _short_value(searched[-1])
    return _short_value(float(searched["low"])), _short_value(float(searched["high"]))


def _short_value(value: object) -> str:
    """Shorten a setting's value for a chart: three significant digits, or nine letters."""
    if isinstance(value, float) and not isclose(value, 0):
        return f"{value:.3g}".replace("e-0", "e-")
    text = str(value)
    return text if len(text) <= 9 else f"{text[:8]}…"


def _draw_curves(axes: Axes, facts: Facts) -> None:
    """Draw the metric on validation during the training of every trial; lines of stopped trials end early."""
    reports = max(point["place"] for trial in facts["trials"] for point in trial["curve"] or ())
    for trial in facts["trials"]:
        curve = trial["curve"] or ()
        shares, values = [100 * point["place"] / reports for point in curve], [point["value"] for point in curve]
        if trial["trial"] == facts["best"] + 1:
            axes.plot(shares, values, color=_BEST, linewidth=2.4, marker="o", zorder=4)
        elif trial["state"] == "pruned":
            axes.plot(shares, values, color=_GREY, linewidth=1, linestyle=_DASH, alpha=0.8)
            axes.plot(shares[-1:], values[-1:], **_STOPPED)
        else:
            axes.plot(shares, values, color=_TRIAL, linewidth=1, alpha=0.6)
    axes.set_xlabel("share of the training, %")
    entries = [legend_line("best", color=_BEST, marker="o"), legend_line("completed", color=_TRIAL, alpha=0.6)]
    if any(trial["state"] == "pruned" for trial in facts["trials"]):
        entries.append(legend_line("stopped early", **{**_STOPPED, "linestyle": _DASH}))
    add_heading(axes, f"{metric_label(facts['metric'])} while training, in a small catalogue", entries)


def _draw_frontier(axes: Axes, facts: Facts) -> None:
    """Draw each trial's metric against its bytes per vector, and a line through the best value at each size."""
    complete = [trial for trial in facts["trials"] if trial["value"] is not None]
    best = [trial for slot in facts["frontier"] for trial in complete if trial["trial"] == slot + 1]
    sizes, values = [trial["bytes_per_vector"] for trial in best], [trial["value"] for trial in best]
    axes.step(sizes, values, where="post", color=_BEST, linewidth=1.4)
    axes.plot([trial["bytes_per_vector"] for trial in complete], [trial["value"] for trial in complete], **_COMPLETE)
    top = best_trial(facts)
    axes.plot([top["bytes_per_vector"]], [top["value"]], **_CHOSEN)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_xlabel("bytes per vector (log scale)")
    more = [legend_line("frontier", color=_BEST), legend_line("chosen", **{**_CHOSEN, "markersize": 10})]
    add_heading(axes, f"{metric_label(facts['metric'])} on validation", [legend_line("trial", **_COMPLETE), *more])


def _draw_growth(axes: Axes, facts: Facts) -> None:
    """Draw the metric against the number of training queries: single trainings, fitted curve, and forecasts."""
    growth = facts["growth"]
    line, full = growth["line"], growth["queries"][-1]
    axes.fill_between(line["queries"], line["low"], line["high"], color=_TRIAL, alpha=0.15, linewidth=0)
    axes.plot(line["queries"], line["value"], color=_TRIAL)
    for queries, values in zip(growth["queries"], growth["values"], strict=True):
        axes.plot([queries] * len(values), values, **_COMPLETE)
    entries: list[Artist] = [legend_line("training", **_COMPLETE), legend_line("fitted curve", color=_TRIAL)]
    bars: dict[str, Any] = {"capsize": 4, "linestyle": ""}
    twice = growth["twice"]
    axes.errorbar([twice["queries"]], [twice["value"]], _error_bars(twice), color=_BEST, marker="D", **bars)
    more: list[Artist] = [legend_line("forecast for twice as many", color=_BEST, marker="D", linestyle="-")]
    if "held_back" in growth:
        held_back = growth["held_back"]
        look: dict[str, Any] = {"color": _GREY, "marker": "s", "fillstyle": "none"}
        axes.errorbar([full * 1.07], [held_back["value"]], _error_bars(held_back), **look, **bars)
        more.append(legend_line("forecast from smaller sizes", **look))
    _mark_sizes(axes, [*growth["queries"], round(twice["queries"])])
    add_heading(axes, f"{metric_label(growth['metric'])} on validation", entries, more)


def _draw_systems(axes: Axes, facts: Facts) -> None:
    """Draw each system's metric by training queries: solid for vectors alone, dashed if fused with keyword search."""
    systems = list(dict.fromkeys(curve["system"] for curve in facts["curves"]))
    looks = {system: STYLES[1 + place % (len(STYLES) - 1)] for place, system in enumerate(systems)}
    for curve in facts["curves"]:
        colour, fused = looks[curve["system"]].light, curve["leg"] == "fused"
        look: dict[str, Any] = {"color": colour, "marker": looks[curve["system"]].marker, "markersize": 6}
        look |= {"markerfacecolor": PAPER if fused else colour, "linestyle": _DASH if fused else "-"}
        if len(curve["queries"]) > 1:
            axes.plot(curve["queries"], curve["means"], **look)
        else:
            axes.axhline(curve["means"][0], color=colour, linestyle=_DASH if fused else "-", linewidth=1.2)
    entries: list[Artist] = [legend_line(name, color=look.light, marker=look.marker) for name, look in looks.items()]
    for key, dash in (("value", "-"), ("fused", _DASH)):
        if facts["reference"].get(key) is not None:
            axes.axhline(facts["reference"][key], color=_GREY, linestyle=dash, linewidth=1.2)
    entries.append(legend_line("pretrained", color=_GREY))
    more: list[Artist] = [legend_line("alone", color=INK)]
    more.append(legend_line("beside keyword search", color=INK, linestyle=_DASH))
    _mark_sizes(axes, facts["growth"]["queries"])
    add_heading(axes, f"{metric_label(facts['metric'])} on validation", entries, more)


def _mark_sizes(axes: Axes, sizes: Sequence[int]) -> None:
    """Make the axis of training queries logarithmic (base 2), with ticks at the given numbers of queries."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("training queries (log scale)")


def _error_bars(forecast: Facts) -> list[list[float]]:
    """Compute how far an interval extends below and above its value, as matplotlib's `errorbar` expects."""
    return [[max(forecast["value"] - forecast["low"], 0)], [max(forecast["high"] - forecast["value"], 0)]]
