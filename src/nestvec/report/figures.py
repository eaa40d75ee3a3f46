"""Draws the report's figures with matplotlib: PNG for slides, SVG for the page.

The drawings use a handful of named colours. The page replaces each in the SVG by a CSS variable (`svg.page_svg`), so
that the same drawing reads in light and in dark. Systems differ by colour, marker and line style, not by colour alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestvec.report.facts import BINS, LEXICAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nestvec.report.content import Content
    from nestvec.report.facts import Bar, Row

SIZE = (4.6, 3.6)  # inches; small, so that the text stays readable when the page shrinks it to a phone
MARGIN = 0.15  # inches of paper around the PNG; the page brings its own
LEFT, RIGHT, BOTTOM = 0.46, 0.12, 0.52  # inches: margins
TITLE, LEGEND = 0.29, 0.24  # inches: heights of a line above the axes
INK, MUTED, RULE, PAPER = "#1d2024", "#5c636c", "#dcdfe3", "#ffffff"
FILLS = ("full", "none", "left", "right", "bottom", "top")  # marker filling per precision
DASHES = ("-", (0, (2, 2)), (0, (6, 2)), (0, (1, 1)), (0, (4, 1, 1, 1)))  # line per precision
TICKS = 12  # levels of the histogram that can each have a label
IN_ROW = 4  # entries of a legend side by side


@dataclass(frozen=True)
class Style:
    """How a system looks in every figure, in light and in dark."""

    light: str
    dark: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]


# Dark enough on white and light enough on black for 3:1; hues after Okabe & Ito, which colour-blind readers tell apart.
STYLES = (
    Style("#6b727b", "#a9b2bc", "s", (0, (5, 2))),
    Style("#b9530a", "#f0994d", "^", (0, (7, 1.5, 1.5, 1.5))),
    Style("#0b65b3", "#62b3f6", "o", "-"),
    Style("#9b3f7a", "#e49ac6", "D", (0, (1.2, 1.8))),
    Style("#00755a", "#4fc9a3", "v", (0, (3, 1.5))),
    Style("#866900", "#e2c150", "P", (0, (9, 3))),
    Style("#007c99", "#70d2ec", "X", (0, (4, 1, 1, 1))),
    Style("#7a4b2a", "#d3a17c", "*", (0, (2, 1))),
)
RELEVANT = STYLES[4].light
_PLACES = {"pretrained": 0, "mnr": 1, "matryoshka": 2, LEXICAL: 3}


def style_places(systems: tuple[str, ...]) -> dict[str, int]:
    """System to its row in `STYLES`: the known ones always look the same, others take what is left, in order."""
    left = [place for place in range(len(STYLES)) if place not in _PLACES.values()]
    others = list(dict.fromkeys(name for name in systems if name not in _PLACES))
    return {name: _PLACES[name] if name in _PLACES else left[others.index(name) % len(left)] for name in systems}


def draw_figures(content: Content, directory: Path) -> dict[str, str]:
    """Draw every figure into a folder as NAME.png (150 dpi, white) and NAME.svg.

    Args:
        content: the facts.
        directory: where to; made if it is missing.

    Returns:
        Figure name to its SVG text.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    frame = Bbox.from_extents(-MARGIN, -MARGIN, SIZE[0] + MARGIN, SIZE[1] + MARGIN)
    directory.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, str] = {}
    with mpl.rc_context(_RC):
        for name, draw in _FIGURES.items():
            mpl.rcParams["svg.hashsalt"] = name  # ids stay the same from run to run and differ between figures
            figure = Figure(figsize=SIZE)  # outside of pyplot, so that nothing has to be closed
            draw(figure.add_subplot(), content)
            figure.savefig(
                directory / f"{name}.png", dpi=150, facecolor=PAPER, metadata={"Software": None}, bbox_inches=frame
            )
            svg = directory / f"{name}.svg"
            figure.savefig(svg, transparent=True, metadata={"Date": None, "Creator": None})
            drawings[name] = svg.read_text(encoding="utf-8")
    return drawings


_RC: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own typeface
    "text.parse_math": False,  # a name with a dollar sign is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 10.3,
    "axes.labelsize": 10.3,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": 10.3,
    "hatch.linewidth": 0.6,
}


