"""Measure what tuning gained: compare models trained with the best and with the default settings on the test split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nestvec.pipeline.comparing import PointPair, compare_points
from nestvec.point import FULL, Point, VectorFormat
from nestvec.runs.run import load_run

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.tuning.aim import Aim

BEST, DEFAULT = "best", "default"  # folders of the two runs


@dataclass(frozen=True)
class Improvement:
    """What tuning gained on the test split: the difference between the best settings and the defaults."""

    facts: dict[str, Any]  # the figures of the comparison
    is_significant: bool  # p below 0.05 and an interval that excludes 0

    @property
    def verdict(self) -> str:
        """Say in one sentence whether tuning brought a significant gain, a significant loss, or no significant gain."""
        facts = self.facts
        reached = f"{facts['metric']} on test is {facts['mean_b']:.3f} with the tuned settings"
        ends = f"[{facts['low']:+.3f}, {facts['high']:+.3f}]"
        difference = f"{facts['difference']:+.3f} {ends} against the defaults' {facts['mean_a']:.3f}"
        if self.is_significant:
            return f"{reached}, {difference}: a significant {'gain' if facts['difference'] > 0 else 'loss'}."
        return f"{reached}, {difference}: no significant gain."


def measure_improvement(root: Path, system: str, aim: Aim, stored: VectorFormat) -> Improvement:
    """Compare a study's run with the best settings and its run with the default settings on the test split.

    The runs are compared in the aim's vector format, and at every dimension in float32. Raises InputError if a run is
    damaged.
    """
    default, best = load_run(root / DEFAULT), load_run(root / BEST)
    name = Point.of(system, stored).name
    (row,) = compare_points(default, best, aim.metric, [PointPair(stored.name, name, name)])
    widths = sorted({point.dimension or 0 for point in best.points.values() if point.system == system})
    names = {width: Point.of(system, VectorFormat(width, FULL)).name for width in widths}
    pairs = [PointPair(str(width), name, name) for width, name in names.items()]
    facts = {**asdict(row), "metric": aim.metric, "queries": row.wins + row.ties + row.losses}
    facts["by_dimension"] = [asdict(entry) for entry in compare_points(default, best, aim.metric, pairs)]
    return Improvement(facts, row.p < 0.05 and not row.low <= 0 <= row.high)
