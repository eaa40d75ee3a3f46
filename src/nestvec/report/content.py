"""What the report says, gathered from the run's files as plain facts: nothing is rounded, nothing measured anew."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.point import BM25, HYBRID, PLAIN, PRETRAINED, TWO_STAGE, Point
from nestvec.report.changes import Changes, Key, read_changes
from nestvec.report.trainings import Place, Training, read_trainings
from nestvec.runs.conform import MisfitError, conform, load_json
from nestvec.runs.schema import (
    METRICS,
    Audit,
    Comparison,
    Config,
    Finding,
    Grades,
    Recommendation,
    Results,
    Row,
)

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.folder import RunFolder


@dataclass(frozen=True)
class Content:
    """Everything the page shows."""

    config: Config
    results: Results
    recommendation: Recommendation
    grades: Grades
    audit: Audit
    findings: tuple[Finding, ...]
    before: Row  # the pretrained model at full width, test split
    after: Row  # what is recommended, or else the best other candidate, test split
    changes: Changes  # queries that gained and lost from `before` to `after`
    trainings: tuple[Training, ...]  # none where nothing was trained, or by a nestvec that did not write it down

    @property
    def rows(self) -> tuple[Row, ...]:
        """The surface, on both splits."""
        return self.results.surface

    @property
    def ship(self) -> bool:
        """Whether the recommendation is to ship."""
        return self.recommendation.point is not None

    @property
    def gated(self) -> Point:
        """What the gate compared with its rivals: the recommended point, or else the reference."""
        return self.recommendation.point or self.recommendation.reference or self.after

    @property
    def systems(self) -> tuple[str, ...]:
        """The baseline first, BM25 last, the others as the results list them; none that is made of others."""
        named = dict.fromkeys(row.system for row in self.rows if row.kind == PLAIN)
        return tuple(sorted(named, key=lambda name: (name == BM25, name != PRETRAINED)))

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions measured, as the results list them."""
        return tuple(dict.fromkeys(row.precision for row in self.rows if row.precision))

    @property
    def validated(self) -> tuple[Training, ...]:
        """The trainings that were validated on the way."""
        return tuple(training for training in self.trainings if training.curve)

    @property
    def validated_places(self) -> tuple[Place, ...]:
        """Every dimension and precision that was validated while training, wide before narrow."""
        found = dict.fromkeys(place for training in self.trainings for place in training.places)
        return tuple(sorted(found, key=lambda place: -place[0]))

    @property
    def full_width(self) -> tuple[Row, ...]:
        """Test rows of each system's own full width and precision, of BM25, and of both fused: no trade-off."""
        full = [self.widest(name) for name in self.systems]
        return (*(row for row in full if row is not None), *self.made(HYBRID))

    @property
    def uneven(self) -> bool:
        """Whether the systems' full widths differ."""
        return len({row.dimension for row in self.full_width if row.dimension}) > 1

    def widest(self, system: str) -> Row | None:
        """A system's test row at its greatest width and full precision; None where that was not measured."""
        rows = [row for row in self.split("test") if row.system == system]
        row = max(rows, key=lambda row: (row.dimension or 0, row.bytes_per_vector or 0), default=None)
        return row if row is None or row.precision in (None, self.before.precision) else None

    def made(self, kind: str) -> tuple[Row, ...]:
        """Test rows that are made of others in one way, as the results list them."""
        return tuple(row for row in self.rows if (row.kind, row.split) == (kind, "test"))

    @property
    def staged(self) -> tuple[tuple[str, str, Row], ...]:
        """Rows of two stages, and the second stages alone: system, shortlist (or nothing) and row."""
        found: list[tuple[str, str, Row]] = []
        for row in self.made(TWO_STAGE):
            origin, _, code = row.system.rpartition("-via-")
            alone = self.cell(origin, row.dimension or 0, row.precision or "")
            found.append((origin, code.replace("-", " ", 1), row))
            if alone and not any(other.name == alone.name for _, _, other in found):
                found.append((origin, "", alone))
        return tuple(found)

    @property
    def within_gate(self) -> bool:
        """Whether the gate was passed: then what stands against a recommendation is a limit that was set."""
        gate = self.recommendation.gate
        return bool(gate) and all(entry.passed for entry in gate.values())

    @property
    def matrix_metric(self) -> str:
        """The metric by which the systems are compared with each other: the one that decides, if it was compared."""
        compared = {entry.metric for entry in self.results.comparisons}
        return self.recommendation.metric if self.recommendation.metric in compared else METRICS[0]

    def frontier(self, metric: str) -> tuple[Row, ...]:
        """The test rows that nothing smaller reaches, by rising bytes; of equals at one size, the first listed."""
        best, kept = -1.0, []
        rows = [row for row in self.split("test") if row.bytes_per_vector]
        for row in sorted(rows, key=lambda row: (row.bytes_per_vector or 0, -row.metrics[metric].value)):
            if row.metrics[metric].value > best:
                best = row.metrics[metric].value
                kept.append(row)
        return tuple(kept)

    def cell(self, system: str, dimension: int, precision: str) -> Row | None:
        """A system's test row at a dimension and precision."""
        return next((row for row in self.line(system, precision) if row.dimension == dimension), None)

    def measured(self, system: str) -> tuple[int, ...]:
        """A system's dimensions on test, wide before narrow."""
        found = {row.dimension for row in self.split("test") if row.system == system and row.dimension}
        return tuple(sorted(found, reverse=True))

    @property
    def lexical(self) -> Row | None:
        """BM25 on the test split."""
        return next((row for row in self.split("test") if row.system == BM25), None)

    @property
    def widths(self) -> tuple[int, ...]:
        """The dimensions measured at full precision on test, ascending."""
        rows = [row for row in self.split("test") if row.precision == self.before.precision]
        return tuple(sorted({row.dimension for row in rows if row.dimension}))

    def at(self, system: str, width: int) -> Row | None:
        """A system's test row at a dimension and full precision; BM25 is the same at any."""
        if system == BM25:
            return self.lexical
        return next((row for row in self.line(system) if row.dimension == width), None)

    def line(self, system: str, precision: str | None = None) -> tuple[Row, ...]:
        """A system's test rows at one precision (None: the full one), from the narrowest to the widest."""
        precision = precision or self.before.precision
        rows = [row for row in self.split("test") if row.system == system and row.precision == precision]
        return tuple(sorted(rows, key=lambda row: row.dimension or 0))

    def split(self, split: str) -> tuple[Row, ...]:
        """The plain rows of one split, systems in order, wide before narrow, exact before coded."""
        order = {name: place for place, name in enumerate(self.systems)}
        rows = [row for row in self.rows if (row.split, row.kind) == (split, PLAIN)]
        return tuple(
            sorted(rows, key=lambda row: (order[row.system], -(row.dimension or 0), -(row.bytes_per_vector or 0)))
        )

    def kept(self, row: Row, metric: str) -> float | None:
        """The metric as a share of the same system's at its greatest width and precision, on the row's split."""
        own = [other for other in self.rows if (other.system, other.split) == (row.system, row.split)]
        full = max(own, key=lambda other: (other.dimension or 0, other.bytes_per_vector or 0)).metrics[metric].value
        return row.metrics[metric].value / full if full else None

    def compared(self, a: Point, b: Point, metric: str) -> Comparison | None:
        """The paired comparison of `a` less `b` on the test split, whichever way round the run made it."""
        for entry in self.results.comparisons:
            if (entry.metric, entry.split) == (metric, "test") and {entry.a, entry.b} == {a.name, b.name}:
                return entry if entry.a == a.name else entry.turned
        return None