def _head(axes: Axes, title: str, *legends: Sequence[Artist], left: float = LEFT) -> None:
    """Put a title and legends above the axes, flush left, and give the axes what is left of the figure.

    Args:
        axes: the drawing.
        title: what the vertical axis shows.
        legends: the entries of each legend; each begins a new line.
        left: inches that the labels of the vertical axis need.
    """
    figure, (width, height) = cast("Figure", axes.get_figure()), SIZE
    figure.text(0, 1, title, va="top")
    line = TITLE
    for entries in legends:
        figure.legend(
            handles=list(entries), loc="upper left", bbox_to_anchor=(0, 1 - line / height), ncols=IN_ROW, borderpad=0,
            borderaxespad=0, handlelength=2.1, columnspacing=1.0, handletextpad=0.5, labelspacing=0.4,
        )  # fmt: skip
        line += LEGEND * -(-len(entries) // IN_ROW)
    top = 1 - (line + 0.08) / height
    figure.subplots_adjust(left=left / width, right=1 - RIGHT / width, bottom=BOTTOM / height, top=top)


def _by_dimension(metric: str, label: str) -> Callable[[Axes, Content], None]:
    """A function that draws a metric against the dimension, one line per system with its interval band."""

    def draw(axes: Axes, content: Content) -> None:
        entries: list[Artist] = []
        rows = {system: content.line(system) for system in content.systems}
        for system, place in style_places(content.systems).items():
            if system == LEXICAL:
                entries += _level(axes, content, metric)
            elif rows[system]:
                entries.append(_band(axes, rows[system], metric, STYLES[place]))
        measured = [row for line in rows.values() for row in line]
        _ticks(axes, sorted({row.dimension or 0 for row in measured}))
        lowest = min(row.metrics[metric].low for row in [*measured, *content.full_width])
        axes.set_ylim(bottom=max(0.0, math.floor(10 * lowest) / 10))
        axes.set_xlabel(f"dimensions (log scale), {content.before.precision}")
        _head(axes, f"{label}, mean of {content.before.queries:,} test queries", entries)

    return draw


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
    style = STYLES[_PLACES[LEXICAL]]
    value = content.lexical.metrics[metric].value
    return [axes.axhline(value, color=style.light, linestyle=style.dash, label=LEXICAL)]


def _ticks(axes: Axes, values: list[int]) -> None:
    """A log2 axis with a tick at each value that was measured and nowhere else."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, labels=[f"{value:,}" for value in values])
    axes.minorticks_off()


def _by_bytes(axes: Axes, content: Content) -> None:
    """Recall@10 against bytes per vector: a marker per system, a filling per precision, a ring on the choice."""
    systems: list[Artist] = []
    for system, place in style_places(content.systems).items():
        if system == LEXICAL:
            systems += _level(axes, content, "recall@10")
            continue
        for precision in content.precisions:
            rows, look = content.line(system, precision), _look(content, STYLES[place].light, precision)
            sizes = [row.bytes_per_vector or 0 for row in rows]
            axes.plot(sizes, [row.metrics["recall@10"].value for row in rows], marker=STYLES[place].marker, **look)
        systems.append(_entry(system, color=STYLES[place].light, marker=STYLES[place].marker, linestyle=""))
    _ticks(axes, sorted({row.bytes_per_vector for row in content.split("test") if row.bytes_per_vector}))
    axes.set_xlabel("bytes per vector (log scale)")
    kinds: list[Artist] = [_entry(name, marker="o", **_look(content, MUTED, name)) for name in content.precisions]
    if content.ship and content.after.bytes_per_vector:
        kinds.append(_ring(axes, content.after))
    _head(axes, f"recall@10, mean of {content.before.queries:,} test queries", systems, kinds)


def _entry(label: str, **look: Any) -> Artist:  # noqa: ANN401 - matplotlib's own options
    """A legend entry for something drawn many times."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


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
    return _entry("recommended", markersize=10, **look)


def _grades(axes: Axes, content: Content) -> None:
    """The grade histogram, relevant bars filled and the others hatched, with the threshold between them."""
    grades = content.grades
    relevant, rest = [bar for bar in grades.bars if bar.relevant], [bar for bar in grades.bars if bar.rest]
    gaps = np.diff(grades.levels) if grades.bars[0].low == grades.bars[0].high else np.array([])
    gap = 0.8 * float(gaps.min()) if len(gaps) else (grades.highest - grades.lowest) / BINS or 0.5
    outline: dict[str, Any] = {"facecolor": "none", "edgecolor": MUTED, "hatch": "////", "linewidth": 0.8}
    axes.bar([_middle(bar) for bar in rest], [bar.rest for bar in rest], gap, **outline)
    below = [bar.rest for bar in relevant]  # only a bin that the threshold cuts has both
    axes.bar([_middle(bar) for bar in relevant], [bar.relevant for bar in relevant], gap, bottom=below, color=RELEVANT)
    cut: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 1.2}
    axes.axvline(grades.threshold, **cut)
    if len(grades.levels) <= TICKS:
        axes.set_xticks(grades.levels, labels=[f"{level:.4g}" for level in grades.levels])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("grade")
    entries = [_patch("not relevant", **outline), _patch("relevant", color=RELEVANT), _entry("threshold", **cut)]
    _head(axes, f"judged records, {sum(grades.counts):,} in all", entries, left=0.62)


def _middle(bar: Bar) -> float:
    """Where a bar stands."""
    return (bar.low + bar.high) / 2


def _patch(label: str, **look: Any) -> Artist:  # noqa: ANN401 - matplotlib's own options
    """A legend entry for bars."""
    from matplotlib.patches import Patch

    return Patch(label=label, **look)


_FIGURES: dict[str, Callable[[Axes, Content], None]] = {
    "recall_by_dimension": _by_dimension("recall@10", "recall@10"),
    "mrr_by_dimension": _by_dimension("mrr@10", "MRR@10"),
    "recall_by_bytes": _by_bytes,
    "grades": _grades,
}
