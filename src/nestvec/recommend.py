"""Name the smallest vector that holds up, or say that nothing does.

All choices are made on the validation split. The reference is the best system at full width. Each system's points are
tested from large to small bytes (a fixed sequence, Maurer et al. 1995) for non-inferiority: the one-sided lower bound
of the paired difference to the reference must lie above minus the margin; the first failure ends the system's sequence.
The confidence is split over the systems (Bonferroni), so that the chance of calling any worse point good stays below
5 %. That holds where many queries move a little. A bootstrap cannot see what no query of the split happened to show:
where the loss is one whole miss in a hundred queries, simulation puts that chance at up to 15 %.

A point that takes no fewer bytes than a wider one is left out of the sequence: cutting bits costs less than cutting
dimensions, so what is left goes from safe to risky as it goes from large to small.

The gate: what is shipped must beat the pretrained model at full width and BM25, its 95 % interval above 0, and so must
its system at full width, or a lucky one of many small points would do. The smallest point that holds up and passes is
recommended, and the test split says whether that is confirmed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nestvec.evaluation.baselines import BM25
from nestvec.evaluation.significance import LEVEL, Bootstrap
from nestvec.evaluation.surface import Point, full_width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Topics, Values

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Evidence:
    """One split's values of the metric that decides.

    Attributes:
        values: per point, (q,) values.
        bootstrap: over those queries.
    """

    values: dict[Point, NDArray[np.float64]]
    bootstrap: Bootstrap

    def mean(self, point: Point) -> float:
        """The metric's mean at a point."""
        return float(self.values[point].mean())

    def difference(self, a: Point, b: Point) -> NDArray[np.float64]:
        """(q,) a minus b."""
        return self.values[a] - self.values[b]


@dataclass(frozen=True)
class Step:
    """One test of the sequence: is the point not worse than the reference?"""

    point: Point
    difference: float
    lower_bound: float
    passed: bool


def gather(values: Values, topics: Topics, metric: str, bootstraps: dict[str, Bootstrap]) -> dict[str, Evidence]:
    """Split to the evidence that the recommendation is made of."""
    return {
        split: Evidence(
            {point: metrics[metric][topics.splits == split] for point, metrics in values.items()}, bootstrap
        )
        for split, bootstrap in bootstraps.items()
    }


def recommend(evidence: dict[str, Evidence], metric: str, margin: float) -> dict[str, Any]:
    """Choose on validation, confirm on test.

    Args:
        evidence: for `validation` and `test`; a protocol without validation chooses on test, and the answer says so.
        metric: its name, for the words.
        margin: how much of it may be lost.

    Returns:
        What `recommendation.json` holds.
    """
    test = evidence["test"]
    validation = evidence.get("validation", test)
    reference = _reference(validation)
    steps = _test_sequences(validation, reference, margin)
    holding = sorted((step.point for step in steps if step.passed), key=lambda point: _preference(point, validation))
    gates = {point: _gate(validation, point) for point in holding}
    systems = {point.system for point in full_width(validation.values) if _passes(_gate(validation, point))}
    shipped = next((point for point in holding if point.system in systems and _passes(gates[point])), None)
    chosen = shipped or reference
    bound = test.bootstrap.lower_bound(test.difference(chosen, reference))
    value = test.bootstrap.interval(test.values[chosen])
    choice = validation.bootstrap.interval(validation.difference(chosen, reference))
    gate = gates.get(chosen) or _gate(validation, chosen)
    confirmed = bound > -margin
    found = {
        "decision": "ship" if shipped else "do not ship",
        "point": asdict(shipped) if shipped else None,
        "reference": asdict(reference),
        "metric": metric,
        "margin": margin,
        "chosen_on": "validation" if "validation" in evidence else "test",
        "validation": {"difference": choice.value, "low": choice.low, "queries": validation.bootstrap.queries},
        "test": {
            **asdict(value),
            "difference": float(test.difference(chosen, reference).mean()),
            "lower_bound": bound,
            "confirmed": confirmed,
            "queries": test.bootstrap.queries,
        },
        "steps": [{**asdict(step.point), **_facts(step)} for step in steps],
        "gate": gate,
        "test_gate": _gate(test, chosen),
    }
    return {**found, "reason": _reason(found, chosen, reference)}


