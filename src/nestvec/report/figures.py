"""Draws the report's figures with matplotlib: PNG for slides, SVG for the page.

The drawings use a handful of named colours. The page replaces each in the SVG by a CSS variable (`page_svg`), so that
the same drawing reads in light and in dark. Systems differ by colour, marker and line style, never by colour alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.report.content import LEXICAL, Content, Row

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.6, 3.5)  # inches; small, so that the text stays readable when the page shrinks it to a phone
INK, MUTED, RULE, PAPER = "#1d2024", "#5c636c", "#dcdfe3", "#ffffff"
FILLS = ("full", "none", "left", "right", "bottom", "top")  # marker filling per precision
BINS = 30  # of the histogram, where there are more levels than that


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
_PLACES = {"pretrained": 0, "mnr": 1, "matryoshka": 2, LEXICAL: 3}


def style_places(systems: tuple[str, ...]) -> dict[str, int]:
    """System to its row in `STYLES`: the known ones always look the same, others take what is left, in order."""
    left = [place for place in range(len(STYLES)) if place not in _PLACES.values()]
    others = [name for name in systems if name not in _PLACES]
    return {name: _PLACES[name] if name in _PLACES else left[others.index(name) % len(left)] for name in systems}


def draw_figures(content: Content, directory: Path) -> dict[str, str]:
    """Draw every figure into a folder as NAME.png (150 dpi, white) and NAME.svg.

    Returns:
        Figure name to its SVG text.
    """
    import matplotlib as mpl

    directory.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, str] = {}
    with mpl.rc_context(_RC):
        for name, draw in _FIGURES.items():
            mpl.rcParams["svg.hashsalt"] = name  # ids stay the same from run to run and differ between figures
            figure, axes = _canvas()
            draw(axes, content)
            figure.savefig(directory / f"{name}.png", dpi=150, facecolor=PAPER, metadata={"Software": None})
            svg = directory / f"{name}.svg"
            figure.savefig(svg, transparent=True, metadata={"Date": None, "Creator": None})
            drawings[name] = svg.read_text(encoding="utf-8")
    return drawings


def page_svg(svg: str, name: str) -> str:
    """An SVG drawing as it goes into the page: colours as CSS variables, ids of its own, nothing that loads."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", body.split(">", 1)[0]) + ">" + body.split(">", 1)[1]
    body = body.replace("xlink:href", "href")
    body = re.sub(r'font(?:-family)?: [^;"]*?\'[^;"]*', _without_family, body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{name}-", body)
    for colour, variable in _page_colours().items():
        body = body.replace(colour, variable)
    return body.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()


def _without_family(match: re.Match[str]) -> str:
    """A font declaration that keeps its size and takes the page's typeface."""
    size = re.search(r"[\d.]+px", match[0])
    return f"font-size: {size[0]}" if size else "font-family: inherit"


def _page_colours() -> dict[str, str]:
    """Drawn colour to the page's CSS variable."""
    named = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"}
    return named | {style.light: f"var(--s{place})" for place, style in enumerate(STYLES)}


_RC: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own typeface
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.6,
}


def _canvas() -> tuple[Figure, Axes]:
    """An empty figure outside of pyplot, so that nothing has to be closed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _legend(axes: Axes, above: float = 1.0, **options: Any) -> Any:  # noqa: ANN401 - matplotlib's own options
    """A legend in one line on top of the axes."""
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, above), "borderaxespad": 0.2, "borderpad": 0.1}
    return axes.legend(ncols=4, handlelength=2.6, columnspacing=1.3, handletextpad=0.5, **(place | options))


def _by_dimension(metric: str, label: str) -> Any:  # noqa: ANN401 - a drawing function, see `_FIGURES`
    """A function that draws a metric against the dimension, one line per system with its interval band."""

    def draw(axes: Axes, content: Content) -> None:
        dimensions: set[int] = set()
        for system, place in style_places(content.systems).items():
            rows, style = content.line(system), STYLES[place]
            if system == LEXICAL:
                _level(axes, content, metric)
                continue
            widths = [row.dimension or 0 for row in rows]
            dimensions.update(widths)
            measures = [row.metrics[metric] for row in rows]
            axes.fill_between(widths, [m.low for m in measures], [m.high for m in measures],
                              color=style.light, alpha=0.13, linewidth=0)  # fmt: skip
            axes.plot(widths, [m.value for m in measures], color=style.light, marker=style.marker,
                      linestyle=style.dash, label=system)  # fmt: skip
        _ticks(axes, sorted(dimensions))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"dimensions (log scale), {content.before.precision}")
        axes.set_ylabel(f"{label}, mean of n = {content.before.queries} queries")
        _legend(axes)

    return draw


def _level(axes: Axes, content: Content, metric: str) -> None:
    """BM25 as a horizontal line: it has no vectors whose width could change."""
    for row in content.split("test"):
        if row.system == LEXICAL:
            style = STYLES[_PLACES[LEXICAL]]
            axes.axhline(row.metrics[metric].value, color=style.light, linestyle=style.dash, label=LEXICAL)


def _ticks(axes: Axes, values: list[int]) -> None:
    """A log2 axis with a tick at each value that was measured and nowhere else."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, labels=[str(value) for value in values])
    axes.minorticks_off()


