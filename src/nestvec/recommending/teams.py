"""Two kinds of team: one has a keyword search and fuses vectors with it, the other ranks by vectors alone.

A candidate is a system at one dimension and precision. For each kind of team, a `View` lists the candidates that the
team could ship, from large to small, the baselines that a candidate has to beat, and the system that the team uses
today.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nestvec.evaluation.significance import LEVEL
from nestvec.point import BM25, FUSED, HYBRID, PLAIN, PRETRAINED, Point, full_width
from nestvec.recommending.evidence import Evidence

# A wider point replaces a narrower one if it takes at most this many times its bytes. Codes below 8 bits store a
# correction of 2 bytes with each vector: 384 dimensions in int4 must not lose to 192 in int8 for these 2 bytes.
NEARLY = 1.05


@dataclass(frozen=True)
class Team:
    """A kind of team, with keyword search or with vectors alone, that wants to know which vectors to ship.

    Attributes:
        name: the team's key in `choices` of `recommendation.json`.
        kind: what the team can ship: `hybrid` (vectors fused with keyword search) or `plain` (vectors alone).
        pretrained: the name of the pretrained system that the team would compare with, fused or alone.
        now: the name of the system that the team uses today.
        may_fall_back: whether the pretrained system can be shipped if no trained one beats it.
    """

    name: str
    kind: str
    pretrained: str
    now: str
    may_fall_back: bool


BESIDE = Team("beside_keyword_search", HYBRID, PRETRAINED + FUSED, BM25, may_fall_back=True)
ALONE = Team("vectors_alone", PLAIN, PRETRAINED, PRETRAINED, may_fall_back=False)
TEAMS = (BESIDE, ALONE)


@dataclass(frozen=True)
class View:
    """The measured values of one split, from which a team with keyword search, or without, chooses its vectors."""

    evidence: Evidence
    team: Team

    @cached_property
    def points(self) -> list[Point]:
        """Every measured system, dimension and precision that this kind of team could ship."""
        kind = self.team.kind
        return [point for point in self.evidence.values if point.kind == kind and point.dimension is not None]

    @cached_property
    def sequences(self) -> dict[str, list[Point]]:
        """Maps each trained system to its vector formats, from large to small, the order in which they are tested."""
        systems = dict.fromkeys(point.system for point in self.points if point.system != self.team.pretrained)
        return {system: self._order(system) for system in systems}

    @cached_property
    def fallback(self) -> dict[str, list[Point]]:
        """The pretrained system's vector formats, from large to small; empty if the team may not ship that system."""
        points = self._order(self.team.pretrained) if self.team.may_fall_back else []
        return {self.team.pretrained: points} if points else {}

    @property
    def level(self) -> float:
        """The confidence level of one system's tests; the tests of all systems together have 95 % (Bonferroni)."""
        return 1 - (1 - LEVEL) / max(1, len(self.sequences) + len(self.fallback))

    @property
    def reference(self) -> Point:
        """The system at full width with the highest mean metric; of equally good ones, the first measured."""
        return max(full_width(self.points), key=self.evidence.mean)

    @property
    def now(self) -> Point | None:
        """What the team uses today, BM25 or the pretrained model at full width; None if that was not measured."""
        return self.evidence.whole.get(self.team.now)

    def list_rivals(self, point: Point) -> list[Point]:
        """List the measured baselines that a candidate (system, dimension, precision) has to beat.

        For vectors alone: the pretrained model at full width, and BM25. For vectors fused with keyword search: BM25,
        the same model's vectors alone at full width, and the fused pretrained model at the same dimension and precision
        (at full width if that was not measured).
        """
        whole = self.evidence.whole
        if self.team.kind != HYBRID:
            return [whole[name] for name in (PRETRAINED, BM25) if name in whole]
        rivals = [whole[name] for name in (BM25, point.vectors.system) if name in whole]
        return rivals + ([self.find_pretrained(point)] if self.beside_pretrained(point) else [])

    def beside_pretrained(self, point: Point) -> bool:
        """Whether vectors of another system can be compared with the pretrained one, because it was measured."""
        return self.team.pretrained in self.evidence.whole and point.system != self.team.pretrained

    def find_pretrained(self, point: Point) -> Point:
        """Find the pretrained baseline of vectors: for fused ones in the same format if measured, else full width."""
        whole = self.evidence.whole[self.team.pretrained]
        if self.team.kind != HYBRID:
            return whole
        points = (other for other in self.points if other.system == self.team.pretrained)
        return next((other for other in points if other.format == point.format), whole)

    def test_gate(self, point: Point) -> dict[str, dict[str, Any]]:
        """Compare vectors with each baseline: difference, 95 % interval, and whether the interval lies above 0."""
        evidence = self.evidence
        gains = {
            rival.system: evidence.bootstrap.interval(evidence.difference(point, rival))
            for rival in self.list_rivals(point)
        }
        return {
            name: {"difference": entry.value, "low": entry.low, "high": entry.high, "passed": entry.low > 0}
            for name, entry in gains.items()
        }

    def passes_gate(self, point: Point) -> bool:
        """Whether vectors clearly beat every baseline: each difference's 95 % interval lies above 0."""
        return all(rival["passed"] for rival in self.test_gate(point).values())

    def beats_pretrained(self, system: str) -> bool:
        """Whether a trained system at full width clearly beats the pretrained one: the 95 % interval lies above 0."""
        point = self.evidence.whole[system]
        if not self.beside_pretrained(point):
            return True
        difference = self.evidence.difference(point, self.find_pretrained(point))
        return self.evidence.bootstrap.interval(difference).low > 0

    def _order(self, system: str) -> list[Point]:
        return order_points([point for point in self.points if point.system == system])


def order_points(points: list[Point]) -> list[Point]:
    """Sort one system's vector formats by bytes, largest first, and leave out those that are not worth testing.

    Left out are formats that hardly save bytes over a wider one (`NEARLY`), and formats without principal axes if the
    same dimension and precision was measured with axes. Both rules were fixed before any run (docs/decisions.md), so
    that no format is picked by chance results on a run's queries.
    """
    turned = {(point.dimension, point.precision) for point in points if point.axes}
    best = [point for point in points if point.axes or (point.dimension, point.precision) not in turned]

    def is_undercut(point: Point) -> bool:
        wider = [other for other in best if (other.dimension or 0) > (point.dimension or 0)]
        return any(other.bytes <= NEARLY * point.bytes for other in wider)

    return sorted((point for point in best if not is_undercut(point)), key=lambda point: -point.bytes)
