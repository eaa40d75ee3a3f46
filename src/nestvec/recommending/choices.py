"""Finds a team's three choices (proven, likely and tiny), each with its loss, its interval and its memory.

A candidate is a system at one dimension and precision. *Proven* is chosen in `choose.py`. *Likely* is the smallest
candidate that loses less than the margin with a chance of at least 90 %; only systems that beat the baselines with the
same chance are considered. *Tiny* is the smallest candidate that clearly beats what the team uses today: keyword search
or the pretrained model; the 95 % confidence is split over the systems (Bonferroni). The searches for *likely* and
*tiny* test each system's candidates from large to small and stop at the first that fails. Testing all candidates and
picking the smallest that passes would pick a lucky one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nestvec.evaluation.significance import LEVEL
from nestvec.point import Point
from nestvec.recommending.sentences import point_to_json
from nestvec.recommending.teams import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec.recommending.evidence import Evidence
    from nestvec.settings import RecommendationSettings

SURE = 0.9  # the least chance of a likely choice
SIZES = (1_000_000, 10_000_000, 100_000_000)  # vectors whose memory the answer states


@dataclass(frozen=True)
class Pick:
    """A chosen system, dimension and precision, and the full-width system that its loss is measured against."""

    point: Point
    reference: Point


def describe_choices(
    view: View, evidence: dict[str, Evidence], wishes: RecommendationSettings, proven: tuple[Point, Point] | None
) -> dict[str, Any]:
    """Find a team's proven, likely and tiny choices, in the form of `recommendation.json`.

    Args:
        view: the team's candidates (system, dimension, precision) on the split that chooses.
        evidence: maps `test` and, if the protocol has it, `validation` to the values measured on that split.
        wishes: the metric, how much of it may be lost, and limits on bytes and recall.
        proven: the proven choice and its reference; None if nothing is proven.

    Returns:
        The choices under the keys `proven`, `likely` and `tiny`; a choice is None if no candidate qualifies.
    """
    if not view.points:
        return dict.fromkeys(("proven", "likely", "tiny"))
    shown = Pick(*proven) if proven else None
    picks = {
        "proven": shown,
        "likely": _find_likely(view, wishes, shown),
        "tiny": _find_tiny(view, wishes),
    }
    return {
        name: _describe_pick(name, pick, view, evidence, wishes.margin) if pick else None
        for name, pick in picks.items()
    }


def check_wishes(point: Point, evidence: Evidence, wishes: RecommendationSettings) -> dict[str, bool]:
    """Check which of the limits `max_bytes` and `min_recall` vectors meet; limits that are not set are left out."""
    keeps = {}
    if wishes.max_bytes is not None:
        keeps["max_bytes"] = point.bytes <= wishes.max_bytes
    if wishes.min_recall is not None:
        keeps["min_recall"] = evidence.recalls[point] >= wishes.min_recall
    return keeps


def list_prices(point: Point, reference: Point) -> list[dict[str, int]]:
    """List the memory in bytes of 1, 10 and 100 million vectors, in the chosen vector format and in the reference's."""
    return [{"vectors": size, "bytes": size * point.bytes, "full_bytes": size * reference.bytes} for size in SIZES]


def _find_likely(view: View, wishes: RecommendationSettings, proven: Pick | None) -> Pick | None:
    """Find the smallest vector that is 90 % certain to lose less than the margin, and to beat each baseline."""
    evidence = view.evidence
    sequences = {name: points for name, points in view.sequences.items() if _likely_beats(view, evidence.whole[name])}
    reference = view.reference
    if not sequences and not _list_trained(view):
        sequences = view.fallback
        reference = evidence.whole.get(view.team.pretrained, reference)

    def is_likely(point: Point) -> bool:
        return evidence.chance_above(point, reference, -wishes.margin) >= SURE

    reached = [point for point in _walk(sequences, is_likely) if _likely_beats(view, point)]
    picks = [Pick(point, reference) for point in reached if all(check_wishes(point, evidence, wishes).values())]
    return _take_smallest(view, picks + ([proven] if proven else []))


