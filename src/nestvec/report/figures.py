"""Draws the report's figures: metrics by dimension and by bytes, the grades, and the training."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from nestvec.point import BM25, PRETRAINED
from nestvec.report.difference_matrix import draw_differences
from nestvec.report.figure_style import INK, MUTED, PAPER, STYLES, add_heading, draw_figure, legend_line
from nestvec.report.grade_histogram import draw_grades
from nestvec.report.heatmap import heat_maps
from nestvec.report.training_figures import draw_loss, draw_validation
from nestvec.report.words import metric_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from nestvec.report.content import Content
    from nestvec.report.figure_style import Style
    from nestvec.runs.schema import Row

FILLS = ("full", "none", "left", "right", "bottom", "top")  # marker filling per precision
DASHES = ("-", (0, (2, 2)), (0, (6, 2)), (0, (1, 1)), (0, (4, 1, 1, 1)))  # line per precision
_STYLE_INDEX = {PRETRAINED: 0, "mnr": 1, "matryoshka": 2, BM25: 3, "graded": 4}
_STYLE_INDEX |= {"cosine": 6, "cosine-matryoshka": 5, "cosent": 8, "cosent-matryoshka": 9, "adapted": 7}


def style_indices(systems: tuple[str, ...]) -> dict[str, int]:
    """Assign each system a style of lines and markers (a row of `STYLES`); known systems always get the same."""
    left = [index for index in range(len(STYLES)) if index not in _STYLE_INDEX.values()]
    others = list(dict.fromkeys(name for name in systems if name not in _STYLE_INDEX))
    given = _STYLE_INDEX | {name: left[index % len(left)] for index, name in enumerate(others)}
    return {name: given[name] for name in systems}


def styles_of_all(content: Content) -> dict[str, int]:
    """Assign a style to every system in the report; fused and two-stage systems take the style of their model."""
    tested = (step.system for step in content.run.recommendation.steps)
    styles = style_indices((*content.systems, *tested, *(training.system for training in content.run.trainings)))
    composed = {row.system for row in content.run.results.surface if not row.is_alone}
    return styles | {name: styles[_named_after(name, content.systems)] for name in composed}


def _named_after(name: str, systems: tuple[str, ...]) -> str:
    """Find the model's name in the name of a fused or two-stage system: `mnr` in `mnr+bm25` and `mnr-via-48-int8`."""
    return max((system for system in systems if name.startswith(system)), key=len, default=systems[0])


def draw_figures(content: Content, directory: Path) -> dict[str, str]:
    """Draw every figure that the run has data for, and write it to a folder; returns the SVG texts by figure name."""
    paints: dict[str, Callable[[Axes, Content], None]] = {
        "recall_by_dimension": partial(_draw_by_dimension, "recall@10"),
        "mrr_by_dimension": partial(_draw_by_dimension, "mrr@10"),
        "recall_by_bytes": _draw_by_bytes,
        "grades": lambda axes, content: draw_grades(axes, content.run.grades),
        **heat_maps(content),
    }
    if content.run.results.comparisons:
        paints["differences"] = draw_differences
    trainings, styles = content.run.trainings, styles_of_all(content)
    if trainings:
        paints["learning_loss"] = lambda axes, _: draw_loss(axes, trainings, styles)
    if content.validated:
        paints["learning_recall"] = lambda axes, _: draw_validation(axes, trainings, styles, "recall@10")
        paints["learning_ndcg"] = lambda axes, _: draw_validation(axes, trainings, styles, "ndcg@10")
    directory.mkdir(parents=True, exist_ok=True)
    return {name: draw_figure(name, paint, content, directory) for name, paint in paints.items()}


def _draw_by_dimension(metric: str, axes: Axes, content: Content) -> None:
    """Draw a metric against the dimension: one line per system, with a band for the 95 % intervals."""
    entries: list[Artist] = []
    rows = {system: content.line(system) for system in content.systems}
    for system, index in style_indices(content.systems).items():
        if system == BM25:
            entries += _draw_bm25_level(axes, content, metric)
        elif rows[system]:
            entries.append(_draw_with_band(axes, rows[system], metric, STYLES[index]))
    measured = [row for line in rows.values() for row in line]
    _set_log_ticks(axes, sorted({row.dimension or 0 for row in measured}))
    lowest = min(row.metrics[metric].low for row in [*measured, *content.full_width])
    axes.set_ylim(bottom=max(0.0, math.floor(10 * lowest) / 10))
    axes.set_xlabel(f"dimensions (log scale), {content.before.precision}")
    add_heading(axes, f"{metric_label(metric)}, mean of {content.before.queries:,} test queries", entries)


def _draw_with_band(axes: Axes, rows: Sequence[Row], metric: str, style: Style) -> Artist:
    widths, measures = [row.dimension or 0 for row in rows], [row.metrics[metric] for row in rows]
    low, high = [measure.low for measure in measures], [measure.high for measure in measures]
    axes.fill_between(widths, low, high, color=style.light, alpha=0.12, linewidth=0)
    [line] = axes.plot(
        widths, [measure.value for measure in measures],
        color=style.light, marker=style.marker, linestyle=style.dash, label=rows[0].system,
    )  # fmt: skip
    return line


