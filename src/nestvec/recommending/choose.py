"""Name the smallest vector that holds up, or say that nothing does.

All choices are made on the validation split. The reference is the best system at full width. Each system's points are
tested from large to small bytes (a fixed sequence, Maurer et al. 1995) for non-inferiority: the one-sided lower bound
of the paired difference to the reference must lie above minus the margin; the first failure ends the system's sequence.
The confidence is split over the systems that could be shipped (Bonferroni), so that the chance of calling any worse
point good stays below 5 %, however the losses fall: the bound counts with what no query happened to show. Few queries
therefore cannot promise much, and the answer says about how many it would take.

A point that takes hardly fewer bytes than a wider one is left out of the sequence: cutting bits costs less than cutting
dimensions, so what is left goes from safe to risky as it goes from large to small.

The gate: what is shipped must beat the pretrained model at full width and BM25, its 95 % interval above 0, and so must
its system at full width, or a lucky one of many small points would do. The smallest point that holds up and passes is
recommended if it keeps to the wishes, and the test split says whether that is confirmed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nestvec.evaluation.significance import LEVEL, Bootstrap, queries_needed, queries_to_show
from nestvec.point import BM25, PRETRAINED, Point, full_width
from nestvec.recommending.sentences import POINT_FIELDS, Barred, explain_decision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Topics, Values
    from nestvec.settings import RecommendationSettings

RECALL = "recall@10"  # what `min_recall` is about
SIZES = (1_000_000, 10_000_000, 100_000_000)  # vectors whose memory the answer states
# A wider point undercuts another at up to this many times its bytes: small codes keep a correction of 2 bytes with each
# vector, for which 384 numbers of 4 bits must not lose their place to 192 of 8.
NEARLY = 1.05


@dataclass(frozen=True)
class Evidence:
    """One split's values of the metric that decides.

    Attributes:
        values: per point, (q,) values.
        bootstrap: over those queries.
        recalls: per point, the mean of recall@10.
    """

    values: dict[Point, NDArray[np.float64]]
    bootstrap: Bootstrap
    recalls: dict[Point, float]

    @cached_property
    def plain_points(self) -> list[Point]:
        """Vectors as they are, not made of others: what can be the reference."""
        return [point for point in self.values if point.is_vectors]

    @cached_property
    def sequences(self) -> dict[str, list[Point]]:
        """What can be recommended, per system as it is tested; the pretrained model could never beat itself."""
        systems = dict.fromkeys(point.system for point in self.plain_points if point.system != PRETRAINED)
        return {
            system: order_points([point for point in self.plain_points if point.system == system]) for system in systems
        }

    @property
    def level(self) -> float:
        """The confidence of each system's tests, so that all of them together have `LEVEL`."""
        return 1 - (1 - LEVEL) / max(1, len(self.sequences))

    @cached_property
    def rivals(self) -> list[Point]:
        """The pretrained model at full width, and BM25, as far as they were measured."""
        whole = {rival.system: rival for rival in full_width(self.values)}
        return [whole[name] for name in (PRETRAINED, BM25) if name in whole]

    def mean(self, point: Point) -> float:
        """The metric's mean at a point."""
        return float(self.values[point].mean())

    def difference(self, a: Point, b: Point) -> NDArray[np.float64]:
        """(q,) a minus b."""
        return self.values[a] - self.values[b]

    def lower_bound(self, point: Point, reference: Point, level: float) -> float:
        """The lower bound of a point's difference to the reference; for the reference itself, 0 without any test."""
        return 0.0 if point == reference else self.bootstrap.lower_bound(self.difference(point, reference), level)


@dataclass(frozen=True)
class Step:
    """One test of the sequence: is the point not worse than the reference?"""

    point: Point
    difference: float
    lower_bound: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """As `recommendation.json` has it."""
        outcome = {"difference": self.difference, "lower_bound": self.lower_bound, "passed": self.passed}
        return {**_point_json(self.point), **outcome}


@dataclass(frozen=True)
class Choice:
    """What the evidence says.

    Attributes:
        reference: the best system at full width.
        steps: all tests.
        passing: what holds up and passes the gate, best choice first.
        shipped: the first of these that keeps to the wishes; None where none does.
    """

    reference: Point
    steps: list[Step]
    passing: list[Point]
    shipped: Point | None