def _by_bytes(axes: Axes, content: Content) -> None:
    """Recall@10 against bytes per vector: a marker per system, a filling per precision, the recommended point ringed."""
    from matplotlib.lines import Line2D

    rows = [row for row in content.split("test") if row.bytes_per_vector]
    precisions = list(dict.fromkeys(row.precision for row in rows))
    fills = {precision: FILLS[count % len(FILLS)] for count, precision in enumerate(precisions)}
    for system, place in style_places(content.systems).items():
        style = STYLES[place]
        for precision in precisions:
            line = content.line(system, precision)
            axes.plot([row.bytes_per_vector or 0 for row in line], [row.metrics["recall@10"].value for row in line],
                      color=style.light, marker=style.marker, markerfacecoloralt=PAPER, fillstyle="full", linewidth=0.8,
                      markerfacecolor=style.light if fills[precision] != "none" else PAPER,
                      linestyle="-" if fills[precision] == "full" else (0, (2, 2)))  # fmt: skip
    _level(axes, content, "recall@10")
    if content.ship:
        _ring(axes, content.after)
    _ticks(axes, sorted({row.bytes_per_vector or 0 for row in rows}))
    axes.set_xlabel("bytes per vector (log scale)")
    axes.set_ylabel(f"recall@10, mean of n = {content.before.queries} queries")
    places = style_places(content.systems)
    systems = [Line2D([], [], color=STYLES[place].light, marker="" if name == LEXICAL else STYLES[place].marker,
                      linestyle=STYLES[place].dash if name == LEXICAL else "", label=name)
               for name, place in places.items()]  # fmt: skip
    kinds = [Line2D([], [], color=MUTED, marker="o", linestyle="-" if fills[precision] == "full" else (0, (2, 2)),
                    linewidth=0.8, markerfacecolor=PAPER if fills[precision] == "none" else MUTED, label=precision)
             for precision in precisions]  # fmt: skip
    axes.add_artist(_legend(axes, above=1.09, handles=systems))
    _legend(axes, handles=kinds)


def _ring(axes: Axes, row: Row) -> None:
    """Mark the recommended point, with its interval."""
    size, measure = row.bytes_per_vector or 0, row.metrics["recall@10"]
    axes.plot([size, size], [measure.low, measure.high], color=INK, linewidth=1.0, solid_capstyle="butt")
    axes.plot([size], [measure.value], marker="o", markersize=13, markerfacecolor="none", markeredgecolor=INK, linestyle="")
    axes.annotate("recommended", (size, measure.value), xytext=(12, -16), textcoords="offset points", color=INK)


def _grades(axes: Axes, content: Content) -> None:
    """The grade histogram, relevant bars filled and the others hatched, with the threshold between them."""
    grades = content.grades
    levels, counts = np.array(grades["levels"]), np.array(grades["counts"])
    relevant = np.round(1000 * (levels - grades["lowest"])) >= grades["relevant_from"]
    width = 0.8 * float(np.diff(levels).min()) if len(levels) > 1 else 0.5
    if len(levels) > BINS:
        edges = np.linspace(levels[0], levels[-1], BINS + 1)
        halves = [np.histogram(levels, edges, weights=counts * part)[0] for part in (relevant, ~relevant)]
        levels, width = (edges[1:] + edges[:-1]) / 2, float(np.diff(edges)[0])
    else:
        halves = [counts * relevant, counts * ~relevant]
    colour, other = STYLES[2].light, STYLES[0].light
    axes.bar(levels, halves[1], width, facecolor="none", edgecolor=other, hatch="////", linewidth=0.8, label="not relevant")
    axes.bar(levels, halves[0], width, bottom=halves[1], color=colour, edgecolor=colour, linewidth=0.8, label="relevant")
    axes.axvline(grades["threshold"], color=INK, linestyle=(0, (4, 2)), linewidth=1.2, label="threshold")
    axes.set_xlabel("grade")
    axes.set_ylabel(f"judged records, n = {int(counts.sum())}")
    _legend(axes)


_FIGURES: dict[str, Any] = {
    "recall_by_dimension": _by_dimension("recall@10", "recall@10"),
    "mrr_by_dimension": _by_dimension("mrr@10", "MRR@10"),
    "recall_by_bytes": _by_bytes,
    "grades": _grades,
}
