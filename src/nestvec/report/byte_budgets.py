"""Compares vectors by bytes: the best of each system within a size, and fewer bits against fewer dimensions."""

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
    """Each system's best measured vectors within a size in bytes; None for a system without vectors that small."""

    size: int  # bytes per vector
    best: dict[str, Row | None]


@dataclass(frozen=True)
class Shrinking:
    """One system made smaller in two ways: full width with fewer bits, or full precision with fewer dimensions."""

    system: str
    gains: dict[int, float]  # bytes to the metric with fewer bits minus the metric with fewer dimensions

    @property
    def bits_better(self) -> int:
        """Number of sizes at which fewer bits per number gave better search results than fewer dimensions."""
        return sum(gain > 0 for gain in self.gains.values())

    @property
    def dimensions_better(self) -> int:
        """Number of sizes at which fewer dimensions gave better search results than fewer bits per number."""
        return sum(gain < 0 for gain in self.gains.values())


def best_by_size(content: Content, metric: str) -> tuple[Budget, ...]:
    """Find, for every measured size in bytes, each system's best vectors of at most that size, large sizes first.

    Of sizes within 5 % of each other only the largest is listed. All values are those of the test split.
    """
    rows = [row for row in content.split("test") if row.bytes_per_vector]
    own = {name: [row for row in rows if row.system == name] for name in content.systems if content.measured(name)}
    return tuple(
        Budget(size, {name: _best_within(rows, size, metric) for name, rows in own.items()})
        for size in _distinct_sizes(rows)
    )


def compare_bits_with_dimensions(content: Content, metric: str) -> tuple[Shrinking, ...]:
    """Compare at every size the same system with fewer bits and with fewer dimensions, on the test split.

    Returns only the systems that were measured both with fewer bits and with fewer dimensions.
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
    """List the sizes in bytes of the measured vectors, largest first; of sizes within 5 % of each other one."""
    sizes: list[int] = []
    for size in sorted({row.bytes for row in rows}, reverse=True):
        if not sizes or sizes[-1] > NEARLY * size:
            sizes.append(size)
    return sizes


def _best_within(rows: Sequence[Row], size: int, metric: str) -> Row | None:
    """Find the best measured vectors of at most `size` bytes; of equally good ones the smallest."""
    within = [row for row in rows if row.bytes <= size]
    return max(within, key=lambda row: (row.metrics[metric].value, -row.bytes), default=None)
