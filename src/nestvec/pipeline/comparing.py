"""Compare two finished runs query by query: is one better, or is the difference noise?

Both runs must have the same test queries, judgements and number of documents, so that every difference can be paired
by query. All p-values that are shown are corrected together (Holm): the more systems and vector formats are compared,
the harder each difference is to prove.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nestvec.errors import InputError
from nestvec.evaluation.significance import LEVEL, Bootstrap, count_outcomes, effect_size, holm, randomisation_test
from nestvec.files import write_json
from nestvec.pipeline.comparable_runs import agree_on_texts, find_folds, refuse_another_task, refuse_unmeasured
from nestvec.point import Point
from nestvec.runs.run import load_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.evaluation.fold_means import FoldMeans
    from nestvec.runs.run import Run

CHOSEN = "chosen"  # the name of the row that compares the recommended points
_DETECTABLE = 2.8  # standard errors: 1.96 for the interval and 0.84 for a power of 80 % (Cohen 1988; Sakai 2016)
_NOISE = 1e-9  # differences below this are float noise: two machines may sum in another order


class PointPair(NamedTuple):
    """One row of a comparison: its name, and a point (a system in a vector format) of each of the two runs."""

    name: str
    a: str
    b: str


class PairedValues(NamedTuple):
    """A metric's values in two runs: for each run, an array with the value of each of the q test queries, (q,)."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]


class Together(NamedTuple):
    """Which of the q test queries depend on each other, so that bootstrap and paired test resample them together.

    Attributes:
        groups: (q,) a number for each query's text; queries with the same text are drawn together.
        folds: the folds in which the queries were measured; None without folds.
    """

    groups: NDArray[np.int64]
    folds: FoldMeans | None


@dataclass(frozen=True)
class ComparedPoint:
    """The second run's figures minus the first run's, over the same test queries, for one system and vector format."""

    name: str  # of the point, or `chosen`: the point that each run recommends, or else its best at full width
    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: float
    low: float  # ends of the 95 % interval, not corrected for the number of rows
    high: float
    p: float
    p_holm: float
    effect: float
    wins: int  # queries on which the second run is better
    ties: int
    losses: int
    detectable: float  # the difference that these queries have 80 % power to detect

    @property
    def seen(self) -> bool:
        """Whether the difference is significant: the corrected p-value is small, and the interval excludes 0."""
        return self.p_holm < 1 - LEVEL and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class RunComparison:
    """The comparison of two runs by one metric, with a row for each pair of compared points."""

    a: str  # the first run's folder
    b: str  # the second run's folder
    metric: str
    queries: int  # test queries of both runs
    rows: tuple[ComparedPoint, ...]  # Holm-corrected together; the recommended points come first
    documents: int  # that both runs searched
    seed: int  # of bootstrap and paired test
    resamples: int  # of the bootstrap and of the paired test
    ships: tuple[bool, bool]  # whether the first run recommends a point, and whether the second does
    only_a: tuple[str, ...] = ()  # systems that only the first measured
    only_b: tuple[str, ...] = ()  # systems that only the second measured

    def to_json(self) -> dict[str, Any]:
        """Convert the comparison to JSON values, with the verdict."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {"schema": 1, **plain, "rows": [asdict(row) for row in self.rows], "verdict": self.verdict}

    def save(self, path: Path) -> None:
        """Write the comparison as a JSON file, over an existing file; raise InputError if it cannot be written."""
        if path.is_dir():  # `write_json` would replace a folder, too
            raise InputError("is a folder", "a JSON file to write", file=path)
        try:
            write_json(path, self.to_json())
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", "a JSON file to write", file=path) from error

    @property
    def verdict(self) -> str:
        """Say in a few sentences which run's recommended vectors are better."""
        return " ".join([*self._name_stand_ins(), self._compare_chosen()])

    def _name_stand_ins(self) -> list[str]:
        """Say which runs recommend nothing, and what is compared instead; an empty list if both recommend."""
        names = [f"{run} recommends nothing" for run, ships in zip("AB", self.ships, strict=True) if not ships]
        return [f"{' and '.join(names)}: the best point at full width is compared instead."] if names else []

    def _compare_chosen(self) -> str:
        """Say whether run B's recommended vectors are better or worse than run A's, or not significantly different."""
        row = self.rows[0]
        first = "A's" if row.a == row.b else f"A's {_name_in_words(row.a)}"
        second = f"B's {_name_in_words(row.b)}"
        asked = f"{self.metric} on {self.queries:,} test queries"
        ends = f"[{row.low:+.3f}, {row.high:+.3f}]"
        if row.ties == self.queries:
            return f"{second} and {first} are equal on every query: {asked}."
        if row.seen:
            word = "better" if row.difference > 0 else "worse"
            return f"{second} is {word} than {first} by {row.difference:+.3f} {ends}: {asked}."
        return (
            f"No clear difference between {second} and {first}: {row.difference:+.3f} {ends}, {asked}; "
            f"80 % power to detect {row.detectable:.3f}."
        )


