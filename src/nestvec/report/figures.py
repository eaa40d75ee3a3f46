"""The report's figures: how the metrics change with the dimension and with the bytes, the grades, and the training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nestvec.point import BM25, PLAIN, PRETRAINED
from nestvec.report.drawing import INK, MUTED, PAPER, STYLES, draw, entry, head
from nestvec.report.heatmap import heat_maps
from nestvec.report.histogram import draw_grades
from nestvec.report.learning import draw_loss, draw_validation
from nestvec.report.matrix import draw_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from nestvec.report.content import Content
    from nestvec.report.drawing import Style
    from nestvec.runs.schema import Row

FILLS = ("full", "none", "left", "right", "bottom", "top")  # marker filling per precision
DASHES = ("-", (0, (2, 2)), (0, (6, 2)), (0, (1, 1)), (0, (4, 1, 1, 1)))  # line per precision
_PLACES = {PRETRAINED: 0, "mnr": 1, "matryoshka": 2, BM25: 3, "graded": 4}
_PLACES |= {"cosine": 6, "cosine-matryoshka": 5, "cosent": 8, "cosent-matryoshka": 9}


def style_places(systems: tuple[str, ...]) -> dict[str, int]:
    """System to its row in `STYLES`: the known ones always look the same, others take what is left, in order."""
    left = [place for place in range(len(STYLES)) if place not in _PLACES.values()]
    others = list(dict.fromkeys(name for name in systems if name not in _PLACES))
    return {name: _PLACES[name] if name in _PLACES else left[others.index(name) % len(left)] for name in systems}


def all_places(content: Content) -> dict[str, int]:
    """The row in `STYLES` of every system that the report names."""
    tested = (step.system for step in content.recommendation.steps)
    places = style_places((*content.systems, *tested, *(training.system for training in content.trainings)))
    made = {row.system for row in content.rows if row.kind != PLAIN}
    return places | {name: places[_origin(name, content.systems)] for name in made}


def _origin(name: str, systems: tuple[str, ...]) -> str:
    """The system that one made of others is named after: `mnr` of `mnr+bm25`, `mnr-pca` and `mnr-via-48-int8`."""
    return max((system for system in systems if name.startswith(system)), key=len, default=systems[0])


def draw_figures(content: Content, directory: Path) -> dict[str, str]:
    """Draw every figure that there are facts for into a folder as NAME.png (150 dpi, white) and NAME.svg.

    Args:
        content: the facts.
        directory: where to; made if it is missing.

    Returns:
        Figure name to its SVG text.
    """
    directory.mkdir(parents=True, exist_ok=True)
    figures = _FIGURES | (_LOSS if content.trainings else {}) | (_LEARNING if content.validated else {})
    figures |= _DIFFERENCES if content.results.comparisons else {}
    figures = {**figures, **heat_maps(content)}
    return {name: draw(name, paint, content, directory) for name, paint in figures.items()}


def _by_dimension(metric: str, label: str) -> Callable[[Axes, Content], None]:
    """A function that draws a metric against the dimension, one line per system with its interval band."""

    def paint(axes: Axes, content: Content) -> None:
        entries: list[Artist] = []
        rows = {system: content.line(system) for system in content.systems}
        for system, place in style_places(content.systems).items():
            if system == BM25:
                entries += _level(axes, content, metric)
            elif rows[system]:
                entries.append(_band(axes, rows[system], metric, STYLES[place]))
        measured = [row for line in rows.values() for row in line]
        _ticks(axes, sorted({row.dimension or 0 for row in measured}))
        lowest = min(row.metrics[metric].low for row in [*measured, *content.full_width])
        axes.set_ylim(bottom=max(0.0, math.floor(10 * lowest) / 10))
        axes.set_xlabel(f"dimensions (log scale), {content.before.precision}")
        head(axes, f"{label}, mean of {content.before.queries:,} test queries", entries)

    return paint


def _band(axes: Axes, rows: Sequence[Row], metric: str, style: Style) -> Artist:
    """One system's line and its interval band."""
    widths, measures = [row.dimension or 0 for row in rows], [row.metrics[metric] for row in rows]
    low, high = [measure.low for measure in measures], [measure.high for measure in measures]
    axes.fill_between(widths, low, high, color=style.light, alpha=0.12, linewidth=0)
    [line] = axes.plot(
        widths, [measure.value for measure in measures],
        color=style.light, marker=style.marker, linestyle=style.dash, label=rows[0].system,
    )  # fmt: skip
    return line


def _level(axes: Axes, content: Content, metric: str) -> list[Artist]:
    """BM25 as a horizontal line: it has no vectors whose width could change."""
    if content.lexical is None:
        return []
    style = STYLES[_PLACES[BM25]]
    value = content.lexical.metrics[metric].value
    return [axes.axhline(value, color=style.light, linestyle=style.dash, label=BM25)]


