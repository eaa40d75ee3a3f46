"""Draws a system's metric as a heat map: dimensions down, precisions across, metric and bytes in each cell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from nestvec.point import describe_cut, name_cut
from nestvec.report.figure_style import INK, STYLES, add_heading
from nestvec.report.formatting import count, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from nestvec.report.content import Content

HUE = STYLES[2].light
FAINT, FULL = 0.05, 0.5  # of the hue, at the lowest and the highest value; ink stays readable on it in both themes
_METRIC = "recall@10"
_LONGEST = 26  # letters of a name that the title has room for
_MARGIN, _AXES_MARGIN = 0.62, 0.9  # inches left of the map, for `384` and for `192 axes`


class ValueRange(NamedTuple):
    """The lowest and the highest value of the metric over the heat maps of all systems."""

    low: float
    high: float


def heat_maps(content: Content) -> dict[str, Callable[[Axes, Content], None]]:
    """List the heat maps of all systems with vectors: maps a figure's name to the function that draws the figure."""
    return {figure: partial(_draw_heat_map, system) for system, figure in figure_names(content).items()}


def figure_names(content: Content) -> dict[str, str]:
    """Name each system's figure, so that no two names are equal even on a file system that ignores case."""
    figures: dict[str, str] = {}
    for system in content.systems:
        if content.measured(system):
            name, taken = figure_name(system), [other.lower() for other in figures.values()]
            figures[system] = name if name.lower() not in taken else f"{name}_{len(figures)}"
    return figures


def value_range(content: Content) -> ValueRange:
    """Find the lowest and the highest value in all heat maps, drawn in the faintest and the strongest colour."""
    values = [row.metrics[_METRIC].value for row in content.split("test") if row.dimension]
    return ValueRange(min(values), max(values))


def figure_name(system: str) -> str:
    """Make a figure's file name from a system's name; characters other than letters and digits become `_`."""
    return "surface_" + "".join(letter if letter.isalnum() else "_" for letter in system)


def describe_heat_map(system: str, content: Content) -> str:
    """Describe a heat map in numbers, one sentence per dimension, for people who cannot see it."""
    sentences = []
    for width, axes in content.measured(system):
        cells = [(precision, content.cell(system, width, precision, axes)) for precision in content.precisions]
        values = [
            f"{number(row.metrics[_METRIC].value)} in {precision} ({row.bytes_per_vector} bytes)"
            for precision, row in cells
            if row
        ]
        sentences.append(f"{describe_cut(width, axes)}: {', '.join(values)}.")
    return f"Heat map of {_METRIC} of {system} by dimension and precision. " + " ".join(sentences)


def _draw_heat_map(system: str, axes: Axes, content: Content) -> None:
    """Draw one system's heat map; all systems share a colour scale, so that maps can be compared."""
    from matplotlib.patches import Rectangle

    low, high = value_range(content)
    spread = (high - low) or 1.0
    cuts, precisions = content.measured(system), content.precisions
    for down, (width, on_axes) in enumerate(cuts):
        for across, precision in enumerate(precisions):
            row = content.cell(system, width, precision, on_axes)
            if row is None:
                continue
            value = row.metrics[_METRIC].value
            alpha = FAINT + (FULL - FAINT) * (value - low) / spread
            axes.add_patch(Rectangle((across, down), 1, 1, facecolor=HUE, alpha=alpha, linewidth=0))
            if content.run.ships and row.name == content.after.name:
                edge = Rectangle((across + 0.03, down + 0.03), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=2)
                axes.add_patch(edge)
            axes.text(across + 0.5, down + 0.4, number(value), ha="center", va="center", color=INK, fontsize=9.5)
            size = f"{count(row.bytes_per_vector)} B"
            axes.text(across + 0.5, down + 0.76, size, ha="center", va="center", color=INK, fontsize=8)
    axes.set(xlim=(0, len(precisions)), ylim=(len(cuts), 0), xlabel="precision, and bytes per vector (B)")
    axes.set_xticks([column + 0.5 for column in range(len(precisions))], labels=list(precisions), fontsize=9)
    labels = [name_cut(*cut) for cut in cuts]
    axes.set_yticks([line + 0.5 for line in range(len(cuts))], labels=labels)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_ylabel("dimensions")
    left = _AXES_MARGIN if any(on_axes for _, on_axes in cuts) else _MARGIN
    name = system if len(system) <= _LONGEST else f"{system[: _LONGEST - 1]}…"
    add_heading(axes, f"{name}: {_METRIC}, mean of {content.before.queries:,} test queries", left=left)
