"""Draws the differences between the systems at full width as a matrix; the page shows the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.report.figure_style import INK, MUTED, RULE, STYLES, add_heading
from nestvec.report.formatting import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nestvec.report.content import Content
    from nestvec.runs.schema import Comparison

BETTER, WORSE = STYLES[4].light, STYLES[9].light
_TINT = 0.2  # of the colour behind a clear difference; ink stays readable on it
_TURNED = 4  # with more systems than this, names are rotated to fit beside each other
_LETTER = 0.075  # inches: a letter's width, about, at the size of the names


def draw_differences(axes: Axes, content: Content) -> None:
    """Draw the matrix: in each cell the row's system minus the column's; clear differences are coloured and bold."""
    from matplotlib.patches import Rectangle

    rows, metric = content.full_width, content.matrix_metric
    names = [row.system for row in rows]
    for down, row in enumerate(rows[1:]):
        for across, other in enumerate(rows[: down + 1]):
            comparison = content.compared(row, other, metric)
            if comparison is None:
                continue
            colour = BETTER if comparison.difference > 0 else WORSE
            fill: dict[str, Any] = {"facecolor": colour, "alpha": _TINT} if comparison.clear else {"facecolor": "none"}
            axes.add_patch(Rectangle((across, down), 1, 1, linewidth=0, **fill))
            axes.add_patch(Rectangle((across, down), 1, 1, fill=False, edgecolor=RULE, linewidth=0.7))
            _write_cell(axes, (across, down), comparison, roomy=len(rows) <= _TURNED)
    axes.set(xlim=(0, len(rows) - 1), ylim=(len(rows) - 1, 0))
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(rows) > _TURNED else {}
    middles = [cell + 0.5 for cell in range(len(rows) - 1)]
    axes.set_xticks(middles, labels=names[:-1], fontsize=8.5, **turned)
    axes.set_yticks(middles, labels=names[1:], fontsize=8.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    longest = max(map(len, names))
    title = f"{metric}, row minus column, {content.before.queries:,} test queries; bold: p < 0.05"
    add_heading(axes, title, left=0.15 + _LETTER * longest, bottom=0.3 + (_LETTER * longest / 2 if turned else 0))


def _write_cell(axes: Axes, corner: tuple[int, int], comparison: Comparison, *, roomy: bool) -> None:
    """Write the difference into a cell, and below it, if it fits, how many queries were won, tied and lost."""
    across, down = corner
    look: dict[str, Any] = {"ha": "center", "va": "center"}
    height, size, weight = 0.4 if roomy else 0.5, 10 if roomy else 8.5, "bold" if comparison.clear else "normal"
    text = signed(comparison.difference)
    axes.text(across + 0.5, down + height, text, color=INK, fontsize=size, fontweight=weight, **look)
    if roomy and comparison.wins + comparison.ties + comparison.losses:
        outcome = f"{comparison.wins} / {comparison.ties} / {comparison.losses}"
        colour = INK if comparison.clear else MUTED
        axes.text(across + 0.5, down + 0.75, outcome, color=colour, fontsize=8, **look)