def _ticks(axes: Axes, values: list[int]) -> None:
    """A log2 axis with a tick at each value that was measured and nowhere else."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, labels=[f"{value:,}" for value in values])
    axes.minorticks_off()


def _powers(low: int, high: int) -> list[int]:
    """Three times every second power of two between the ends, about: 12, 48, 192, 768."""
    found = [3 * 4**place for place in range(12) if low <= 3 * 4**place <= high]
    return found or [low]


def _by_bytes(axes: Axes, content: Content) -> None:
    """Recall@10 against bytes per vector: a marker per system, a filling per precision, a ring on the choice.

    The line is the frontier: what is best at so many bytes or fewer.
    """
    systems: list[Artist] = []
    for system, place in style_places(content.systems).items():
        if system == BM25:
            systems += _level(axes, content, "recall@10")
            continue
        for precision in content.precisions:
            rows, look = content.line(system, precision), _look(content, STYLES[place].light, precision)
            sizes = [row.bytes_per_vector or 0 for row in rows]
            values = [row.metrics["recall@10"].value for row in rows]
            axes.plot(sizes, values, marker=STYLES[place].marker, **{**look, "linestyle": ""}, markersize=4, alpha=0.5)
        systems.append(entry(system, color=STYLES[place].light, marker=STYLES[place].marker, linestyle=""))
    sizes = [row.bytes_per_vector for row in content.split("test") if row.bytes_per_vector]
    _ticks(axes, _powers(min(sizes), max(sizes)))
    axes.set_xlabel("bytes per vector (log scale)")
    looks = {name: {**_look(content, MUTED, name), "linestyle": ""} for name in content.precisions}
    kinds: list[Artist] = [entry(name, marker="o", **look) for name, look in looks.items()]
    kinds.append(_frontier(axes, content))
    if content.ship and content.after.bytes_per_vector:
        kinds.append(_ring(axes, content.after))
    head(axes, f"recall@10, mean of {content.before.queries:,} test queries", systems, kinds)


def _frontier(axes: Axes, content: Content) -> Artist:
    """The best that each size reaches, as steps; each has its name up and left of it, where no other point can be."""
    best, line = content.frontier("recall@10"), {"color": INK, "linewidth": 1.6}
    places = [(row.bytes_per_vector or 0, row.metrics["recall@10"].value) for row in best]
    largest = max(row.bytes_per_vector or 0 for row in content.split("test"))
    reached = [*places, (largest, places[-1][1])]  # more bytes bring no more
    axes.step(*zip(*reached, strict=True), where="post", zorder=1, **line)  # type: ignore[arg-type]
    styles = style_places(content.systems)
    for row, place in zip(best, places, strict=True):
        style, label = STYLES[styles[row.system]], f"{row.dimension} {row.precision}"
        look = {**_look(content, style.light, row.precision or ""), "linestyle": ""}
        axes.plot(*place, marker=style.marker, markersize=6.5, zorder=3, **look)
        axes.annotate(label, place, (-3, 4), textcoords="offset points", rotation=-35, rotation_mode="anchor",
                      ha="right", va="bottom", fontsize=8, color=INK)  # fmt: skip
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left / 2, right)  # room for the names
    axes.set_ylim(low, high + 0.3 * (high - low))
    return entry("frontier", **line)


def _learning(metric: str) -> Callable[[Axes, Content], None]:
    """A function that draws a metric as it was validated while the systems were trained."""
    return lambda axes, content: draw_validation(axes, content.trainings, all_places(content), metric)


def _look(content: Content, colour: str, precision: str) -> dict[str, Any]:
    """How a precision is drawn: its marker's filling and its line's dashes."""
    place = content.precisions.index(precision)
    fill = FILLS[place % len(FILLS)]
    return {
        "color": colour,
        "linewidth": 1.0,
        "linestyle": DASHES[place % len(DASHES)],
        "fillstyle": "full" if fill == "none" else fill,  # a hollow marker hides its line: filled with paper
        "markerfacecolor": PAPER if fill == "none" else colour,
        "markerfacecoloralt": PAPER,
    }


def _ring(axes: Axes, row: Row) -> Artist:
    """Mark the recommended point."""
    look: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": ""}
    axes.plot([row.bytes_per_vector or 0], [row.metrics["recall@10"].value], markersize=13, zorder=4, **look)
    return entry("recommended", markersize=10, **look)


_FIGURES: dict[str, Callable[[Axes, Content], None]] = {
    "recall_by_dimension": _by_dimension("recall@10", "recall@10"),
    "mrr_by_dimension": _by_dimension("mrr@10", "MRR@10"),
    "recall_by_bytes": _by_bytes,
    "grades": lambda axes, content: draw_grades(axes, content.grades),
}
_LOSS: dict[str, Callable[[Axes, Content], None]] = {
    "learning_loss": lambda axes, content: draw_loss(axes, content.trainings, all_places(content)),
}
_DIFFERENCES: dict[str, Callable[[Axes, Content], None]] = {"differences": draw_differences}
_LEARNING = {"learning_recall": _learning("recall@10"), "learning_ndcg": _learning("ndcg@10")}
