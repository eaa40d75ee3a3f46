"""How bytes are best spent: what each system reaches in so many of them, by fewer bits or by fewer dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.recommending.teams import NEARLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.report.content import Content
    from nestvec.runs.schema import Row


@dataclass(frozen=True)
class Budget:
    """The best row of each system that takes no more than so many bytes; None where a system has none so small."""

    size: int  # bytes per vector
    best: dict[str, Row | None]


@dataclass(frozen=True)
class Shrinking:
    """One system made smaller in two ways: all dimensions with fewer bits, or full precision with fewer dimensions."""

    system: str
    gains: dict[int, float]  # by size that both ways reach: the metric with fewer bits less that with fewer dimensions

    @property
    def bits_better(self) -> int:
        """At how many sizes fewer bits are better."""
        return sum(gain > 0 for gain in self.gains.values())

    @property
    def dimensions_better(self) -> int:
        """At how many sizes fewer dimensions are better."""
        return sum(gain < 0 for gain in self.gains.values())


def best_by_size(content: Content, metric: str) -> tuple[Budget, ...]:
    """Find what every size that was measured is best spent on, on test, large before small.

    Sizes within 5 % of each other are one, the largest of them.
    """
    rows = [row for row in content.split("test") if row.bytes_per_vector]
    own = {name: [row for row in rows if row.system == name] for name in content.systems if content.measured(name)}
    return tuple(
        Budget(size, {name: _best_within(rows, size, metric) for name, rows in own.items()})
        for size in _distinct_sizes(rows)
    )


def compare_bits_with_dimensions(content: Content, metric: str) -> tuple[Shrinking, ...]:
    """Make each system smaller by fewer bits, and by fewer dimensions, and compare both size by size, on test.

    Returns the systems of which both ways were measured, below their full size.
    """
    shrinkings = []
    for system in content.systems:
        rows = [row for row in content.split("test") if row.system == system and row.bytes_per_vector]
        widest = max((row.dimension or 0 for row in rows), default=0)
        coded = [row for row in rows if row.dimension == widest and row.precision != content.before.precision]
        cut = [
            row
            for row in rows
            if row.dimension != widest and row.precision == content.before.precision and not row.axes
        ]
        gains = {}
        for size in _distinct_sizes(rows):
            fewer_bits, fewer_dimensions = _best_within(coded, size, metric), _best_within(cut, size, metric)
            if fewer_bits and fewer_dimensions:
                gains[size] = fewer_bits.metrics[metric].value - fewer_dimensions.metrics[metric].value
        shrinkings += [Shrinking(system, gains)] if gains else []
    return tuple(shrinkings)


def _distinct_sizes(rows: Sequence[Row]) -> list[int]:
    """The sizes measured, falling; of those hardly apart the largest."""
    sizes: list[int] = []
    for size in sorted({row.bytes for row in rows}, reverse=True):
        if not sizes or sizes[-1] > NEARLY * size:
            sizes.append(size)
    return sizes


def _best_within(rows: Sequence[Row], size: int, metric: str) -> Row | None:
    """The best row of at most so many bytes; of equally good ones the smallest."""
    within = [row for row in rows if row.bytes <= size]
    return max(within, key=lambda row: (row.metrics[metric].value, -row.bytes), default=None)