def compare(a: str | Path, b: str | Path, metric: str = "recall@10", everything: bool = False) -> RunComparison:
    """Compare two finished runs, which must have the same test queries.

    The first run decides the seed and the number of resamples. Queries with the same text are resampled together.

    Args:
        a: the first run's folder.
        b: the second run's folder.
        metric: a metric that both runs measured.
        everything: True compares all systems and vector formats that both runs measured; False compares the recommended
            vectors and each system at full width.

    Returns:
        The differences, second run minus first run; one row for each pair of points.

    Raises:
        InputError: a folder holds no finished run, or the runs differ in queries, judgements or metrics.
    """
    first, second = load_run(a), load_run(b)
    seed, resamples = first.config.draws
    rows = compare_points(first, second, metric, _choose_pairs(first, second, everything))
    return RunComparison(
        a=str(a),
        b=str(b),
        metric=metric,
        queries=rows[0].wins + rows[0].ties + rows[0].losses,
        rows=rows,
        documents=first.documents,
        seed=seed,
        resamples=resamples,
        ships=(first.ships, second.ships),
        only_a=_find_only_measured_by(first, second),
        only_b=_find_only_measured_by(second, first),
    )


def compare_points(first: Run, second: Run, metric: str, pairs: list[PointPair]) -> tuple[ComparedPoint, ...]:
    """Compare pairs of points (systems in a vector format) of two finished runs on the test queries.

    Args:
        first: a run; its seed and number of resamples are used.
        second: the run to compare with it.
        metric: a metric that both runs measured.
        pairs: for each row of the result, a point of each run.

    Returns:
        The differences, second run minus first run, one row for each pair; all p-values are corrected together.

    Raises:
        InputError: the runs differ in queries, judgements or metrics.
    """
    refuse_another_task(first, second)
    refuse_unmeasured(metric, first, second)
    before = first.per_query(metric, {pair.a for pair in pairs})
    after = second.per_query(metric, {pair.b for pair in pairs})
    ids = sorted(before[pairs[0].a])
    texts = agree_on_texts(first, second, ids, sorted(after[pairs[0].b]))
    values = [PairedValues(_order_values(before[pair.a], ids), _order_values(after[pair.b], ids)) for pair in pairs]
    groups = np.unique(texts, return_inverse=True)[1]
    return _compare_pairs(pairs, values, Together(groups, find_folds(first, second, ids)), first.config.draws)


def _compare_pairs(
    pairs: list[PointPair], values: list[PairedValues], together: Together, draws: tuple[int, int]
) -> tuple[ComparedPoint, ...]:
    """Measure each pair's difference in the metric, with an interval and a p-value corrected for all pairs."""
    seed, resamples = draws
    rng, groups = np.random.default_rng(seed), together.groups
    bootstrap = Bootstrap(len(groups), resamples, rng, *together)
    gaps = np.stack([paired.b - paired.a for paired in values], axis=1)
    gaps[np.abs(gaps) < _NOISE] = 0
    p = [randomisation_test(gap, resamples, rng, *together) for gap in gaps.T]
    measured = zip(pairs, values, gaps.T, bootstrap.intervals(gaps), p, holm(p), strict=True)
    return tuple(
        ComparedPoint(
            **pair._asdict(),
            mean_a=float(paired.a.mean()),
            mean_b=float(paired.b.mean()),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            p=chance,
            p_holm=corrected,
            effect=effect_size(gap),
            **asdict(count_outcomes(gap)),
            detectable=_detectable_difference(gap, groups),
        )
        for pair, paired, gap, interval, chance, corrected in measured
    )


def _detectable_difference(difference: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return the difference that the test queries can detect with 80 % power: 2.8 standard errors."""
    sums = np.bincount(groups, difference - difference.mean())
    drawn = len(sums)
    if drawn < 2:
        return 0.0
    return _DETECTABLE * float(np.sqrt(drawn / (drawn - 1) * (sums**2).sum())) / len(difference)


def _choose_pairs(first: Run, second: Run, everything: bool) -> list[PointPair]:
    """Choose what to compare: recommended vectors, each system at full width and, if wanted, all vector formats."""
    chosen = (first.chosen.name, second.chosen.name)
    pairs = [
        (point.name, second.full_width[system].name)
        for system, point in first.full_width.items()
        if system in second.full_width
    ]
    if everything:
        pairs += [(name, name) for name in first.points if name in second.points]
    others = [pair for pair in dict.fromkeys(pairs) if pair != chosen]  # no pair is compared twice
    return [PointPair(CHOSEN, *chosen), *(PointPair(b, a, b) for a, b in others)]


def _find_only_measured_by(run: Run, other: Run) -> tuple[str, ...]:
    """Find the systems that `run` measured and `other` did not."""
    shared = {point.system for point in other.points.values()}
    return tuple(dict.fromkeys(point.system for point in run.points.values() if point.system not in shared))


def _order_values(values: dict[str, float], ids: list[str]) -> NDArray[np.float64]:
    """Return the values of a metric, given by query id, as an array in the order of the q `ids`, (q,)."""
    return np.array([values[name] for name in ids])


def _name_in_words(name: str) -> str:
    """Turn the name of a point, such as `mnr.384.int8`, into words: `mnr at 384 in int8`."""
    point = Point.parse(name)
    return point.system if point.dimension is None else f"{point.system} at {point.dimension} in {point.precision}"