def gather_evidence(
    values: Values, topics: Topics, metric: str, bootstraps: dict[str, Bootstrap]
) -> dict[str, Evidence]:
    """Split to the evidence: the per-query values, with recall@10 and the metric that decides, of its queries."""
    evidence = {}
    for split, bootstrap in bootstraps.items():
        chosen = topics.splits == split
        recalls = {point: float(metrics[RECALL][chosen].mean()) for point, metrics in values.items()}
        decisive = {point: metrics[metric][chosen] for point, metrics in values.items()}
        evidence[split] = Evidence(decisive, bootstrap, recalls)
    return evidence


def recommend(evidence: dict[str, Evidence], wishes: RecommendationSettings) -> dict[str, Any]:
    """Choose on validation, confirm on test.

    Args:
        evidence: for `validation` and `test`; a protocol without validation chooses on test, and the answer says so.
        wishes: the metric, how much of it may be lost, and limits on bytes and recall.

    Returns:
        What `recommendation.json` holds.
    """
    test = evidence["test"]
    validation = evidence.get("validation", test)
    choice = _choose_point(validation, wishes)
    reference, chosen = choice.reference, choice.shipped or choice.reference
    difference = validation.bootstrap.interval(validation.difference(chosen, reference))
    bound = test.lower_bound(chosen, reference, LEVEL)
    barred = _find_barred(validation, choice, wishes)
    target, needed = _estimate_queries(validation, choice, wishes, barred.best if barred else None)
    decision = {
        "decision": "ship" if choice.shipped else "do not ship",
        "point": _point_json(choice.shipped) if choice.shipped else None,
        "reference": _point_json(reference),
        "metric": wishes.metric,
        "margin": wishes.margin,
        "chosen_on": "validation" if "validation" in evidence else "test",
        "validation": {"difference": difference.value, "low": difference.low, "queries": validation.bootstrap.queries},
        "test": {
            **asdict(test.bootstrap.interval(test.values[chosen])),
            "difference": float(test.difference(chosen, reference).mean()),
            "lower_bound": bound,
            "confirmed": "validation" in evidence and bound > -wishes.margin,
            "queries": test.bootstrap.queries,
        },
        "steps": [step.to_json() for step in choice.steps],
        "gate": _test_gate(validation, chosen),
        "test_gate": _test_gate(test, chosen),
        "max_bytes": wishes.max_bytes,
        "min_recall": wishes.min_recall,
        "price": [
            {"vectors": size, "bytes": size * chosen.bytes, "full_bytes": size * reference.bytes} for size in SIZES
        ],
        "queries_needed": needed,
    }
    return {**decision, "reason": explain_decision(decision, barred, target)}


def order_points(points: list[Point]) -> list[Point]:
    """One system's points from large to small, without those that a wider one undercuts at hardly more bytes."""

    def is_undercut(point: Point) -> bool:
        wider = [other for other in points if (other.dimension or 0) > (point.dimension or 0)]
        return any(other.bytes <= NEARLY * point.bytes for other in wider)

    return sorted((point for point in points if not is_undercut(point)), key=lambda point: -point.bytes)


def _choose_point(evidence: Evidence, wishes: RecommendationSettings) -> Choice:
    """Test the sequences, ask the gate, and take the smallest point; of equally small ones, the better one."""
    reference = max(full_width(evidence.plain_points), key=evidence.mean)  # of equally good ones, the first measured
    steps = _test_sequences(evidence, reference, wishes.margin)
    holding = [step.point for step in steps if step.passed]
    systems = {point.system for point in full_width(evidence.plain_points) if _passes_gate(evidence, point)}
    passing = [point for point in holding if point.system in systems and _passes_gate(evidence, point)]
    passing.sort(key=lambda point: (point.bytes, -evidence.mean(point)))
    shipped = next((point for point in passing if all(_check_wishes(point, evidence, wishes).values())), None)
    return Choice(reference, steps, passing, shipped)


def _test_sequences(evidence: Evidence, reference: Point, margin: float) -> list[Step]:
    """Every system's tests up to its first failure, systems in the order measured."""
    steps = []
    for points in evidence.sequences.values():
        for point in points:
            bound = evidence.lower_bound(point, reference, evidence.level)
            steps.append(Step(point, float(evidence.difference(point, reference).mean()), bound, bound > -margin))
            if not steps[-1].passed:
                break
    return steps


