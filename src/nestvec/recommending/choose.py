"""Chooses the smallest vector that loses less than the margin, or none; fused with keyword search, and vectors alone.

All choices are made on the validation split, for each kind of team among the candidates that it could ship
(`teams.py`). A candidate is a system at one dimension and precision. The reference is the best system at full width.
Each system's candidates are tested from large to small (a fixed sequence, Maurer et al. 1995) for non-inferiority: the
one-sided lower bound of the paired difference to the reference must lie above minus the margin. The first candidate
that fails the test ends the system's sequence. The confidence is split over the systems that could be shipped
(Bonferroni), so the chance that any worse candidate passes stays below 5 %. That holds for any distribution of the
losses, as the bound allows for losses that no query of the sample showed. Few queries therefore prove little; the
answer says about how many would be needed.

A candidate that takes hardly fewer bytes than a wider one is left out of the sequence: lower precision costs less than
fewer dimensions, so without such candidates the sequence goes from safe to risky as it goes from large to small. A
candidate with the same first ten results as its system at full width, for every possible query, is compared as that
system at full width.

The gate: the shipped candidate must beat the baselines (95 % interval above 0), and so must its system at full width;
without the second condition one lucky candidate among many small ones would be enough. For a team with keyword search,
if no trained system beats the pretrained one fused in the same way, the pretrained system is tested against itself at
full width, and must beat BM25 and its own vectors alone. The smallest candidate that passes its test and the gate and
meets the limits (`max_bytes`, `min_recall`) is the proven choice; the test split then confirms it or not. `choices.py`
adds a likely and a tiny choice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nestvec.evaluation.significance import LEVEL, queries_needed, queries_to_show
from nestvec.point import Point, full_width
from nestvec.recommending.choices import check_wishes, describe_choices, list_prices
from nestvec.recommending.evidence import Evidence, gather_evidence
from nestvec.recommending.sentences import Asked, Barred, explain_decision, point_to_json
from nestvec.recommending.teams import NEARLY, TEAMS, View, order_points

if TYPE_CHECKING:
    from nestvec.settings import RecommendationSettings

__all__ = ["NEARLY", "Evidence", "gather_evidence", "order_points", "recommend"]
HOLDS, UNDECIDED, WORSE = "holds", "undecided", "worse"  # outcomes of a test of the sequence


@dataclass(frozen=True)
class Step:
    """The test whether a system's vector format loses less than the margin against the best full-width system."""

    point: Point
    difference: float
    lower_bound: float
    outcome: str

    @property
    def passed(self) -> bool:
        """Whether the tested vectors were shown to lose less than the margin."""
        return self.outcome == HOLDS

    def to_json(self) -> dict[str, Any]:
        """Convert this test of a vector format to an entry of `steps` in `recommendation.json`."""
        tested = {"difference": self.difference, "lower_bound": self.lower_bound, "passed": self.passed}
        return {**point_to_json(self.point), **tested, "outcome": self.outcome}


@dataclass(frozen=True)
class Choice:
    """The tests that were made for one kind of team, and the candidate (system, dimension, precision) to ship.

    Attributes:
        view: the team's candidates, with the values of the split that chooses.
        reference: the best system at full width; the pretrained one if no trained one beats it.
        steps: all tests, in order.
        passing: candidates that lose less than the margin and beat the baselines, smallest first.
        shipped: the first of `passing` that meets the limits; None if none does.
        fell_back: whether `passing` holds candidates of the pretrained system, because no trained one beats it.
    """

    view: View
    reference: Point
    steps: list[Step]
    passing: list[Point]
    shipped: Point | None
    fell_back: bool = False