def sequence(points: list[Point]) -> list[Point]:
    """One system's points from large to small, without those that a wider one undercuts at no more bytes."""

    def undercut(point: Point) -> bool:
        return any((other.dimension or 0) > (point.dimension or 0) and _size(other) <= _size(point) for other in points)

    return sorted((point for point in points if not undercut(point)), key=lambda point: -_size(point))


def _test_sequences(evidence: Evidence, reference: Point, margin: float) -> list[Step]:
    """Every system's tests up to its first failure, systems in the order measured."""
    systems = list(dict.fromkeys(point.system for point in evidence.values if point.dimension is not None))
    level = 1 - (1 - LEVEL) / len(systems)
    steps = []
    for system in systems:
        for point in sequence([point for point in evidence.values if point.system == system]):
            difference = evidence.difference(point, reference)
            bound = evidence.bootstrap.lower_bound(difference, level)
            steps.append(Step(point, float(difference.mean()), bound, bound > -margin))
            if not steps[-1].passed:
                break
    return steps


def _reference(evidence: Evidence) -> Point:
    """The best system at full width; of equally good ones, the first measured."""
    dense = [point for point in full_width(evidence.values) if point.dimension is not None]
    return max(dense, key=evidence.mean)


def _preference(point: Point, evidence: Evidence) -> tuple[int, float]:
    """Small first; of equal size, the better one."""
    return _size(point), -evidence.mean(point)


def _gate(evidence: Evidence, point: Point) -> dict[str, dict[str, Any]]:
    """Whether a point beats the pretrained model at full width, and BM25."""
    rivals = {rival.system: rival for rival in full_width(evidence.values)}
    results = {}
    for name in (PRETRAINED, BM25):
        if name in rivals:
            entry = evidence.bootstrap.interval(evidence.difference(point, rivals[name]))
            results[name] = {"difference": entry.value, "low": entry.low, "high": entry.high, "passed": entry.low > 0}
    return results


def _passes(gate: dict[str, dict[str, Any]]) -> bool:
    """Whether every rival is beaten."""
    return all(rival["passed"] for rival in gate.values())


def _facts(step: Step) -> dict[str, Any]:
    """What a step found."""
    return {"difference": step.difference, "lower_bound": step.lower_bound, "passed": step.passed}


def _size(point: Point) -> int:
    """Bytes a vector."""
    return point.bytes_per_vector or 0


def _reason(found: dict[str, Any], chosen: Point, reference: Point) -> str:
    """The answer in words."""
    metric, margin, queries = found["metric"], found["margin"], found["validation"]["queries"]
    asked = f"{queries} {found['chosen_on']} queries"
    if found["point"] is None:
        failed = [
            f"{name} by {gate['difference']:+.3f} [{gate['low']:+.3f}, {gate['high']:+.3f}]"
            for name, gate in found["gate"].items()
            if not gate["passed"]
        ]
        best = f"the best, {reference.name}, differs from " + " and from ".join(failed) + " (95 % interval)"
        if reference.system == PRETRAINED:
            best = "the best at full width is the pretrained model itself"
        return (
            f"Do not ship: on the {asked} no system clearly beats both the pretrained model "
            f"and BM25 on {metric}; {best}."
        )
    verdict = "The test queries confirm it" if found["test"]["confirmed"] else "The test queries do not confirm it"
    if found["chosen_on"] == "test":
        verdict = "No other queries could confirm it, so take it as optimistic"
    smaller = f"{_size(chosen)} bytes a vector instead of {_size(reference)}"
    against = "which is itself the best at full width" if chosen == reference else f"against {reference.name}"
    return (
        f"Ship {chosen.system} at {chosen.dimension} dimensions in {chosen.precision}, {smaller}: on the {asked} "
        f"it is the smallest vector that loses at most {margin:g} of {metric} {against} "
        f"(95 % confidence). {verdict}: {metric} {found['test']['value']:.3f} there, "
        f"{found['test']['difference']:+.3f} against the reference, lower bound {found['test']['lower_bound']:+.3f}."
    )
