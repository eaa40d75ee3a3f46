"""The differences between the systems at full width as a drawing; the page has them as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.report.drawing import INK, MUTED, RULE, STYLES, head

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nestvec.report.content import Content
    from nestvec.runs.schema import Comparison

BETTER, WORSE = STYLES[4].light, STYLES[9].light
_TINT = 0.2  # of the colour behind a clear difference; ink stays readable on it
_TURNED = 4  # systems from which on their names do not fit beside each other
_LETTER = 0.075  # inches: a letter's width, about, at the size of the names


def draw_differences(axes: Axes, content: Content) -> None:
    """Each row's system less each column's; on colour and in bold where the difference is clear.

    Args:
        axes: the drawing.
        content: the facts.
    """
    from matplotlib.patches import Rectangle

    rows, metric = content.full_width, content.matrix_metric
    names = [row.system for row in rows]
    for down, row in enumerate(rows[1:]):
        for across, other in enumerate(rows[: down + 1]):
            entry = content.compared(row, other, metric)
            if entry is None:
                continue
            colour = (BETTER if entry.difference > 0 else WORSE) if entry.clear else "none"
            fill: dict[str, Any] = {"facecolor": colour, "alpha": _TINT} if entry.clear else {"facecolor": "none"}
            axes.add_patch(Rectangle((across, down), 1, 1, linewidth=0, **fill))
            axes.add_patch(Rectangle((across, down), 1, 1, fill=False, edgecolor=RULE, linewidth=0.7))
            _label(axes, across, down, entry, len(rows))
    axes.set(xlim=(0, len(rows) - 1), ylim=(len(rows) - 1, 0))
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(rows) > _TURNED else {}
    axes.set_xticks([place + 0.5 for place in range(len(rows) - 1)], labels=names[:-1], fontsize=8.5, **turned)
    axes.set_yticks([place + 0.5 for place in range(len(rows) - 1)], labels=names[1:], fontsize=8.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    longest = max(map(len, names))
    n = content.before.queries
    title = f"{metric}, row less column, {n:,} test queries; bold: p < 0.05"
    head(axes, title, left=0.15 + _LETTER * longest, bottom=0.3 + (_LETTER * longest / 2 if turned else 0))


def _label(axes: Axes, across: int, down: int, entry: Comparison, systems: int) -> None:
    """The difference, and below it, where there is room, the queries won, tied and lost."""
    roomy = systems <= _TURNED
    look: dict[str, Any] = {"ha": "center", "va": "center"}
    value = f"{entry.difference:+.3f}".replace("-", "\N{MINUS SIGN}")
    value = value[1:] if not value[1:].strip("0.") else value  # zero has no sign
    weight = "bold" if entry.clear else "normal"
    axes.text(
        across + 0.5,
        down + (0.4 if roomy else 0.5),
        value,
        color=INK,
        fontsize=10 if roomy else 8.5,
        fontweight=weight,
        **look,
    )
    if roomy and entry.wins + entry.ties + entry.losses:
        outcome = f"{entry.wins} / {entry.ties} / {entry.losses}"
        axes.text(across + 0.5, down + 0.75, outcome, color=INK if entry.clear else MUTED, fontsize=8, **look)
