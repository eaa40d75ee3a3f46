"""What so many held-out queries can prove, before anything is measured."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist

from nestvec.evaluation.significance import LEVEL

POWER = 0.8  # the chance to prove what is true
# Per-query differences of a metric at 10 between a small vector and the whole one: one query in ten differs by a third.
TYPICAL_SPREAD = 0.1
_MOST = 10**9  # queries that a margin can ask for


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
            f"{start} (80 % power); the margin of {self.margin:g} takes about {self.needed:,}. Judge more queries, "
            f"give a larger share to validation and test, or accept a margin of {ceil(1000 * self.provable) / 1000:g}."
        )


def describe_power(queries: int, margin: float, spread: float = TYPICAL_SPREAD, systems: int = 2) -> Power:
    """What so many queries can prove of a small vector that loses nothing.

    `Bootstrap.lower_bound` gives a further query, which loses all, a random weight of mean and deviation 1 / queries;
    where no query differs, that is the rule of three. With 80 % power the observed mean lies 0.84 standard errors low.

    Args:
        queries: on which the choice is made, at least 1.
        margin: how much may be lost, above 0.
        spread: the standard deviation of the per-query differences.
        systems: that share the confidence: the trained ones and, beside keyword search, the pretrained one.

    Returns:
        The numbers, and a sentence.
    """
    level = 1 - (1 - LEVEL) / systems
    needed = bisect_left(range(1, _MOST), -margin, key=lambda count: -_find_provable(count, spread, level)) + 1
    return Power(queries, margin, _find_provable(queries, spread, level), needed)


def _find_provable(queries: int, spread: float, level: float) -> float:
    z = NormalDist().inv_cdf(level)
    unseen = (-log(1 - level) - z) / queries
    noise = sqrt(spread**2 / queries + 1 / queries**2)
    return min(1.0, unseen + z * noise + NormalDist().inv_cdf(POWER) * spread / sqrt(queries))