def _find_tiny(view: View, wishes: RecommendationSettings) -> Pick | None:
    """Find the smallest vector that clearly beats what the team uses today: keyword search or the pretrained model."""
    evidence, now = view.evidence, view.now
    if now is None:
        return None
    trained = _list_trained(view)
    sequences = {name: view.sequences[name] for name in trained} or view.fallback or view.sequences

    def is_better(point: Point) -> bool:
        return evidence.bootstrap.interval(evidence.difference(point, now), view.level).low > 0

    reached = _walk(sequences, is_better)
    reference = view.reference if sequences is not view.fallback else evidence.whole[view.team.pretrained]
    picks = [Pick(point, reference) for point in reached if all(check_wishes(point, evidence, wishes).values())]
    return _take_smallest(view, picks)


def _walk(sequences: dict[str, list[Point]], is_good: Callable[[Point], bool]) -> list[Point]:
    """List each system's vector formats from large to small, up to the first that does not pass the given test."""
    reached = []
    for points in sequences.values():
        for point in points:
            if not is_good(point):
                break
            reached.append(point)
    return reached


def _take_smallest(view: View, picks: list[Pick]) -> Pick | None:
    """Choose the vectors with the fewest bytes; among those of equal size, the ones with the highest mean metric."""
    return min(picks, key=lambda pick: (pick.point.bytes, -view.evidence.mean(pick.point)), default=None)


def _list_trained(view: View) -> list[str]:
    """List the trained systems that likely beat the pretrained one at full width; all if that was not measured."""
    whole = view.evidence.whole
    return [
        system
        for system in view.sequences
        if not view.beside_pretrained(whole[system])
        or view.evidence.chance_above(whole[system], view.find_pretrained(whole[system]), 0.0) >= SURE
    ]


def _likely_beats(view: View, point: Point) -> bool:
    return all(view.evidence.chance_above(point, rival, 0.0) >= SURE for rival in view.list_rivals(point))


def _describe_pick(name: str, pick: Pick, view: View, evidence: dict[str, Evidence], margin: float) -> dict[str, Any]:
    point, reference, chosen_on, test = pick.point, pick.reference, view.evidence, evidence["test"]
    difference = chosen_on.bootstrap.interval(chosen_on.difference(point, reference))
    on_test = test.bootstrap.interval(test.difference(point, reference))
    described = {
        **point_to_json(point),
        "axes": point.axes,
        "reference": reference.name,
        "lossless": point in chosen_on.lossless,
        "validation": {
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "chance": chosen_on.chance_above(point, reference, -margin),
        },
        "test": {
            **asdict(test.bootstrap.interval(test.values[point])),
            "difference": on_test.value,
            "difference_low": on_test.low,
            "difference_high": on_test.high,
            "confirmed": _confirm(name, pick, view, evidence, margin),
            "others": {rival.name: test.mean(rival) for rival in view.list_rivals(point)},
        },
        "price": list_prices(point, reference),
    }
    return {**described, "beats": _describe_gain(point, view, test)}


def _confirm(name: str, pick: Pick, view: View, evidence: dict[str, Evidence], margin: float) -> bool | None:
    """Whether the test queries confirm a choice; None if the choice is the reference that it would be compared with."""
    point, reference, test = pick.point, pick.reference, evidence["test"]
    if name == "tiny":
        gain = test.difference(point, view.evidence.whole[view.team.now])
        return "validation" in evidence and test.bootstrap.interval(gain).low > 0
    if point == reference:
        return None
    if name == "proven":
        return "validation" in evidence and test.lower_bound(point, reference, LEVEL) > -margin
    return "validation" in evidence and test.chance_above(point, reference, -margin) >= SURE


def _describe_gain(point: Point, view: View, test: Evidence) -> dict[str, Any] | None:
    """Measure the gain of vectors over the system that the team uses today; None if that was not measured."""
    if view.now is None:
        return None
    chosen_on = view.evidence
    gain = chosen_on.bootstrap.interval(chosen_on.difference(point, view.now))
    on_test = test.bootstrap.interval(test.difference(point, view.now))
    entry = {"system": view.now.name, "difference": gain.value, "low": gain.low, "high": gain.high}
    return {**entry, "test": asdict(on_test)}
