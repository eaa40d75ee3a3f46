"""Statistical power: how small a loss a number of held-out queries can prove, before anything is measured."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from nestvec.evaluation.significance import LEVEL

if TYPE_CHECKING:
    from nestvec.settings import RecommendationSettings

POWER = 0.8  # the chance to prove that a vector which loses nothing loses less than the margin
# Spread of the per-query differences of recall@10 between 50 bytes and the whole vector, both fused with BM25, on real
# judgements (docs/decisions.md). One query in six that differs by a third has the same spread.
TYPICAL_SPREAD = 0.14
_MOST = 10**9  # upper limit of the queries that a margin needs


@dataclass(frozen=True)
class Provable:
    """How small a loss a number of queries can prove, and how many queries it takes to prove a loss below the margin.

    Attributes:
        queries: how many queries the choice is made on.
        margin: how much of the metric may be lost.
        provable: the smallest margin that the queries can prove with 80 % power, for a vector that loses nothing.
        needed: about how many queries it takes to prove `margin` with the same power.
    """

    queries: int
    margin: float
    provable: float
    needed: int

    @property
    def enough(self) -> bool:
        """Whether there are enough queries to prove a loss below the margin with 80 % power."""
        return self.queries >= self.needed


@dataclass(frozen=True)
class HeldOut:
    """How many queries are held out, and how small a loss they can prove (rounded up); a part of `check.json`.

    Attributes:
        validation: validation queries with a relevant document; 0 where the protocol has no validation split and the
            choice is made on test.
        test: test queries with a relevant document.
        metric: the metric of the losses.
        margin: how much of the metric may be lost.
        power: the chance to prove such a loss, for a vector that loses nothing.
        provable: the smallest margin that the choosing queries can prove, for a vector that loses nothing.
        confirmable: the same for the test queries, which confirm the choice; None where the choice is made on test.
        needed: about how many choosing queries it takes to prove a loss below `margin`.
        needed_to_confirm: about how many test queries the confirmation takes; None where the choice is made on test.
        needed_in_all: about how many queries with a relevant document, training's included, would be enough at the
            present shares of the splits; None where there are enough.
        validation_share: a share of validation queries that would be enough to choose; None where no other share is
            needed, or none is possible.
        folds: the number of folds that would hold out every query; None where folds are not needed, or not possible.
    """

    validation: int
    test: int
    metric: str
    margin: float
    power: float
    provable: float
    confirmable: float | None
    needed: int
    needed_to_confirm: int | None
    needed_in_all: int | None = None
    validation_share: float | None = None
    folds: int | None = None

    @property
    def lines(self) -> list[str]:
        """Write two paragraphs: which loss the held-out queries can rule out, and how to prove a smaller loss."""
        return [f"{self._name_parts()} {self._say_provable()}", self._say_margin()]

    def _name_parts(self) -> str:
        if self.validation == 0:
            return f"Held out: {self.test:,} test queries with a relevant document, and none for validation."
        return f"Held out: {self.validation:,} validation and {self.test:,} test queries with a relevant document."

    def _say_provable(self) -> str:
        part = "validation" if self.validation else "test"
        confirmed = ""
        if self.confirmable is not None:
            confirmed = f", and the test queries to confirm less than {self.confirmable:g}"
        return (
            f"For a vector that loses nothing, the {part} queries have {100 * self.power:.0f} % power to prove a loss "
            f"of less than {self.provable:g} {self.metric}{confirmed}."
        )

    def _say_margin(self) -> str:
        confirming = "" if self.needed_to_confirm is None else f" and {self.needed_to_confirm:,} test"
        part = "validation" if self.validation else "test"
        takes = f"The margin of {self.margin:g} takes about {self.needed:,} {part}{confirming} queries"
        if self.needed_in_all is None:
            return f"{takes}: there are enough."
        remedies = [f"more judged queries (about {self.needed_in_all:,} in all)"]
        if self.validation_share is not None:
            remedies.append(f"--validation {self.validation_share:g}")
        if self.folds is not None:
            remedies.append(f"--folds {self.folds}, which holds out every query")
        if (margin := max(self.provable, self.confirmable or 0.0)) < 1:
            remedies.append(f"--margin {margin:g}")
        helping = ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))
        return f'{takes}; with fewer, the answer may be "undecided". What would help: {helping}.'


def describe_power(queries: int, margin: float, spread: float = TYPICAL_SPREAD, systems: int = 2) -> Provable:
    """Estimate how small a loss a number of queries can prove, for a small vector that in truth loses nothing.

    The estimate follows `Bootstrap.lower_bound`, which adds an invented query that loses everything, with a random
    weight of mean and deviation 1 / queries. If no query's result changes, the estimate is the rule of three. To reach
    80 % power, the estimate assumes an observed mean that lies 0.84 standard errors too low.

    Args:
        queries: how many queries the choice is made on, at least 1.
        margin: how much of the metric may be lost, above 0.
        spread: the standard deviation of the per-query differences.
        systems: how many systems share the 5 % chance of error: the trained ones, and the pretrained one if fused with
            keyword search.

    Returns:
        The smallest provable loss, and the number of queries that it takes to prove `margin`.
    """
    level = 1 - (1 - LEVEL) / systems
    needed = bisect_left(range(1, _MOST), -margin, key=lambda count: -_find_provable(count, spread, level)) + 1
    return Provable(queries, margin, _find_provable(queries, spread, level), needed)


def describe_held_out(parts: dict[str, int], asked: int, wishes: RecommendationSettings, systems: int) -> HeldOut:
    """Count the held-out queries and estimate how small a loss they can prove.

    Args:
        parts: numbers of queries with a relevant document: of `validation`, which may be 0, and of `test`, at least 1.
        asked: the number of queries with a relevant document in all splits, training included.
        wishes: the metric, and how much of it may be lost.
        systems: how many systems share the 5 % chance of error.

    Returns:
        The counts and losses; the caller sets `validation_share` and `folds`, which are None here.
    """
    validation, test, margin = parts["validation"], parts["test"], wishes.margin
    choosing = describe_power(validation or test, margin, systems=systems)
    confirming = describe_power(test, margin, systems=1) if validation else None
    both = [choosing, confirming] if confirming else [choosing]
    lack = max(part.needed / part.queries for part in both)
    return HeldOut(
        validation=validation,
        test=test,
        metric=wishes.metric,
        margin=margin,
        power=POWER,
        provable=_round_up(choosing.provable, 1000),
        confirmable=_round_up(confirming.provable, 1000) if confirming else None,
        needed=int(_round_up(choosing.needed, 0.1)),
        needed_to_confirm=int(_round_up(confirming.needed, 0.1)) if confirming else None,
        needed_in_all=int(_round_up(lack * asked, 0.01)) if lack > 1 else None,
    )


def _round_up(value: float, per_unit: float) -> float:
    """Round a value up to a multiple of 1 / `per_unit`."""
    return ceil(value * per_unit) / per_unit


def _find_provable(queries: int, spread: float, level: float) -> float:
    z = NormalDist().inv_cdf(level)
    unseen = (-log(1 - level) - z) / queries
    noise = sqrt(spread**2 / queries + 1 / queries**2)
    return min(1.0, unseen + z * noise + NormalDist().inv_cdf(POWER) * spread / sqrt(queries))
