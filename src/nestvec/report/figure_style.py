"""The look of every figure, and how figures are saved: PNG for slides, SVG for the page.

The drawings use a few named colours. For the page each colour in the SVG is replaced by a CSS variable
(`inline_svg.py`), so that one drawing serves light and dark mode. Systems differ by colour, marker and line style, not
by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nestvec.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

SIZE = (4.6, 3.6)  # inches; small, so that the text stays readable when the page shrinks it to a phone
LINES = 3  # lines of legends that `SIZE` has room for; a figure with more lines is higher
MARGIN = 0.15  # inches of paper around the PNG; the page brings its own
LEFT, RIGHT, BOTTOM = 0.46, 0.12, 0.52  # inches: margins
TITLE, LEGEND = 0.29, 0.24  # inches: heights of a line above the axes
INK, MUTED, RULE, PAPER = "#1d2024", "#5c636c", "#dcdfe3", "#ffffff"
TEXT = 10.3  # points
HANDLE, PAD, GAP = 2.1, 0.5, 1.0  # of a legend, in em: the sample, the space after the sample, and between entries


@dataclass(frozen=True)
class Style:
    """How a system is drawn: its colours in light and dark mode, its marker and its line style."""

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
    Style("#5f4fb8", "#ada3f7", "<", (0, (5, 1, 1, 1, 1, 1))),
    Style("#c2334d", "#ff93a5", ">", (0, (1, 1))),
    Style("#4a6b1c", "#a6cf6b", "p", (0, (8, 1))),
    Style("#3c5a78", "#9fb8d4", "h", (0, (6, 1, 2, 1))),
)
RELEVANT = STYLES[4].light

_RC: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own typeface
    "text.parse_math": False,  # a name with a dollar sign is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": TEXT,
    "axes.labelsize": TEXT,
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
    "legend.fontsize": TEXT,
    "hatch.linewidth": 0.6,
}


def draw_figure(name: str, paint: Callable[[Axes, T], None], facts: T, directory: Path | None = None) -> str:
    """Draw a figure and return its SVG text; the ids inside depend on the figure's name only.

    If a folder is given, NAME.png (150 dpi, white) and NAME.svg are written to it. Raises MissingExtraError if
    matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.transforms import Bbox
    except ImportError as error:
        raise MissingExtraError(error.name or "matplotlib", "report") from error
    # ids stay the same from run to run and differ between figures
    with mpl.rc_context(_RC | {"svg.hashsalt": name}):
        figure = Figure(figsize=SIZE)  # outside of pyplot, so that nothing has to be closed
        paint(figure.add_subplot(), facts)
        if directory is not None:
            box = Bbox.from_extents(-MARGIN, -MARGIN, *(figure.get_size_inches() + MARGIN))
            look: dict[str, Any] = {"dpi": 150, "facecolor": PAPER, "bbox_inches": box}
            figure.savefig(directory / f"{name}.png", metadata={"Software": None}, **look)
        svg = StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    if directory is not None:
        (directory / f"{name}.svg").write_text(svg.getvalue(), encoding="utf-8")
    return svg.getvalue()


def add_heading(axes: Axes, title: str, *legends: Sequence[Artist], left: float = LEFT, bottom: float = BOTTOM) -> None:
    """Put the title and the legends above the chart, flush left, and give the chart the rest of the figure.

    Each legend begins a new line. `left` and `bottom` are the space in inches for the labels of the two axes.
    """
    figure, (width, height) = cast("Figure", axes.get_figure()), SIZE
    rows = [row for entries in legends for row in _wrap_legend(entries)]
    height += LEGEND * max(0, len(rows) - LINES)
    figure.set_size_inches(width, height)
    figure.text(0, 1, title, va="top")
    line = TITLE
    for row in rows:  # one by one, as matplotlib would fill columns first
        figure.legend(
            handles=row, loc="upper left", bbox_to_anchor=(0, 1 - line / height), ncols=len(row), borderpad=0,
            borderaxespad=0, handlelength=HANDLE, columnspacing=GAP, handletextpad=PAD,
        )  # fmt: skip
        line += LEGEND
    top = 1 - (line + 0.08) / height
    figure.subplots_adjust(left=left / width, right=1 - RIGHT / width, bottom=bottom / height, top=top)


def _wrap_legend(entries: Sequence[Artist]) -> list[list[Artist]]:
    """Divide a legend's entries into lines that fit the figure's width."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    lines: list[list[Artist]] = []
    room, font = 0.0, FontProperties(size=TEXT)
    for item in entries:
        text = text_to_path.get_text_width_height_descent(str(item.get_label()), font, ismath=False)[0]
        needed = text + (HANDLE + PAD + GAP) * TEXT
        if not lines or needed > room + GAP * TEXT:
            lines.append([])
            room = 72 * SIZE[0]
        lines[-1].append(item)
        room -= needed
    return lines


def legend_line(label: str, **look: Any) -> Artist:  # noqa: ANN401 - matplotlib's own options
    """Make a legend entry for a line or marker, without drawing it."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def legend_patch(label: str, **look: Any) -> Artist:  # noqa: ANN401 - matplotlib's own options
    """Make a legend entry for bars, without drawing them."""
    from matplotlib.patches import Patch

    return Patch(label=label, **look)
