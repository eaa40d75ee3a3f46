"""Two finished runs beside each other, query by query: is one better, or is it noise?

Both must have asked the same test queries, against the same judgements and as many documents; then every difference is
paired by query. What is shown is corrected together: asking more (`everything`) makes each answer harder to get.
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

CHOSEN = "chosen"  # the row of what either run recommends
_DETECTABLE = 2.8  # standard errors: 1.96 for the interval and 0.84 for a power of 80 % (Cohen 1988; Sakai 2016)
_NOISE = 1e-9  # differences below this are float noise: two machines may sum in another order


class PointPair(NamedTuple):
    """What is compared: a name for the row, and the names of a point of either run."""

    name: str
    a: str
    b: str


class PairedValues(NamedTuple):
    """(q,) values of either run at a pair of points, query by query."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]


class Together(NamedTuple):
    """(q,) numbers of the queries' texts, the same text being one draw; and in which folds they were measured."""

    groups: NDArray[np.int64]
    folds: FoldMeans | None


@dataclass(frozen=True)
class ComparedPoint:
    """The second run less the first at one point, over the same test queries."""

    name: str  # of the point, or `chosen`: what each run recommends, or its best at full width
    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: float
    low: float  # ends of the 95 % interval, not corrected for what else is shown
    high: float
    p: float
    p_holm: float
    effect: float
    wins: int  # queries on which the second run is better
    ties: int
    losses: int
    detectable: float  # the difference that as many queries with this spread would show four times in five

    @property
    def seen(self) -> bool:
        """Whether a difference is seen: corrected for all that is shown, and outside the interval."""
        return self.p_holm < 1 - LEVEL and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class RunComparison:
    """Two runs compared."""

    a: str  # the first run's folder
    b: str  # the second's
    metric: str
    queries: int  # test queries that both asked
    rows: tuple[ComparedPoint, ...]  # Holm-corrected together; what the runs recommend comes first
    documents: int  # that both searched
    seed: int  # of the draws
    resamples: int  # of the bootstrap and of the paired test
    ships: tuple[bool, bool]  # whether the first run recommends something, and the second
    only_a: tuple[str, ...] = ()  # systems that only the first measured
    only_b: tuple[str, ...] = ()  # systems that only the second measured

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {"schema": 1, **plain, "rows": [asdict(row) for row in self.rows], "verdict": self.verdict}

    def save(self, path: Path) -> None:
        """Write the JSON file; one that is there is replaced. Raises InputError where it cannot be written."""
        if path.is_dir():  # which would be replaced as well
            raise InputError("is a folder", "a JSON file to write", file=path)
        try:
            write_json(path, self.to_json())
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", "a JSON file to write", file=path) from error

    @property
    def verdict(self) -> str:
        """What came out for the two recommended points, in a few sentences."""
        return " ".join([*self._name_stand_ins(), self._compare_chosen()])

    def _name_stand_ins(self) -> list[str]:
        """Say which runs recommend nothing, if any do."""
        names = [f"{run} recommends nothing" for run, ships in zip("AB", self.ships, strict=True) if not ships]
        return [f"{' and '.join(names)}, so the best at full width stands in."] if names else []

    def _compare_chosen(self) -> str:
        """Say whether B's recommended point is better or worse than A's, or no difference can be seen."""
        row = self.rows[0]
        first = "A's" if row.a == row.b else f"A's {_name_in_words(row.a)}"
        second = f"B's {_name_in_words(row.b)}"
        asked = f"{self.metric} on {self.queries:,} test queries"
        ends = f"[{row.low:+.3f}, {row.high:+.3f}]"
        if row.ties == self.queries:
            return f"{second} is as good as {first} on every query: {asked}."
        if row.seen:
            word = "better" if row.difference > 0 else "worse"
            return f"{second} is {word} than {first} by {row.difference:+.3f} {ends}: {asked}."
        return (
            f"No clear difference between {second} and {first}: {row.difference:+.3f} {ends}, {asked}; "
            f"80 % power to detect {row.detectable:.3f}."
        )


def compare(a: str | Path, b: str | Path, metric: str = "recall@10", everything: bool = False) -> RunComparison:
    """Compare two finished runs on the test queries, which must be the same.

    The first run's settings decide seed and draws. A query text that is asked more than once is one draw.

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
    """Compare points of two finished runs on the test queries.

    Args:
        first: a run; its settings decide seed and draws.
        second: another.
        metric: any that both measured.
        pairs: the points to compare.

    Returns:
        The second less the first, pair by pair, corrected together.

    Raises:
        InputError: the two asked other queries, judged or measured otherwise.
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
    """Measure every pair's difference with its statistics, corrected together."""
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
    """The difference that would show four times in five: standard errors of a mean whose groups are drawn together."""
    sums = np.bincount(groups, difference - difference.mean())
    drawn = len(sums)
    if drawn < 2:
        return 0.0
    return _DETECTABLE * float(np.sqrt(drawn / (drawn - 1) * (sums**2).sum())) / len(difference)


def _choose_pairs(first: Run, second: Run, everything: bool) -> list[PointPair]:
    """Choose the pairs: what either run recommends, then every system at full width, then all else if it is wanted."""
    chosen = (first.chosen.name, second.chosen.name)
    pairs = [
        (point.name, second.full_width[system].name)
        for system, point in first.full_width.items()
        if system in second.full_width
    ]
    if everything:
        pairs += [(name, name) for name in first.points if name in second.points]
    others = [pair for pair in dict.fromkeys(pairs) if pair != chosen]  # nothing is asked twice
    return [PointPair(CHOSEN, *chosen), *(PointPair(b, a, b) for a, b in others)]


def _find_only_measured_by(run: Run, other: Run) -> tuple[str, ...]:
    """Find the systems that one run measured and the other did not."""
    shared = {point.system for point in other.points.values()}
    return tuple(dict.fromkeys(point.system for point in run.points.values() if point.system not in shared))


def _order_values(values: dict[str, float], ids: list[str]) -> NDArray[np.float64]:
    """Order values by the queries' ids: (q,)."""
    return np.array([values[name] for name in ids])


def _name_in_words(name: str) -> str:
    """Write a point's name, such as `mnr.384.int8`, in words."""
    point = Point.parse(name)
    return point.system if point.dimension is None else f"{point.system} at {point.dimension} in {point.precision}"
