"""What tuning gained: the chosen settings beside the defaults, both trained once on the same data, asked on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nestvec.pipeline.comparing import PointPair, compare_points
from nestvec.point import FULL
from nestvec.runs.run import load_run

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.tuning.aim import Aim

BEST, DEFAULT = "best", "default"  # folders of the two runs


@dataclass(frozen=True)
class Gain:
    """The best settings less the defaults, on test.

    Attributes:
        facts: the comparison's figures.
        seen: whether there is a difference.
    """

    facts: dict[str, Any]
    seen: bool

    @property
    def verdict(self) -> str:
        """In one sentence; that nothing was gained is an answer."""
        found = self.facts
        ends = f"[{found['low']:+.3f}, {found['high']:+.3f}]"
        told = f"{found['metric']} on test is {found['mean_b']:.3f} with the tuned settings"
        by = f"{found['difference']:+.3f} {ends} against the defaults' {found['mean_a']:.3f}"
        if self.seen:
            return f"{told}, {by}: a significant {'gain' if found['difference'] > 0 else 'loss'}."
        return f"{told}, {by}: no significant gain."


def gained(root: Path, system: str, aim: Aim, place: tuple[int, str]) -> Gain:
    """Compare the two runs of a study at the point that was aimed at.

    Args:
        root: the study's folder, which holds both.
        system: what both trained.
        aim: which metric.
        place: dimension and precision.

    Returns:
        The difference, its interval, and one more at the full width.

    Raises:
        InputError: a run is damaged.
    """
    first, second = load_run(root / DEFAULT), load_run(root / BEST)
    name = f"{place[0]}.{place[1]}"
    pairs = [PointPair(name, f"{system}.{name}", f"{system}.{name}")]
    (row,) = compare_points(first, second, aim.metric, pairs)
    widths = sorted({point.dimension or 0 for point in second.points.values() if point.system == system})
    usual = [PointPair(str(width), f"{system}.{width}.{FULL}", f"{system}.{width}.{FULL}") for width in widths]
    by_width = compare_points(first, second, aim.metric, usual)
    facts = {**asdict(row), "metric": aim.metric, "queries": row.wins + row.ties + row.losses}
    facts["by_dimension"] = [asdict(entry) for entry in by_width]
    return Gain(facts, row.p < 0.05 and not row.low <= 0 <= row.high)
