"""Two finished runs beside each other, query by query: is one better, or is it noise?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.evaluation.significance import Bootstrap, effect_size, holm, outcomes, randomisation_test
from nestvec.evaluation.surface import PLAIN, Point, full_width
from nestvec.files import RunFolder, read_json
from nestvec.pipeline import load_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_RESAMPLES, _SEED = 10_000, 42
_DETECTABLE = 2.8  # standard errors: 1.96 for the interval and 0.84 for a power of 80 % (Cohen 1988)
_SAME = ("relevant_from",)  # facts of results.json without which figures cannot be compared
_CHOSEN = "chosen"  # the row of what either run recommends


@dataclass(frozen=True)
class ComparedPoint:
    """The second run less the first at one point, over the same test queries."""

    name: str  # of the point, or `chosen`: what each run recommends, or its best at full width
    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    wins: int
    ties: int
    losses: int
    detectable: float  # the smallest difference that as many such queries would most often show


@dataclass(frozen=True)
class RunComparison:
    """Two runs compared.

    Attributes:
        a: the first run's folder.
        b: the second's.
        metric: what is compared.
        queries: test queries that both asked.
        rows: what was compared, Holm-corrected together; what the runs recommend comes first.
    """

    a: str
    b: str
    metric: str
    queries: int
    rows: tuple[ComparedPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"schema": 1, **asdict(self), "rows": [asdict(row) for row in self.rows]}

    @property
    def verdict(self) -> str:
        """What came out for the two recommended points, in a sentence."""
        row = self.rows[0]
        where = f"{row.b} of {self.b} and {row.a} of {self.a}" if row.a != row.b else f"{row.a} of both runs"
        shown = (
            f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}] of {self.metric} on {self.queries} test queries"
        )
        if row.low <= 0 <= row.high:
            return (
                f"Between {where} no difference can be seen: {shown}, where one of {row.detectable:.3f} would most "
                "often have shown."
            )
        return f"{self.b} is {'better' if row.difference > 0 else 'worse'}: {where} differ by {shown}."


def compare(a: str | Path, b: str | Path, metric: str = "recall@10", everything: bool = False) -> RunComparison:
    """Compare two finished runs on the test queries, which must be the same.

    Args:
        a: a run's folder.
        b: another's.
        metric: any that both measured.
        everything: whether to compare every point that both have, or only what is recommended and the full widths.

    Returns:
        The second less the first, point by point.

    Raises:
        InputError: a folder is no finished run, or the two asked other queries, judged or measured otherwise.
    """
    folders = [load_run(path).folder for path in (a, b)]
    _refuse_others(folders)
    values = [_values(folder, metric) for folder in folders]
    shared = [name for name in values[0] if name in values[1]]
    if not everything:
        full = {point.name for point in full_width(_points(folders[0]))}
        shared = [name for name in shared if name in full]
    chosen = _chosen(folders[0]), _chosen(folders[1])
    pairs = [(_CHOSEN, *chosen), *((name, name, name) for name in shared)]
    ids = sorted(next(iter(values[0].values())))
    rng = np.random.default_rng(_SEED)
    bootstrap = Bootstrap(len(ids), _RESAMPLES, rng)
    columns = [(_column(values[0][first], ids), _column(values[1][second], ids)) for _, first, second in pairs]
    p = [randomisation_test(second - first, _RESAMPLES, rng) for first, second in columns]
    rows = [
        _row(pair, column, bootstrap, chance)
        for pair, column, chance in zip(pairs, columns, zip(p, holm(p), strict=True), strict=True)
    ]
    return RunComparison(str(a), str(b), metric, len(ids), tuple(rows))


def _row(
    names: tuple[str, str, str],
    columns: tuple[NDArray[np.float64], NDArray[np.float64]],
    bootstrap: Bootstrap,
    chance: tuple[float, float],
) -> ComparedPoint:
    """One comparison."""
    difference = columns[1] - columns[0]
    interval, counted = bootstrap.interval(difference), outcomes(difference)
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    return ComparedPoint(
        *names,
        mean_a=float(columns[0].mean()),
        mean_b=float(columns[1].mean()),
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        p=chance[0],
        p_holm=chance[1],
        effect=effect_size(difference),
        **asdict(counted),
        detectable=_DETECTABLE * spread / len(difference) ** 0.5,
    )


def _refuse_others(folders: list[RunFolder]) -> None:
    """Raise where the two runs cannot be compared."""
    judged = [set(folder.path("qrels").read_text(encoding="utf-8").splitlines()) for folder in folders]
    if judged[0] != judged[1]:
        apart = len(judged[0] ^ judged[1])
        wanted = f"the test queries and judgements of {folders[0].root}"
        raise InputError(f"differs in {apart:,} judgements", wanted, file=folders[1].path("qrels"))
    facts = [_facts(folder) for folder in folders]
    for name in facts[0]:
        if facts[0][name] != facts[1][name]:
            found, wanted = f"{name} is {facts[1][name]}", f"{facts[0][name]}, as in {folders[0].root}"
            raise InputError(found, wanted, file=folders[1].path("results"))


def _facts(folder: RunFolder) -> dict[str, Any]:
    """What has to be the same in both runs."""
    results = read_json(folder.path("results"))
    [documents] = {row["documents"] for row in results["surface"] if row["split"] == "test"}
    return {**{name: results[name] for name in _SAME}, "documents": documents}


def _points(folder: RunFolder) -> list[Point]:
    """The plain points of the test split."""
    keys = ("system", "dimension", "precision", "bytes_per_vector")
    rows = [row for row in read_json(folder.path("results"))["surface"] if row["split"] == "test"]
    return [Point(*(row[key] for key in keys)) for row in rows if row.get("kind", PLAIN) == PLAIN]


def _chosen(folder: RunFolder) -> str:
    """What a run recommends, or else its best at full width."""
    made = read_json(folder.path("recommendation"))
    return Point(**(made["point"] or made["reference"])).name


def _values(folder: RunFolder, metric: str) -> dict[str, dict[str, float]]:
    """Point's name to test query's id to the metric's value."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = folder.path("per_query")
    try:
        table = pq.read_table(path)
        table = table.filter(pc.equal(table["split"], "test"))
        known = pc.unique(table["metric"]).to_pylist()
        rows = table.filter(pc.equal(table["metric"], metric)).to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"cannot be read ({error})", "a file of a finished run", file=path) from error
    if not rows:
        raise InputError(f"has no values of {metric!r}", "one of " + ", ".join(sorted(known)), file=path)
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        name = Point(row["system"], row["dimension"], row["precision"], None).name
        found.setdefault(name, {})[row["query_id"]] = row["value"]
    return found


def _column(values: Mapping[str, float], ids: list[str]) -> NDArray[np.float64]:
    """Values in the order of the queries' ids."""
    return np.array([values[name] for name in ids])
