"""The deciding metric's value for every query of a split, from which the vectors to ship are chosen."""

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

RECALL = "recall@10"  # the metric of `min_recall`


@dataclass(frozen=True)
class Evidence:
    """The values of the deciding metric for every query of one split, by system, dimension and precision.

    Attributes:
        values: maps each candidate (system, dimension, precision) to its (q,) values.
        bootstrap: resamples the same q queries.
        recalls: maps each candidate to its mean recall@10.
        lossless: candidates with the same first ten results as their system at full width, for every possible query; a
            comparison uses the full-width values in their place.
    """

    values: dict[Point, NDArray[np.float64]]
    bootstrap: Bootstrap
    recalls: dict[Point, float]
    lossless: frozenset[Point] = frozenset()

    @cached_property
    def whole(self) -> dict[str, Point]:
        """Each system at full dimension and precision; BM25, which has no vectors, as it is."""
        return {point.system: point for point in full_width(self.values)}

    def mean(self, point: Point) -> float:
        """Average the metric of a system, at one dimension and precision, over the queries."""
        return float(self.values[point].mean())

    def difference(self, a: Point, b: Point) -> NDArray[np.float64]:
        """Subtract the metric of `b` from that of `a`, query by query; all 0 if both rank alike for every query."""
        return self.values[self._count_as(a)] - self.values[self._count_as(b)]

    def is_same(self, a: Point, b: Point) -> bool:
        """Whether two candidates return the same first ten results for every query, so that no test is needed."""
        return self._count_as(a) == self._count_as(b)

    def lower_bound(self, point: Point, reference: Point, level: float) -> float:
        """Compute the one-sided lower bound of a candidate's mean difference to the reference; 0 for the reference."""
        if self.is_same(point, reference):
            return 0.0
        return self.bootstrap.lower_bound(self.difference(point, reference), level)

    def chance_above(self, point: Point, reference: Point, limit: float) -> float:
        """Estimate the chance, 0 to 1, that a candidate's true mean difference to the reference exceeds a limit."""
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
    """Sort the measured values into validation and test; keep only the deciding metric and recall@10.

    Args:
        values: the (q,) values of all queries, by candidate (system, dimension, precision) and metric.
        topics: the q queries, with the split of each.
        metric: the metric that decides.
        bootstraps: a bootstrap for each split; splits without one are left out.
        lossless: candidates with the same first ten results as their system at full width.

    Returns:
        The values of each split, by the split's name.
    """
    evidence = {}
    for split, bootstrap in bootstraps.items():
        chosen = topics.splits == split
        recalls = {point: float(metrics[RECALL][chosen].mean()) for point, metrics in values.items()}
        decisive = {point: metrics[metric][chosen] for point, metrics in values.items()}
        evidence[split] = Evidence(decisive, bootstrap, recalls, lossless)
    return evidence
