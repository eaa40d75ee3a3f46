"""What so many held-out queries can prove, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist

from nestvec.evaluation.significance import LEVEL, WORST

POWER = 0.8  # the chance to prove what is true
# Per-query differences of a metric at 10 between a small vector and the whole one: one query in ten differs by a third.
TYPICAL_SPREAD = 0.1


@dataclass(frozen=True)
class Power:
    """What a number of queries can prove.

    Attributes:
        queries: that the choice is made on.
        margin: how much may be lost.
        provable: the margin at which they prove, with 80 % power, that a vector which loses nothing loses less.
        needed: about how many queries it takes at `margin`.
    """

    queries: int
    margin: float
    provable: float
    needed: int

    @property
    def enough(self) -> bool:
        """Whether the queries can prove the margin."""
        return self.queries >= self.needed

    @property
    def sentence(self) -> str:
        """In words, with what would help."""
        start = f"{self.queries:,} held-out queries can prove that a smaller vector loses less than {self.provable:.3f}"
        if self.enough:
            return f"{start} (80 % power), which is enough for the margin of {self.margin:g}."
        return (
            f"{start} (80 % power); the margin of {self.margin:g} takes about {self.needed:,}. Judge more queries, give "
            f"a larger share to validation and test, or accept a margin of {ceil(1000 * self.provable) / 1000:g}."
        )


def describe_power(queries: int, margin: float, spread: float = TYPICAL_SPREAD) -> Power:
    """What so many queries can prove of a small vector that loses nothing.

    The bound lies below the mean by the spread of the mean and by what no query happened to show, as in
    `significance.queries_needed`; with 80 % power the mean itself lies by 0.84 standard errors below its truth.

    Args:
        queries: on which the choice is made, at least 1.
        margin: how much may be lost, above 0.
        spread: the standard deviation of the per-query differences.

    Returns:
        The numbers, and a sentence.
    """
    normal = NormalDist()
    noise = (normal.inv_cdf(LEVEL) + normal.inv_cdf(POWER)) * spread
    unseen = -log(1 - LEVEL) * -WORST
    provable = min(1.0, noise / sqrt(queries) + unseen / queries)
    root = (-noise + sqrt(noise**2 + 4 * unseen * margin)) / (2 * unseen)
    return Power(queries, margin, provable, ceil(1 / root**2))
