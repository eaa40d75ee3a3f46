"""What so many held-out queries can prove, before anything is measured."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from nestvec.evaluation.significance import LEVEL

if TYPE_CHECKING:
    from nestvec.settings import RecommendationSettings

POWER = 0.8  # the chance to prove what is true
# Per-query differences of recall@10 between 50 bytes and the whole vector, both fused with words, on real judgements
# (docs/decisions.md): as where one query in six differs by a third.
TYPICAL_SPREAD = 0.14
_MOST = 10**9  # queries that a margin can ask for


@dataclass(frozen=True)
class Provable:
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


@dataclass(frozen=True)
class HeldOut:
    """How many queries are held out, and what they can prove; as `check.json` has it. Losses are rounded up.

    Attributes:
        validation: queries with a relevant document; 0 where the protocol has no such part, and test chooses.
        test: queries with a relevant document.
        metric: of the loss.
        margin: how much of it may be lost.
        power: the chance to prove what is true.
        provable: the smallest loss that the choice can be shown to stay below, if it loses nothing.
        confirmable: the same for test, which confirms the choice; None where test chooses.
        needed: about how many queries the choice takes at `margin`.
        needed_to_confirm: about how many of test the confirmation takes; None where test chooses.
        needed_in_all: about how many queries with a relevant document would be enough at these shares; None where
            there are enough.
        validation_share: a share of validation that would be enough to choose; None where none is needed, or possible.
        folds: how many would hold out more queries, namely all; None where none are needed, or possible.
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
        """In words: what is held out and what it can prove, then what the margin takes and what would help."""
        return [f"{self._name_parts()} {self._say_provable()}", self._say_margin()]

    def _name_parts(self) -> str:
        if self.validation == 0:
            return f"Held out: {self.test:,} test queries with a relevant document, and none for validation."
        return f"Held out: {self.validation:,} validation and {self.test:,} test queries with a relevant document."

    def _say_provable(self) -> str:
        part = "validation" if self.validation else "test"
        confirmed = "" if self.confirmable is None else f", and test can confirm less than {self.confirmable:g}"
        return (
            f"If a vector loses nothing, {part} can prove with {100 * self.power:.0f} % power that it loses less than "
            f"{self.provable:g} of {self.metric}{confirmed}."
        )

    def _say_margin(self) -> str:
        confirming = "" if self.needed_to_confirm is None else f" and {self.needed_to_confirm:,} test"
        part = "validation" if self.validation else "test"
        takes = f"The margin of {self.margin:g} takes about {self.needed:,} {part}{confirming} queries"
        if self.needed_in_all is None:
            return f"{takes}, so these are enough."
        remedies = [f"more judged queries (about {self.needed_in_all:,} in all)"]
        if self.validation_share is not None:
            remedies.append(f"--validation {self.validation_share:g}")
        if self.folds is not None:
            remedies.append(f"--folds {self.folds}, which holds out every query")
        if (margin := max(self.provable, self.confirmable or 0.0)) < 1:
            remedies.append(f"--margin {margin:g}")
        helping = ", or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))
        return f"{takes}; what so few cannot prove is called undecided. What would help: {helping}."


def describe_power(queries: int, margin: float, spread: float = TYPICAL_SPREAD, systems: int = 2) -> Provable:
    """What so many queries can prove of a small vector that loses nothing.

    `Bootstrap.lower_bound` gives a further query, which loses all, a random weight of mean and deviation 1 / queries;
    where no query differs, that is the rule of three. With 80 % power the observed mean lies 0.84 standard errors low.

    Args:
        queries: on which the choice is made, at least 1.
        margin: how much may be lost, above 0.
        spread: the standard deviation of the per-query differences.
        systems: that share the confidence: the trained ones and, beside keyword search, the pretrained one.

    Returns:
        The numbers.
    """
    level = 1 - (1 - LEVEL) / systems
    needed = bisect_left(range(1, _MOST), -margin, key=lambda count: -_find_provable(count, spread, level)) + 1
    return Provable(queries, margin, _find_provable(queries, spread, level), needed)


def describe_held_out(parts: dict[str, int], asked: int, wishes: RecommendationSettings, systems: int) -> HeldOut:
    """How many queries are held out, and what they can prove.

    Args:
        parts: queries with a relevant document of `validation`, which may be 0, and of `test`, at least 1.
        asked: such queries of all parts, training's too.
        wishes: the metric, and how much of it may be lost.
        systems: that share the confidence of the choice.

    Returns:
        The numbers, and how to say them; without `validation_share` and `folds`.
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
    """The value, rounded up to a multiple of 1 / `per_unit`."""
    return ceil(value * per_unit) / per_unit


def _find_provable(queries: int, spread: float, level: float) -> float:
    z = NormalDist().inv_cdf(level)
    unseen = (-log(1 - level) - z) / queries
    noise = sqrt(spread**2 / queries + 1 / queries**2)
    return min(1.0, unseen + z * noise + NormalDist().inv_cdf(POWER) * spread / sqrt(queries))