def _check_wishes(point: Point, evidence: Evidence, wishes: RecommendationSettings) -> dict[str, bool]:
    """Each wish that was made, and whether a point keeps to it."""
    keeps = {}
    if wishes.max_bytes is not None:
        keeps["max_bytes"] = point.bytes <= wishes.max_bytes
    if wishes.min_recall is not None:
        keeps["min_recall"] = evidence.recalls[point] >= wishes.min_recall
    return keeps


def _find_barred(evidence: Evidence, choice: Choice, wishes: RecommendationSettings) -> Barred | None:
    """What stands against the wishes, where they rule out all that would pass."""
    if choice.shipped or not choice.passing:
        return None
    keeps = [_check_wishes(point, evidence, wishes) for point in choice.passing]
    alone = [name for name in keeps[0] if not any(kept[name] for kept in keeps)]
    options = [point for points in evidence.sequences.values() for point in points]
    within = [point for point in options if all(_check_wishes(point, evidence, wishes).values())]
    best = max(within, key=evidence.mean, default=None)
    recalls = [evidence.recalls[point] for point in options]
    nearest = {"max_bytes": min(point.bytes for point in options), "min_recall": max(recalls)}
    barred = Barred(tuple(alone or keeps[0]), choice.passing[0], best, nearest)
    if best is None:
        return barred
    difference = float(evidence.difference(best, choice.reference).mean())
    bound = evidence.lower_bound(best, choice.reference, evidence.level)
    return replace(barred, difference=difference, lower_bound=bound)


def _estimate_queries(
    evidence: Evidence, choice: Choice, wishes: RecommendationSettings, wished: Point | None
) -> tuple[Point | None, int | None]:
    """What more queries could bring, and about how many it would take; None and None where these are enough."""
    targets = [choice.reference]  # its gain over the rivals
    if choice.shipped:
        if choice.shipped.bytes < choice.reference.bytes:
            return None, None
        limit = choice.shipped.bytes
        smaller = [[point for point in points if point.bytes < limit] for points in evidence.sequences.values()]
        kept = [
            [point for point in points if all(_check_wishes(point, evidence, wishes).values())] for points in smaller
        ]
        targets = [points[0] for points in kept if points]
    elif choice.passing:
        targets = [wished] if wished else []
    numbers = [(number, at) for at in targets if (number := _queries_to_ship(evidence, choice, wishes.margin, at))]
    number, target = min(numbers, key=lambda entry: entry[0], default=(None, None))
    return target, number


def _queries_to_ship(evidence: Evidence, choice: Choice, margin: float, target: Point) -> int | None:
    """About how many queries it would take to ship a point; None where no number would do."""
    if target.system == PRETRAINED:
        return None
    passed = {step.point for step in choice.steps if step.passed}
    path = [point for point in evidence.sequences[target.system] if point.bytes >= target.bytes]
    numbers = [
        queries_needed(evidence.difference(point, choice.reference), margin, evidence.level)
        for point in path
        if point not in passed
    ]
    for point in {path[0], target}:
        gains = [evidence.difference(point, rival) for rival in evidence.rivals]
        numbers += [queries_to_show(gain) for gain in gains if evidence.bootstrap.interval(gain).low <= 0]
    known = [number for number in numbers if number is not None]
    # an estimate may say that these should have done; they did not
    return max([evidence.bootstrap.queries + 1, *known]) if len(known) == len(numbers) else None


def _test_gate(evidence: Evidence, point: Point) -> dict[str, dict[str, Any]]:
    """Whether a point beats the pretrained model at full width, and BM25."""
    gains = {rival.system: evidence.bootstrap.interval(evidence.difference(point, rival)) for rival in evidence.rivals}
    return {
        name: {"difference": entry.value, "low": entry.low, "high": entry.high, "passed": entry.low > 0}
        for name, entry in gains.items()
    }


def _passes_gate(evidence: Evidence, point: Point) -> bool:
    return all(rival["passed"] for rival in _test_gate(evidence, point).values())


def _point_json(point: Point) -> dict[str, Any]:
    return {name: getattr(point, name) for name in POINT_FIELDS}
