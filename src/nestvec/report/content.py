"""What the report says, gathered from the run's files as plain facts: nothing here is rounded, nothing is measured anew."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import read_json
from nestvec.report.changes import Changes, read_changes

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.files import RunFolder

METRICS = ("recall@10", "mrr@10", "ndcg@10", "judged@10")
BASELINE = "pretrained"  # what every change is measured against
LEXICAL = "bm25"  # has no vectors, so no dimension, precision or bytes


@dataclass(frozen=True)
class Measure:
    """A mean over queries with the ends of its 95 % interval; all between 0 and 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One row of the surface: a system at a dimension and precision, on one split."""

    system: str
    dimension: int | None
    precision: str | None
    bytes_per_vector: int | None
    split: str
    queries: int
    documents: int
    metrics: dict[str, Measure]

    @property
    def name(self) -> str:
        """As the run files and the comparisons are named: `mnr.48.int8`, `bm25`."""
        return self.system if self.dimension is None else f"{self.system}.{self.dimension}.{self.precision}"


@dataclass(frozen=True)
class Content:
    """Everything the page shows. The dictionaries are the run's JSON files as they are."""

    config: dict[str, Any]
    results: dict[str, Any]
    recommendation: dict[str, Any]
    grades: dict[str, Any]
    audit: dict[str, Any]
    findings: list[dict[str, Any]]
    rows: tuple[Row, ...]
    before: Row  # the pretrained model at full width, test split
    after: Row  # what is recommended, or else the best other candidate, test split
    changes: Changes  # queries that gained and lost from `before` to `after`

    @property
    def ship(self) -> bool:
        """Whether the recommendation is to ship."""
        return bool(self.recommendation["decision"] == "ship")

    @property
    def systems(self) -> tuple[str, ...]:
        """The baseline first, BM25 last, the others as the results list them."""
        named = dict.fromkeys(row.system for row in self.rows)
        return tuple(sorted(named, key=lambda name: (name == LEXICAL, name != BASELINE)))

    @property
    def full_width(self) -> tuple[Row, ...]:
        """Test rows at full width and precision, and BM25: the comparison that needs no trade-off."""
        wanted = {(row.system, row.dimension, row.precision): row for row in self.rows if row.split == "test"}
        width, precision = self.before.dimension, self.before.precision
        keys = [(name, None, None) if name == LEXICAL else (name, width, precision) for name in self.systems]
        return tuple(wanted[key] for key in keys if key in wanted)

    def line(self, system: str, precision: str | None = None) -> tuple[Row, ...]:
        """A system's test rows at one precision (None: the full one), from the narrowest to the widest."""
        precision = precision or self.before.precision
        rows = [row for row in self.split("test") if row.system == system and row.precision == precision]
        return tuple(sorted(rows, key=lambda row: row.dimension or 0))

    def split(self, split: str) -> tuple[Row, ...]:
        """The rows of one split, systems in order, wide before narrow, exact before coded."""
        order = {name: place for place, name in enumerate(self.systems)}
        rows = [row for row in self.rows if row.split == split]
        return tuple(
            sorted(rows, key=lambda row: (order[row.system], -(row.dimension or 0), -(row.bytes_per_vector or 0)))
        )

    def compared(self, a: Row, b: Row, metric: str) -> dict[str, Any] | None:
        """The paired comparison a − b on the test split, if the run made it."""
        for entry in self.results["comparisons"]:
            if (entry["a"], entry["b"], entry["metric"]) == (a.name, b.name, metric) and entry["split"] == "test":
                return dict(entry)
        return None


def read_content(folder: RunFolder) -> Content:
    """Gather the facts of a finished run.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    results, recommendation = read_json(folder.path("results")), read_json(folder.path("recommendation"))
    rows = tuple(_row(entry) for entry in results["surface"])
    before = _before(rows, folder.path("results"))
    after = _after(rows, before, recommendation)
    grades = read_json(folder.path("grades"))
    return Content(
        config=_read_toml(folder.path("config")),
        results=results,
        recommendation=recommendation,
        grades=grades,
        audit=read_json(folder.path("audit")),
        findings=read_json(folder.path("findings")),
        rows=rows,
        before=before,
        after=after,
        changes=read_changes(folder, _key(before), _key(after), (grades["lowest"], results["relevant_from"])),
    )


def _row(entry: dict[str, Any]) -> Row:
    """A row of `results.json` in our own type."""
    metrics = {name: Measure(**value) for name, value in entry["metrics"].items()}
    return Row(**{**entry, "metrics": metrics})


def _key(row: Row) -> tuple[str, int | None, str | None]:
    """What identifies a point of the surface."""
    return row.system, row.dimension, row.precision


def _before(rows: tuple[Row, ...], file: Path) -> Row:
    """The pretrained model's test row with the most bytes: full width, full precision."""
    candidates = [row for row in rows if row.system == BASELINE and row.split == "test"]
    if not candidates:
        raise InputError(f"has no test row for {BASELINE!r}", "the results of a finished run", file=file)
    return max(candidates, key=lambda row: (row.dimension or 0, row.bytes_per_vector or 0))


def _after(rows: tuple[Row, ...], before: Row, recommendation: dict[str, Any]) -> Row:
    """The recommended point; without one, the reference, or the best other full-width system on validation."""
    test = {_key(row): row for row in rows if row.split == "test"}
    for point in (recommendation["point"], recommendation["reference"]):
        row = test.get((point["system"], point["dimension"], point["precision"])) if point else None
        if row is not None and row.system != BASELINE:
            return row
    widths = {(before.dimension, before.precision), (None, None)}
    others = [row for row in rows if row.split == "validation" and row.system != BASELINE]
    others = [row for row in others if (row.dimension, row.precision) in widths and _key(row) in test]
    best = max(others, key=lambda row: row.metrics[recommendation["metric"]].value, default=before)
    return test[_key(best)]


def _read_toml(path: Path) -> dict[str, Any]:
    """The resolved settings with the tables that only the report shows."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", "the settings of a finished run", file=path) from error