def recommend(evidence: dict[str, Evidence], wishes: RecommendationSettings) -> dict[str, Any]:
    """Choose what to ship on the validation split, and confirm the choice on the test split.

    Args:
        evidence: the values measured on the splits `validation` and `test`; without `validation` the choice is made on
            test, and the answer says so.
        wishes: the metric, how much of it may be lost, and limits on bytes and recall.

    Returns:
        The content of `recommendation.json`.
    """
    test = evidence["test"]
    validation = evidence.get("validation", test)
    views = {team: View(validation, team) for team in TEAMS}
    teams = {team: _choose_point(view, wishes) for team, view in views.items() if view.points}
    choice = _find_main(teams)
    decision = _describe(choice, evidence, wishes)
    barred = _find_barred(choice, wishes)
    target, needed = _estimate_queries(choice, wishes, barred.best if barred else None)
    decision["queries_needed"] = needed
    decision["choices"] = {
        team.name: describe_choices(views[team], evidence, wishes, _find_proven(teams, team)) for team in TEAMS
    }
    decision["power"] = {"queries": validation.bootstrap.queries, "needed": needed}
    unhelped = choice.fell_back and bool(choice.view.sequences)  # without sequences nothing was trained
    words = explain_decision(decision, barred, target, Asked(choice.view.team.name, unhelped))
    return {**decision, "reason": words}


def _find_main(teams: dict[Any, Choice]) -> Choice:
    """Find the main recommendation: that of the team with keyword search, unless only vectors alone can be shipped."""
    order = [teams[team] for team in TEAMS if team in teams]
    shipping = [choice for choice in order if choice.shipped] or [choice for choice in order if choice.passing]
    asked = [choice for choice in order if len(choice.view.points) > len(full_width(choice.view.points))]
    return (shipping or asked or order[-1:])[0]


def _find_proven(teams: dict[Any, Choice], team: object) -> tuple[Point, Point] | None:
    """Return the proven choice of a team, and the reference it was tested against; None if nothing was proven."""
    choice = teams.get(team)
    return (choice.shipped, choice.reference) if choice and choice.shipped else None


def _describe(choice: Choice, evidence: dict[str, Evidence], wishes: RecommendationSettings) -> dict[str, Any]:
    """Describe the shipped vectors, or else the reference, in the top-level fields of `recommendation.json`."""
    test, validation = evidence["test"], choice.view.evidence
    reference, chosen = choice.reference, choice.shipped or choice.reference
    difference = validation.bootstrap.interval(validation.difference(chosen, reference))
    bound = test.lower_bound(chosen, reference, LEVEL)
    confirmed = "validation" in evidence and bound > -wishes.margin
    return {
        "decision": "ship" if choice.shipped else "do not ship",
        "point": point_to_json(choice.shipped) if choice.shipped else None,
        "reference": point_to_json(reference),
        "metric": wishes.metric,
        "margin": wishes.margin,
        "chosen_on": "validation" if "validation" in evidence else "test",
        "validation": {"difference": difference.value, "low": difference.low, "queries": validation.bootstrap.queries},
        "test": {
            **asdict(test.bootstrap.interval(test.values[chosen])),
            "difference": float(test.difference(chosen, reference).mean()),
            "lower_bound": bound,
            "confirmed": None if chosen == reference else confirmed,
            "queries": test.bootstrap.queries,
        },
        "steps": [step.to_json() for step in choice.steps],
        "gate": choice.view.test_gate(chosen),
        "test_gate": View(test, choice.view.team).test_gate(chosen),
        "max_bytes": wishes.max_bytes,
        "min_recall": wishes.min_recall,
        "price": list_prices(chosen, reference),
    }


def _choose_point(view: View, wishes: RecommendationSettings) -> Choice:
    """Choose among the trained systems' vectors; if none beats the pretrained system, among the pretrained ones."""
    choice = _choose_among(view, view.sequences, view.reference, wishes)
    trained = [system for system in view.sequences if view.beats_pretrained(system)]
    if choice.passing or trained or not view.fallback:
        return choice
    fallen = _choose_among(view, view.fallback, view.evidence.whole[view.team.pretrained], wishes)
    return replace(fallen, fell_back=True) if fallen.passing else choice


def _choose_among(
    view: View, sequences: dict[str, list[Point]], reference: Point, wishes: RecommendationSettings
) -> Choice:
    steps = _test_sequences(view, sequences, reference, wishes.margin)
    whole = {system for system in sequences if view.passes_gate(view.evidence.whole[system])}
    passing = [step.point for step in steps if step.passed and step.point.system in whole]
    passing = [point for point in passing if view.passes_gate(point)]
    passing.sort(key=lambda point: (point.bytes, -view.evidence.mean(point)))
    shipped = next((point for point in passing if all(check_wishes(point, view.evidence, wishes).values())), None)
    return Choice(view, reference, steps, passing, shipped)


