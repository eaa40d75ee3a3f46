"""Gathers the facts that the report shows from the run's files; values are not rounded and nothing is measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.point import BM25, BM25_DEFAULT, HYBRID, PLAIN, PRETRAINED, TWO_STAGE, Point, VectorFormat, full_width
from nestvec.report.changes import Changes, find_changes
from nestvec.runs.schema import METRICS, TEST, VALIDATION, Comparison, Row

if TYPE_CHECKING:
    from nestvec.models.prompts import Prompts
    from nestvec.runs.run import Run
    from nestvec.runs.schema import Training

JUDGED = "judged@10"
FEW_JUDGED = 1 / 3  # share of judged results below which the page says what that means


@dataclass(frozen=True)
class Content:
    """Everything that the report's page shows of a run."""

    run: Run
    before: Row  # the pretrained model at full width, test split
    after: Row  # what is recommended, or else the best other candidate, test split
    changes: Changes  # queries that gained and lost from `before` to `after`

    @property
    def gated(self) -> Point:
        """What was compared with the baselines: the recommended vectors or, without any, the reference."""
        return self.run.recommendation.point or self.run.recommendation.reference or self.after

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of all systems except fused and two-stage ones: pretrained first, BM25 last."""
        named = dict.fromkeys(row.system for row in self.run.results.surface if row.is_alone)
        return tuple(sorted(named, key=lambda name: (name == BM25, name != PRETRAINED)))

    @property
    def precisions(self) -> tuple[str, ...]:
        """The measured precisions, in the order of the results."""
        return tuple(dict.fromkeys(row.precision for row in self.run.results.surface if row.precision))

    @property
    def validated(self) -> tuple[Training, ...]:
        """The systems' trainings during which metrics on validation were measured."""
        return tuple(training for training in self.run.trainings if training.curve)

    @property
    def validated_formats(self) -> tuple[VectorFormat, ...]:
        """The vector formats that were measured on validation during training, wide before narrow."""
        formats = dict.fromkeys(stored for training in self.run.trainings for stored in training.formats)
        return tuple(sorted(formats, key=lambda stored: -stored.dimension))

    @property
    def full_width(self) -> tuple[Row, ...]:
        """Test rows of BM25, of each system at full width and precision, and of each system fused with BM25."""
        widest = [next(rows) for _, rows in groupby(self.split(TEST), key=lambda row: row.system)]
        rows = (*widest, *full_width(self.made(HYBRID)))
        return tuple(row for row in rows if row.precision in (None, self.before.precision))

    @property
    def seldom_judged(self) -> tuple[float, float] | None:
        """The lowest and highest judged@10 of the full-width systems; None unless the lowest is below a third."""
        shares = [row.metrics[JUDGED].value for row in self.full_width]
        return (min(shares), max(shares)) if min(shares) < FEW_JUDGED else None

    @property
    def uneven(self) -> bool:
        """Whether some systems have wider vectors than others at full width."""
        return len({row.dimension for row in self.full_width if row.dimension}) > 1

    def made(self, kind: str) -> tuple[Row, ...]:
        """List the test rows of one kind (`hybrid`, `two-stage`), in the order of the results."""
        return tuple(row for row in self.run.results.surface if (row.kind, row.split) == (kind, TEST))

    @property
    def staged(self) -> tuple[tuple[str, str, Row], ...]:
        """Measurements of two-stage searches, each followed by a search with the second vectors only, to compare."""
        found: list[tuple[str, str, Row]] = []
        for row in self.made(TWO_STAGE):
            origin, _, code = row.system.rpartition("-via-")
            alone = self.cell(origin, row.dimension, row.precision, row.axes)
            found.append((origin, code.replace("-", " ", 1), row))
            if alone and not any(other.name == alone.name for _, _, other in found):
                found.append((origin, "", alone))
        return tuple(found)

    @property
    def within_gate(self) -> bool:
        """Whether the recommendation beat its rivals; if nothing is recommended, only the limits are the reason."""
        gate = self.run.recommendation.gate
        return bool(gate) and all(entry.passed for entry in gate.values())

    @property
    def matrix_metric(self) -> str:
        """The metric in the table of differences: the deciding metric if the run compared it, else recall@10."""
        compared = {entry.metric for entry in self.run.results.comparisons}
        return self.run.recommendation.metric if self.run.recommendation.metric in compared else METRICS[0]

    def cell(self, system: str, dimension: int | None, precision: str | None = None, axes: bool = False) -> Row | None:
        """Find a system's test measurements at a dimension and precision, on principal axes or not."""
        return next((row for row in self.line(system, precision, axes) if row.dimension == dimension), None)

    def measured(self, system: str) -> tuple[tuple[int, bool], ...]:
        """List a system's dimensions on test, the largest first; those on principal axes come last, marked as such."""
        rows = [row for row in self.split(TEST) if row.system == system and row.dimension]
        cuts = dict.fromkeys((row.dimension or 0, row.axes) for row in rows)
        return tuple(sorted(cuts, key=lambda cut: (-cut[0], cut[1])))

    @property
    def prompts(self) -> tuple[tuple[Prompts, tuple[str, ...]], ...]:
        """The distinct prompts that are put before queries or documents, each with the systems that use them."""
        by_system = self.run.results.prompts
        distinct = dict.fromkeys(prompts for prompts in by_system.values() if prompts)
        return tuple((prompts, tuple(name for name in by_system if by_system[name] == prompts)) for prompts in distinct)

    @property
    def lexical(self) -> Row | None:
        """BM25's row on the test split; None if BM25 was not measured."""
        return next((row for row in self.split(TEST) if row.system == BM25), None)

    @property
    def widths(self) -> tuple[int, ...]:
        """The dimensions measured at full precision on test, ascending."""
        rows = [row for row in self.split(TEST) if row.precision == self.before.precision]
        return tuple(sorted({row.dimension for row in rows if row.dimension}))

    def at(self, system: str, width: int) -> Row | None:
        """Find a system's test measurements at a dimension and full precision; BM25 has the same at any dimension."""
        return self.lexical if system == BM25 else self.cell(system, width)

    def line(self, system: str, precision: str | None = None, axes: bool = False) -> tuple[Row, ...]:
        """List a system's test measurements at one precision, on principal axes or not, smallest dimension first."""
        wanted = (system, precision or self.before.precision, axes)
        rows = [row for row in self.split(TEST) if (row.system, row.precision, row.axes) == wanted]
        return tuple(sorted(rows, key=lambda row: row.dimension or 0))

    def split(self, split: str) -> tuple[Row, ...]:
        """List a split's rows that are neither fused nor two-stage: by system, wide before narrow, then by bytes."""
        order = {name: place for place, name in enumerate(self.systems)}
        rows = [row for row in self.run.results.surface if row.split == split and row.is_alone]
        return tuple(sorted(rows, key=lambda row: (order[row.system], -(row.dimension or 0), row.axes, -row.bytes)))

    def kept(self, row: Row, metric: str) -> float | None:
        """Divide a row's metric by that of the same system at full width and precision; None if the latter is 0."""
        own = [other for other in self.run.results.surface if (other.system, other.split) == (row.system, row.split)]
        full = max(own, key=lambda other: (other.dimension or 0, other.bytes)).metrics[metric].value
        return row.metrics[metric].value / full if full else None

    def compared(self, a: Point, b: Point, metric: str) -> Comparison | None:
        """Find the paired comparison of two systems on test, as `a` minus `b`, whichever way round the run made it."""
        for entry in self.run.results.comparisons:
            if (entry.metric, entry.split) == (metric, TEST) and {entry.a, entry.b} == {a.name, b.name}:
                return entry if entry.a == a.name else entry.turned
        return None