def _draw_bm25_level(axes: Axes, content: Content, metric: str) -> list[Artist]:
    """Draw BM25 as a horizontal line, because BM25 has no vectors whose width could change."""
    if content.lexical is None:
        return []
    style = STYLES[_STYLE_INDEX[BM25]]
    value = content.lexical.metrics[metric].value
    return [axes.axhline(value, color=style.light, linestyle=style.dash, label=BM25)]


def _set_log_ticks(axes: Axes, values: list[int]) -> None:
    """Make the horizontal axis logarithmic (base 2), with ticks at the given values only."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, labels=[f"{value:,}" for value in values])
    axes.minorticks_off()


def _even_sizes(low: int, high: int) -> list[int]:
    """List the sizes 12, 48, 192, 768 … (three times every second power of two) between `low` and `high`."""
    return [3 * 4**power for power in range(12) if low <= 3 * 4**power <= high] or [low]


def _draw_by_bytes(axes: Axes, content: Content) -> None:
    """Draw recall@10 against bytes per vector, each system with its own marker and each precision with its own fill.

    The line is the frontier: the best value at each number of bytes or fewer. A ring marks the recommended vectors.
    """
    systems: list[Artist] = []
    for system, index in style_indices(content.systems).items():
        if system == BM25:
            systems += _draw_bm25_level(axes, content, "recall@10")
            continue
        for precision in content.precisions:
            rows = content.line(system, precision) + content.line(system, precision, axes=True)
            look = _precision_look(content, STYLES[index].light, precision)
            sizes = [row.bytes for row in rows]
            values = [row.metrics["recall@10"].value for row in rows]
            axes.plot(sizes, values, marker=STYLES[index].marker, **{**look, "linestyle": ""}, markersize=4, alpha=0.5)
        systems.append(legend_line(system, color=STYLES[index].light, marker=STYLES[index].marker, linestyle=""))
    sizes = [row.bytes_per_vector for row in content.split("test") if row.bytes_per_vector]
    _set_log_ticks(axes, _even_sizes(min(sizes), max(sizes)))
    axes.set_xlabel("bytes per vector (log scale)")
    looks = {name: {**_precision_look(content, MUTED, name), "linestyle": ""} for name in content.precisions}
    kinds: list[Artist] = [legend_line(name, marker="o", **look) for name, look in looks.items()]
    kinds.append(_draw_frontier(axes, content))
    if content.run.ships and content.after.bytes_per_vector:
        kinds.append(_mark_recommended(axes, content.after))
    add_heading(axes, f"recall@10, mean of {content.before.queries:,} test queries", systems, kinds)


def _draw_frontier(axes: Axes, content: Content) -> Artist:
    """Draw the best value at each size as a stepped line, with labels up and left, where no marker can be."""
    best, line = content.run.frontier("recall@10"), {"color": INK, "linewidth": 1.6}
    corners = [(row.bytes, row.metrics["recall@10"].value) for row in best]
    largest = max(row.bytes for row in content.split("test"))
    reached = [*corners, (largest, corners[-1][1])]  # more bytes bring no more
    axes.step(*zip(*reached, strict=True), where="post", zorder=1, **line)  # type: ignore[arg-type]
    styles = style_indices(content.systems)
    for row, corner in zip(best, corners, strict=True):
        style, label = STYLES[styles[row.system]], f"{row.cut} {row.precision}"
        look = {**_precision_look(content, style.light, row.precision or ""), "linestyle": ""}
        axes.plot(*corner, marker=style.marker, markersize=6.5, zorder=3, **look)
        axes.annotate(label, corner, (-3, 4), textcoords="offset points", rotation=-35, rotation_mode="anchor",
                      ha="right", va="bottom", fontsize=8, color=INK)  # fmt: skip
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left / 2, right)  # room for the names
    axes.set_ylim(low, high + 0.3 * (high - low))
    return legend_line("frontier", **line)


def _precision_look(content: Content, colour: str, precision: str) -> dict[str, Any]:
    """Choose how markers of a precision are filled, and how its lines are dashed."""
    index = content.precisions.index(precision)
    fill = FILLS[index % len(FILLS)]
    return {
        "color": colour,
        "linewidth": 1.0,
        "linestyle": DASHES[index % len(DASHES)],
        "fillstyle": "full" if fill == "none" else fill,  # a hollow marker hides its line: filled with paper
        "markerfacecolor": PAPER if fill == "none" else colour,
        "markerfacecoloralt": PAPER,
    }


def _mark_recommended(axes: Axes, row: Row) -> Artist:
    look: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": ""}
    axes.plot([row.bytes], [row.metrics["recall@10"].value], markersize=13, zorder=4, **look)
    return legend_line("recommended", markersize=10, **look)
