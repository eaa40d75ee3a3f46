"""The chart on a run page's first screen, a metric against bytes, with all positions in per cent of the chart.

The template `answer.jinja` draws the chart as SVG without a view box, so that text keeps its size in a narrow window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec.point import BM25_DEFAULT, HYBRID
from nestvec.report.formatting import count, describe_point, interval, number
from nestvec.report.words import metric_label
from nestvec.runs.run import find_frontier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.report.answer import Team
    from nestvec.report.content import Content
    from nestvec.runs.schema import Row

LEFT, RIGHT, TOP, BOTTOM = 5.0, 96.0, 17.0, 92.0  # per cent of the drawing
APART = 4.6  # per cent of the height, at least, between the labels of two lines
BELOW = 0.6  # room below the lowest important value, as a share of the important values' range
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)  # possible distances between two lines of the grid, in the metric
MOST_GRID = 7
KINDS = {"beside_keyword_search": "beside", "vectors_alone": "alone"}


@dataclass(frozen=True)
class Dot:
    """A marker in the chart of metric by bytes: vectors that no smaller ones equal or beat, or a recommended choice."""

    x: float
    y: float
    kind: str  # beside or alone
    name: str
    told: str  # its numbers
    choices: tuple[str, ...] = ()
    numbers: str = ""


@dataclass(frozen=True)
class Level:
    """A horizontal line in the chart, for a baseline to beat: BM25, or the pretrained model at full width."""

    y: float
    label_y: float
    kind: str
    name: str
    told: str


@dataclass(frozen=True)
class Chart:
    """Everything that the chart of metric by bytes draws; positions are in per cent of the chart's width and height."""

    grid: tuple[tuple[float, str], ...]
    sizes: tuple[tuple[float, str], ...]
    faint: tuple[tuple[float, float, str], ...]
    steps: tuple[tuple[float, float, float, float, str], ...]
    levels: tuple[Level, ...]
    dots: tuple[Dot, ...]
    label: str
    told: str


@dataclass(frozen=True)
class _Scale:
    smallest: int
    largest: int
    low: float
    high: float

    def x(self, size: int) -> float:
        share = math.log2(size / self.smallest) / (math.log2(self.largest / self.smallest) or 1)
        return round(LEFT + (RIGHT - LEFT) * share, 2)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(BOTTOM - (BOTTOM - TOP) * max(0.0, share), 2)


def draw_size_chart(content: Content, teams: Sequence[Team]) -> Chart:
    """Compute the position of everything in the chart of metric by bytes: markers, frontier lines and baselines."""
    metric = content.run.recommendation.metric
    rows = [row for row in content.run.points.values() if row.bytes and (row.is_vectors or row.kind == HYBRID)]
    fronts = {"beside": find_frontier([row for row in rows if row.kind == HYBRID], metric)}
    fronts["alone"] = find_frontier([row for row in rows if row.is_vectors], metric)
    chosen = {team.name: [card.row for card in team.cards if card.row] for team in teams}
    levels = [row for row in (content.lexical, _untuned(content), content.before) if row]
    scale = _fit(rows, [*levels, *(row for group in chosen.values() for row in group)], fronts, metric)
    value = {row.name: row.metrics[metric].value for row in [*rows, *levels]}
    drawn = _dots(fronts, chosen, metric, scale)
    seen = {row.name for group in (*fronts.values(), *chosen.values()) for row in group}
    faint = tuple(
        (scale.x(row.bytes), scale.y(value[row.name]), _kind(row))
        for row in rows
        if row.name not in seen and value[row.name] >= scale.low
    )
    told = "; ".join(f"{dot.name}, {', '.join(dot.choices)}: {dot.told}" for dot in drawn if dot.choices)
    return Chart(
        grid=_grid(scale),
        sizes=_sizes(scale),
        faint=faint,
        steps=tuple(step for kind, front in fronts.items() for step in _steps(front, kind, metric, scale)),
        levels=_levels(content, levels, metric, scale),
        dots=tuple(_mark(dot, teams) for dot in drawn),
        label=metric_label(metric),
        told=told,
    )  # fmt: skip


def _untuned(content: Content) -> Row | None:
    return content.run.points.get(BM25_DEFAULT)


def _kind(row: Row) -> str:
    return "beside" if row.kind == HYBRID else "alone"