def read_content(folder: RunFolder) -> Content:
    """Gather the facts of a finished run.

    Args:
        folder: the run.

    Returns:
        What the page shows.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    results = load_json(folder.path("results"), Results)
    _check(results, folder.path("results"))
    before = _before(results.surface, folder.path("results"))
    recommendation = load_json(folder.path("recommendation"), Recommendation)
    shared = [name for name in results.surface[0].metrics if all(name in row.metrics for row in results.surface)]
    if recommendation.metric not in shared:
        problem, file = f"names the metric {recommendation.metric!r}", folder.path("recommendation")
        raise InputError(problem, "one of " + ", ".join(shared), file=file)
    after = _after(results.surface, before, recommendation)
    grades = load_json(folder.path("grades"), Grades)
    return Content(
        config=_read_config(folder.path("config")),
        results=results,
        recommendation=recommendation,
        grades=grades,
        audit=load_json(folder.path("audit"), Audit),
        findings=load_json(folder.path("findings"), tuple[Finding, ...]),
        before=before,
        after=after,
        changes=read_changes(folder, _key(before), _key(after), (grades.lowest, results.relevant_from)),
        trainings=read_trainings(folder, results.trained),
    )


def _key(point: Point) -> Key:
    """What identifies a point of the surface."""
    return point.system, point.dimension, point.precision


def _check(results: Results, file: Path) -> None:
    """Every row has every metric that the page shows."""
    for place, row in enumerate(results.surface):
        for metric in METRICS:
            if metric not in row.metrics:
                raise InputError(f"is damaged: surface[{place}].metrics.{metric} is missing", "four metrics", file=file)


def _before(rows: tuple[Row, ...], file: Path) -> Row:
    """The pretrained model's test row with the most bytes: full width, full precision."""
    candidates = [row for row in rows if (row.system, row.split, row.kind) == (PRETRAINED, "test", PLAIN)]
    if not candidates:
        raise InputError(f"has no test row for {PRETRAINED!r}", "the results of a finished run", file=file)
    return max(candidates, key=lambda row: (row.dimension or 0, row.bytes_per_vector or 0))


def _after(rows: tuple[Row, ...], before: Row, recommendation: Recommendation) -> Row:
    """The recommended point; without one, the reference, or the best other full-width system on validation."""
    test = {_key(row): row for row in rows if row.split == "test"}
    for point in (recommendation.point, recommendation.reference):
        row = test.get(_key(point)) if point else None
        if row is not None and row.system != PRETRAINED:
            return row
    others = [row for row in rows if (row.split, row.kind) == ("validation", PLAIN) and row.system != PRETRAINED]
    others = [row for row in others if row.precision in (before.precision, None) and _key(row) in test]
    widest = {row.system: row.dimension for row in sorted(others, key=lambda row: row.dimension or 0)}
    others = [row for row in others if row.dimension == widest[row.system]]
    best = max(others, key=lambda row: row.metrics[recommendation.metric].value, default=before)
    return test[_key(best)]


def _read_config(path: Path) -> Config:
    """The resolved settings with the tables that only the report shows."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        versions, inputs = (conform(values.pop(name, {}), dict[str, str], name) for name in ("versions", "inputs"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "the settings of a finished run", file=path) from error
    except MisfitError as error:
        raise InputError(f"is damaged: {error}", error.expected, file=path) from error
    except ValueError as error:
        raise InputError(f"is damaged: {error}", "the settings of a finished run", file=path) from error
    return Config(settings=values, versions=versions, inputs=inputs)
