"""Draws the histogram of the grades, and describes the histogram in words for people who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.report.figure_style import INK, MUTED, RELEVANT, add_heading, legend_line, legend_patch
from nestvec.report.formatting import count, grade_range, plain
from nestvec.runs.schema import BINS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from nestvec.runs.schema import Bar, Grades

TICKS = 12  # with more grades than this, not every grade has a label
RARE = 0.01  # among more than `TICKS` grades, one with a smaller share of the records is thin and has no label


def draw_grades(axes: Axes, grades: Grades) -> None:
    """Draw the histogram of the grades: relevant grades filled, others hatched, and a line at the threshold."""
    relevant, rest = [bar for bar in grades.bars if bar.relevant], [bar for bar in grades.bars if bar.rest]
    common, widths = _common_levels(grades), _bar_widths(grades)
    outline: dict[str, Any] = {"facecolor": "none", "edgecolor": MUTED, "hatch": "////", "linewidth": 0.8}
    axes.bar([_bar_middle(bar) for bar in rest], [bar.rest for bar in rest], [widths[bar] for bar in rest], **outline)
    solid: dict[str, Any] = {"color": RELEVANT, "bottom": [bar.rest for bar in relevant]}  # a bin cut in two has both
    heights = [bar.relevant for bar in relevant]
    axes.bar([_bar_middle(bar) for bar in relevant], heights, [widths[bar] for bar in relevant], **solid)
    cut: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 1.2}
    axes.axvline(_place_threshold(grades, widths), **cut)
    bars = [legend_patch("not relevant", **outline), legend_patch("relevant", color=RELEVANT)]
    more: list[list[Artist]] = []
    if (dip := grades.dip) is not None and dip.low is not None and dip.high is not None and dip.low < dip.high:
        band: dict[str, Any] = {"color": INK, "alpha": 0.12, "linewidth": 0}
        axes.axvspan(dip.low, dip.high, zorder=0, **band)
        more.append([legend_patch("threshold of 95 % of the resampled histograms", **band)])
    if 0 < len(common) <= TICKS:
        axes.set_xticks(common, labels=[f"{level:.4g}" for level in common])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("grade")
    legend = [*bars, legend_line("threshold", **cut)]
    add_heading(axes, f"judged records, {sum(grades.counts):,} in all", legend, *more, left=0.62)


def describe_grades(grades: Grades) -> str:
    """Describe the histogram of the grades in words, one phrase per bar."""
    bars = [f"{grade_range(bar.low, bar.high)}: {count(bar.relevant + bar.rest)}" for bar in grades.bars]
    return f"Histogram of the grades. Records per grade: {', '.join(bars)}. The threshold is {plain(grades.threshold)}."


def _common_levels(grades: Grades) -> list[float]:
    """List the grades that count as frequent: all if there are few, else those of at least 1 % of the records."""
    if len(grades.levels) <= TICKS:
        return list(grades.levels)
    whole = sum(grades.counts)
    return [level for level, records in zip(grades.levels, grades.counts, strict=True) if records >= RARE * whole]


def _bar_widths(grades: Grades) -> dict[Bar, float]:
    """Choose each bar's width, so that bars of frequent grades do not overlap and those of rare ones stay visible."""
    span = grades.highest - grades.lowest
    if grades.bars[0].low != grades.bars[0].high or span == 0:
        return dict.fromkeys(grades.bars, span / BINS or 0.5)
    common = _common_levels(grades)
    narrow, wide = (
        max(0.8 * float(np.diff(levels).min()), 0.01 * span) if len(levels) > 1 else 0.01 * span
        for levels in (grades.levels, common)
    )
    return {bar: wide if bar.low in common else narrow for bar in grades.bars}


def _place_threshold(grades: Grades, widths: dict[Bar, float]) -> float:
    """Choose where to draw the threshold: at the left edge of the bar of that grade, not through the bar."""
    level = next((bar for bar in grades.bars if bar.low == bar.high == grades.threshold), None)
    return grades.threshold if level is None else level.low - widths[level] / 2


def _bar_middle(bar: Bar) -> float:
    return (bar.low + bar.high) / 2
