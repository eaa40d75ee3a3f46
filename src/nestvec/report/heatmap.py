"""The surface of one system as a heat map: dimensions down, precisions across, metric and bytes in each cell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nestvec.report.drawing import INK, STYLES, head

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from nestvec.report.content import Content

HUE = STYLES[2].light
FAINT, FULL = 0.05, 0.5  # of the hue, at the lowest and the highest value; ink stays readable on it in both themes
_METRIC = "recall@10"
_LONGEST = 26  # letters of a name that the title has room for


def heat_maps(content: Content) -> dict[str, Callable[[Axes, Content], None]]:
    """A drawing for each system with vectors, by the figure's name.

    Args:
        content: the facts.

    Returns:
        Figure name to what draws it.
    """
    return {figure: partial(_paint, system) for system, figure in figure_names(content).items()}


def figure_names(content: Content) -> dict[str, str]:
    """The figure of each system with vectors; no two are alike, even where a file system ignores case.

    Args:
        content: the facts.

    Returns:
        System to figure name.
    """
    found: dict[str, str] = {}
    for system in content.systems:
        if content.measured(system):
            name, taken = figure_name(system), [other.lower() for other in found.values()]
            found[system] = name if name.lower() not in taken else f"{name}_{len(found)}"
    return found


def scale(content: Content) -> tuple[float, float]:
    """The lowest and the highest value of all maps, which have the faintest and the strongest colour.

    Args:
        content: the facts.

    Returns:
        Two values of the metric.
    """
    shown = [row.metrics[_METRIC].value for row in content.split("test") if row.dimension]
    return min(shown), max(shown)


def figure_name(system: str) -> str:
    """A system's figure; its name may hold what no file name or id should."""
    return "surface_" + "".join(letter if letter.isalnum() else "_" for letter in system)


def described(system: str, content: Content) -> str:
    """The figure in numbers, for people who do not see it.

    Args:
        system: its name.
        content: the facts.

    Returns:
        A sentence for each dimension.
    """
    sentences = []
    for width in content.measured(system):
        cells = [(name, content.cell(system, width, name)) for name in content.precisions]
        told = [
            f"{row.metrics[_METRIC].value:.3f} in {name} ({row.bytes_per_vector} bytes)" for name, row in cells if row
        ]
        sentences.append(f"{width} dimensions: {', '.join(told)}.")
    return f"Heat map of {_METRIC} of {system} by dimension and precision. " + " ".join(sentences)


def _paint(system: str, axes: Axes, content: Content) -> None:
    """One system; all share a scale, so that two maps can be compared."""
    from matplotlib.patches import Rectangle

    low, high = scale(content)
    spread = (high - low) or 1.0
    widths, precisions = content.measured(system), content.precisions
    for down, width in enumerate(widths):
        for across, precision in enumerate(precisions):
            row = content.cell(system, width, precision)
            if row is None:
                continue
            value = row.metrics[_METRIC].value
            alpha = FAINT + (FULL - FAINT) * (value - low) / spread
            chosen = content.ship and row.name == content.after.name
            axes.add_patch(Rectangle((across, down), 1, 1, facecolor=HUE, alpha=alpha, linewidth=0))
            if chosen:
                edge = Rectangle((across + 0.03, down + 0.03), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=2)
                axes.add_patch(edge)
            axes.text(across + 0.5, down + 0.4, f"{value:.3f}", ha="center", va="center", color=INK, fontsize=9.5)
            size = f"{row.bytes_per_vector:,} B"
            axes.text(across + 0.5, down + 0.76, size, ha="center", va="center", color=INK, fontsize=8)
    axes.set(xlim=(0, len(precisions)), ylim=(len(widths), 0), xlabel="precision, and bytes per vector (B)")
    axes.set_xticks([place + 0.5 for place in range(len(precisions))], labels=list(precisions), fontsize=9)
    axes.set_yticks([place + 0.5 for place in range(len(widths))], labels=[str(width) for width in widths])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_ylabel("dimensions")
    n = content.before.queries
    name = system if len(system) <= _LONGEST else f"{system[: _LONGEST - 1]}…"
    head(axes, f"{name}: {_METRIC}, mean of {n:,} test queries", left=0.62)