def read_content(run: Run) -> Content:
    """Read a finished run for the report's page; raises InputError if a file is missing or damaged."""
    surface, recommendation = run.results.surface, run.recommendation
    _refuse_missing_metrics(run)
    before = _before(run)
    shared = [name for name in surface[0].metrics if all(name in row.metrics for row in surface)]
    if recommendation.metric not in shared:
        problem, file = f"names the metric {recommendation.metric!r}", run.folder.path("recommendation")
        raise InputError(problem, "one of " + ", ".join(shared), file=file)
    after = _after(run, before)
    for part in ("config", "grades", "audit", "findings", "trainings"):
        getattr(run, part)  # reads the file, so that damage is reported before anything is written
    return Content(run, before, after, find_changes(run, before, after))


def _refuse_missing_metrics(run: Run) -> None:
    """Raise InputError unless every measurement in the results has every metric that the page shows."""
    for number, row in enumerate(run.results.surface):
        for metric in METRICS:
            if metric not in row.metrics:
                problem = f"is damaged: surface[{number}].metrics.{metric} is missing"
                raise InputError(
                    problem, f"rows with the metrics {', '.join(METRICS)}", file=run.folder.path("results")
                )


def _before(run: Run) -> Row:
    """Find the pretrained model's test row at full width and full precision."""
    rows = [row for row in run.points.values() if (row.system, row.kind) == (PRETRAINED, PLAIN)]
    if not rows:
        problem = f"has no test row for the system {PRETRAINED!r}"
        raise InputError(problem, "the results of a finished run", file=run.folder.path("results"))
    return max(rows, key=lambda row: (row.dimension or 0, row.bytes))


def _after(run: Run, before: Row) -> Row:
    """Find the test measurements of the recommended vectors, else of the reference, else of the best other system."""
    recommendation, test = run.recommendation, run.points
    for point in (recommendation.point, recommendation.reference):
        row = test.get(point.name) if point else None
        if row is not None and row.system != PRETRAINED:
            return row
    others = [
        row
        for row in run.results.surface
        if row.split == VALIDATION
        and row.is_alone
        and row.system not in (PRETRAINED, BM25_DEFAULT)
        and row.precision in (before.precision, None)
        and row.name in test
    ]
    widest = {row.system: row.dimension for row in sorted(others, key=lambda row: row.dimension or 0)}
    others = [row for row in others if row.dimension == widest[row.system]]
    best = max(others, key=lambda row: row.metrics[recommendation.metric].value, default=before)
    return test[best.name]