def _fit(rows: Sequence[Row], important: Sequence[Row], fronts: dict[str, tuple[Row, ...]], metric: str) -> _Scale:
    """Choose the ranges of the chart's axes: all sizes, but only the values near the choices and the baselines."""
    sizes = [row.bytes for row in rows]
    tops = [front[-1] for front in fronts.values() if front]
    values = [row.metrics[metric].value for row in (*important, *tops)]
    low, high = min(values), max(values)
    lowest = min(front[0].metrics[metric].value for front in fronts.values() if front)
    low = max(min(lowest, low), low - BELOW * max(high - low, STEPS[0]))
    step = _grid_step(low, high)
    return _Scale(min(sizes), max(sizes), math.floor(low / step) * step, max(high, low + step))


def _grid_step(low: float, high: float) -> float:
    return next((step for step in STEPS if (high - low) / step <= MOST_GRID), STEPS[-1])


def _grid(scale: _Scale) -> tuple[tuple[float, str], ...]:
    step = _grid_step(scale.low, scale.high)
    first, last = round(scale.low / step), math.floor(scale.high / step + 1e-9)
    return tuple((scale.y(place * step), f"{place * step:.2f}") for place in range(first, last + 1))


def _sizes(scale: _Scale) -> tuple[tuple[float, str], ...]:
    """Place the ticks of the size axis: three times every second power of two (12, 48, 192, 768 bytes)."""
    sizes = [3 * 4**power for power in range(12) if scale.smallest <= 3 * 4**power <= scale.largest]
    return tuple((scale.x(size), count(size)) for size in sizes or [scale.smallest])


def _steps(front: Sequence[Row], kind: str, metric: str, scale: _Scale) -> list[tuple[float, float, float, float, str]]:
    """Draw a frontier as stepped lines: across to the next size, then up to the value there."""
    lines = []
    ends = [scale.x(row.bytes) for row in front[1:]] + [scale.x(scale.largest)] if front else []
    for place, row in enumerate(front):
        x, y = scale.x(row.bytes), scale.y(row.metrics[metric].value)
        if y < BOTTOM and ends[place] > x:
            lines.append((x, y, ends[place], y, kind))
        if place + 1 < len(front):
            upper = scale.y(front[place + 1].metrics[metric].value)
            if upper < y:
                lines.append((ends[place], y, ends[place], upper, kind))
    return lines


def _dots(fronts: dict[str, tuple[Row, ...]], chosen: dict[str, list[Row]], metric: str, scale: _Scale) -> list[Dot]:
    """List the markers of the frontiers and of the choices, each once, by kind of team and by bytes."""
    dots = []
    for team, kind in KINDS.items():
        rows = {row.name: row for row in (*fronts[kind], *chosen.get(team, []))}
        for row in sorted(rows.values(), key=lambda row: row.bytes):
            measure = row.metrics[metric]
            if measure.value >= scale.low:
                told = f"{count(row.bytes)} bytes, {metric_label(metric)} {number(measure.value)} {interval(measure)}"
                dots.append(
                    Dot(scale.x(row.bytes), scale.y(measure.value), kind, describe_point(row, short=True), told)
                )
    return dots


def _mark(dot: Dot, teams: Sequence[Team]) -> Dot:
    """Make a copy of a chart's dot with the names and numbers of the choices that lie there."""
    cards = [card for team in teams if KINDS[team.name] == dot.kind for card in team.cards if card.row]
    mine = [card for card in cards if card.row and describe_point(card.row, short=True) == dot.name]
    names, numbers = tuple(card.name for card in mine), " ".join(str(card.number) for card in mine)
    return replace(dot, choices=names, numbers=numbers)


def _levels(content: Content, rows: Sequence[Row], metric: str, scale: _Scale) -> tuple[Level, ...]:
    """Place the horizontal lines of BM25 and the pretrained model, with labels far enough apart to be read."""
    names, last, levels = {}, -math.inf, []
    if content.lexical:
        names[content.lexical.name] = ("words", "BM25, tuned" if _untuned(content) else "BM25")
    names[BM25_DEFAULT] = ("untuned", "BM25, untuned")
    names |= {content.before.name: ("pretrained", f"pretrained model, {count(content.before.bytes)} bytes")}
    for row in sorted(rows, key=lambda row: -row.metrics[metric].value):
        measure, (kind, name) = row.metrics[metric], names[row.name]
        y = scale.y(measure.value)
        last = max(y, last + APART)
        size = f"{count(row.bytes)} bytes, " if row.bytes else "no vectors, "
        told = f"{size}{metric_label(metric)} {number(measure.value)} {interval(measure)}"
        levels.append(Level(y, last, kind, name, told))
    return tuple(levels)
