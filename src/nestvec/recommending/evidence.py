"""What a choice is made from: the per-query values of one split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nestvec.evaluation.significance import Bootstrap
from nestvec.point import Point, full_width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Topics, Values

RECALL = "recall@10"  # what `min_recall` is about


@dataclass(frozen=True)
class Evidence:
    """One split's values of the metric that decides.

    Attributes:
        values: per point, (q,) values.
        bootstrap: over those queries.
        recalls: per point, the mean of recall@10.
        lossless: points that rank as their system does at full width, to depth 10, for every query that can be asked;
            they count as their system at full width.
    """

    values: dict[Point, NDArray[np.float64]]
    bootstrap: Bootstrap
    recalls: dict[Point, float]
    lossless: frozenset[Point] = frozenset()

    @cached_property
    def whole(self) -> dict[str, Point]:
        """Each system's full-width point; BM25 has no vectors and one point."""
        return {point.system: point for point in full_width(self.values)}

    def mean(self, point: Point) -> float:
        """The metric's mean at a point."""
        return float(self.values[point].mean())

    def difference(self, a: Point, b: Point) -> NDArray[np.float64]:
        """(q,) a minus b; 0 where both are the same by inspection."""
        return self.values[self._count_as(a)] - self.values[self._count_as(b)]

    def is_same(self, a: Point, b: Point) -> bool:
        """Whether two points are the same, or the same by inspection: no test is needed."""
        return self._count_as(a) == self._count_as(b)

    def lower_bound(self, point: Point, reference: Point, level: float) -> float:
        """The lower bound of a point's difference to the reference; for the reference itself, 0 without any test."""
        if self.is_same(point, reference):
            return 0.0
        return self.bootstrap.lower_bound(self.difference(point, reference), level)

    def chance_above(self, point: Point, reference: Point, limit: float) -> float:
        """The chance that a point's true difference to the reference exceeds a limit."""
        if self.is_same(point, reference):
            return float(limit < 0)
        return self.bootstrap.chance_above(self.difference(point, reference), limit)

    def _count_as(self, point: Point) -> Point:
        return self.whole[point.system] if point in self.lossless else point


def gather_evidence(
    values: Values,
    topics: Topics,
    metric: str,
    bootstraps: dict[str, Bootstrap],
    lossless: frozenset[Point] = frozenset(),
) -> dict[str, Evidence]:
    """Split to the evidence: the per-query values, with recall@10 and the metric that decides, of its queries."""
    evidence = {}
    for split, bootstrap in bootstraps.items():
        chosen = topics.splits == split
        recalls = {point: float(metrics[RECALL][chosen].mean()) for point, metrics in values.items()}
        decisive = {point: metrics[metric][chosen] for point, metrics in values.items()}
        evidence[split] = Evidence(decisive, bootstrap, recalls, lossless)
    return evidence