def _test_sequences(view: View, sequences: dict[str, list[Point]], reference: Point, margin: float) -> list[Step]:
    """Test each system's vector formats from large to small, up to the first that may lose more than the margin."""
    evidence, steps = view.evidence, []
    for points in sequences.values():
        for point in points:
            difference = evidence.difference(point, reference)
            bound = evidence.lower_bound(point, reference, view.level)
            unlike = evidence.bootstrap.interval(difference).high < -margin
            outcome = HOLDS if bound > -margin else WORSE if unlike else UNDECIDED
            steps.append(Step(point, float(difference.mean()), bound, outcome))
            if outcome != HOLDS:
                break
    return steps


def _find_barred(choice: Choice, wishes: RecommendationSettings) -> Barred | None:
    """Find which limits (bytes, recall) rule out all vectors that passed; None if some are shipped or none passed."""
    if choice.shipped or not choice.passing:
        return None
    evidence = choice.view.evidence
    keeps = [check_wishes(point, evidence, wishes) for point in choice.passing]
    alone = [name for name in keeps[0] if not any(kept[name] for kept in keeps)]
    options = [point for points in _list_sequences(choice).values() for point in points]
    within = [point for point in options if all(check_wishes(point, evidence, wishes).values())]
    best = max(within, key=evidence.mean, default=None)
    recalls = [evidence.recalls[point] for point in options]
    nearest = {"max_bytes": min(point.bytes for point in options), "min_recall": max(recalls)}
    barred = Barred(tuple(alone or keeps[0]), choice.passing[0], best, nearest)
    if best is None:
        return barred
    difference = float(evidence.difference(best, choice.reference).mean())
    bound = evidence.lower_bound(best, choice.reference, choice.view.level)
    return replace(barred, difference=difference, lower_bound=bound)


def _list_sequences(choice: Choice) -> dict[str, list[Point]]:
    return choice.view.fallback if choice.fell_back else choice.view.sequences


def _estimate_queries(
    choice: Choice, wishes: RecommendationSettings, wished: Point | None
) -> tuple[Point | None, int | None]:
    """Estimate which vectors could be proven good enough with more queries, and with about how many.

    Both are None if the queries are enough, or if no number of queries would do.
    """
    evidence = choice.view.evidence
    targets = [choice.reference]  # its gain over the rivals
    if choice.shipped:
        if choice.shipped.bytes < choice.reference.bytes:
            return None, None
        limit = choice.shipped.bytes
        smaller = [[point for point in points if point.bytes < limit] for points in _list_sequences(choice).values()]
        kept = [
            [point for point in points if all(check_wishes(point, evidence, wishes).values())] for points in smaller
        ]
        targets = [points[0] for points in kept if points]
    elif choice.passing:
        targets = [wished] if wished else []
    numbers = [(number, at) for at in targets if (number := _queries_to_ship(choice, wishes.margin, at))]
    number, target = min(numbers, key=lambda entry: entry[0], default=(None, None))
    return target, number


def _queries_to_ship(choice: Choice, margin: float, target: Point) -> int | None:
    """Estimate how many queries it would take to prove vectors good enough to ship; None if no number would do."""
    view, evidence = choice.view, choice.view.evidence
    sequences = _list_sequences(choice)
    if target.system not in sequences:
        return None
    passed = {step.point for step in choice.steps if step.passed}
    path = [point for point in sequences[target.system] if point.bytes >= target.bytes]
    numbers = [
        queries_needed(evidence.difference(point, choice.reference), margin, view.level)
        for point in path
        if point not in passed
    ]
    for point in {path[0], target}:
        gains = [evidence.difference(point, rival) for rival in view.list_rivals(point)]
        numbers += [queries_to_show(gain) for gain in gains if evidence.bootstrap.interval(gain).low <= 0]
    known = [number for number in numbers if number is not None]
    # An estimate may lie below the number of queries that was not enough.
    return max([evidence.bootstrap.queries + 1, *known]) if len(known) == len(numbers) else None
