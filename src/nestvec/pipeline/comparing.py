"""Two finished runs beside each other, query by query: is one better, or is it noise?

Both must have asked the same test queries, against the same judgements and as many documents; then every difference is
paired by query. What is shown is corrected together: asking more (`everything`) makes each answer harder to get.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.evaluation.significance import LEVEL, Bootstrap, count_outcomes, effect_size, holm, randomisation_test
from nestvec.files import write_json
from nestvec.point import Point
from nestvec.runs.run import load_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.runs.run import Run

CHOSEN = "chosen"  # the row of what either run recommends
_DETECTABLE = 2.8  # standard errors: 1.96 for the interval and 0.84 for a power of 80 % (Cohen 1988; Sakai 2016)
_NOISE = 1e-9  # differences below this are float noise: two machines may sum in another order

Pair = tuple[str, str, str]  # the row's name, the first run's point, the second's
Columns = tuple["NDArray[np.float64]", "NDArray[np.float64]"]  # (q,) values of either run


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
        return " ".join([*self._stand_ins(), self._answer()])

    def _stand_ins(self) -> list[str]:
        """Runs that recommend nothing, if any do."""
        names = [f"{where} recommends nothing" for where, ships in zip("AB", self.ships, strict=True) if not ships]
        return [f"{' and '.join(names)}, so the best at full width stands in."] if names else []

    def _answer(self) -> str:
        row = self.rows[0]
        theirs = "A's" if row.a == row.b else f"A's {_spoken(row.a)}"
        mine = f"B's {_spoken(row.b)}"
        asked = f"{self.metric} on {self.queries:,} test queries"
        ends = f"[{row.low:+.3f}, {row.high:+.3f}]"
        if row.ties == self.queries:
            return f"{mine} is as good as {theirs} on every query: {asked}."
        if row.seen:
            word = "better" if row.difference > 0 else "worse"
            return f"{mine} is {word} than {theirs} by {row.difference:+.3f} {ends}: {asked}."
        return (
            f"No difference can be seen between {mine} and {theirs}: {row.difference:+.3f} {ends}, {asked}; "
            f"one of {row.detectable:.3f} would most often have shown."
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
    rows = compare_points(first, second, metric, _pairs(first, second, everything))
    return RunComparison(
        a=str(a),
        b=str(b),
        metric=metric,
        queries=rows[0].wins + rows[0].ties + rows[0].losses,
        rows=rows,
        documents=first.documents,
        seed=first.config.draws[0],
        resamples=first.config.draws[1],
        ships=(first.ships, second.ships),
        only_a=_systems(first, second),
        only_b=_systems(second, first),
    )


def compare_points(first: Run, second: Run, metric: str, pairs: list[Pair]) -> tuple[ComparedPoint, ...]:
    """Compare points of two finished runs on the test queries.

    Args:
        first: a run; its settings decide seed and draws.
        second: another.
        metric: any that both measured.
        pairs: a name for each row, a point of the first run, one of the second.

    Returns:
        The second less the first, pair by pair, corrected together.

    Raises:
        InputError: the two asked other queries, judged or measured otherwise.
    """
    _refuse_another_task(first, second)
    _refuse_metric(metric, first, second)
    before, after = (
        run.per_query(metric, {pair[place] for pair in pairs}) for place, run in enumerate((first, second), start=1)
    )
    ids = sorted(before[pairs[0][1]])
    texts = _agreed_texts(first, second, ids, sorted(after[pairs[0][2]]))
    columns = [(_column(before[pair[1]], ids), _column(after[pair[2]], ids)) for pair in pairs]
    groups = np.unique(texts, return_inverse=True)[1]
    return _compared(pairs, columns, groups, first.config.draws)


def _compared(
    pairs: list[Pair], columns: list[Columns], groups: NDArray[np.int64], draws: tuple[int, int]
) -> tuple[ComparedPoint, ...]:
    """Every pair's difference with its statistics, corrected together."""
    seed, resamples = draws
    rng = np.random.default_rng(seed)
    bootstrap = Bootstrap(len(groups), resamples, rng, groups)
    gaps = np.stack([second - first for first, second in columns], axis=1)
    gaps[np.abs(gaps) < _NOISE] = 0
    p = [randomisation_test(gap, resamples, rng, groups) for gap in gaps.T]
    measured = zip(pairs, columns, gaps.T, bootstrap.intervals(gaps), p, holm(p), strict=True)
    return tuple(
        ComparedPoint(
            name=pair[0],
            a=pair[1],
            b=pair[2],
            mean_a=float(values[0].mean()),
            mean_b=float(values[1].mean()),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            p=chance,
            p_holm=corrected,
            effect=effect_size(gap),
            **asdict(count_outcomes(gap)),
            detectable=_detectable(gap, groups),
        )
        for pair, values, gap, interval, chance, corrected in measured
    )


def _detectable(difference: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """What would show four times in five: so many standard errors of a mean whose groups are drawn together."""
    sums = np.bincount(groups, difference - difference.mean())
    drawn = len(sums)
    if drawn < 2:
        return 0.0
    return _DETECTABLE * float(np.sqrt(drawn / (drawn - 1) * (sums**2).sum())) / len(difference)


def _pairs(first: Run, second: Run, everything: bool) -> list[Pair]:
    """What is compared: what either recommends, then every system at full width, then all else if it is wanted."""
    chosen = (first.chosen.name, second.chosen.name)
    pairs = [
        (point.name, second.full_width[system].name)
        for system, point in first.full_width.items()
        if system in second.full_width
    ]
    if everything:
        pairs += [(name, name) for name in first.points if name in second.points]
    others = [pair for pair in dict.fromkeys(pairs) if pair != chosen]  # nothing is asked twice
    return [(CHOSEN, *chosen), *((pair[1], *pair) for pair in others)]


def _systems(mine: Run, theirs: Run) -> tuple[str, ...]:
    """Systems that the other run did not measure."""
    known = {point.system for point in theirs.points.values()}
    return tuple(dict.fromkeys(point.system for point in mine.points.values() if point.system not in known))


def _column(values: dict[str, float], ids: list[str]) -> NDArray[np.float64]:
    return np.array([values[name] for name in ids])


def _refuse_another_task(first: Run, second: Run) -> None:
    """Raise where the two runs were not judged alike, or did not search as many documents."""
    known = first.root
    facts = [(run.results.relevant_from, run.documents) for run in (first, second)]
    for name, there, here in zip(("relevant_from", "the number of documents searched"), *facts, strict=True):
        if there != here:
            raise InputError(f"{name} is {here:,}", f"{there:,} as in {known}", file=second.folder.path("results"))
    mine, theirs = (
        {(query, document): gain for query, gains in run.judgements.items() for document, gain in gains.items()}
        for run in (first, second)
    )
    apart = [pair for pair in {**mine, **theirs} if mine.get(pair) != theirs.get(pair)]
    if apart:
        queries = len({query for query, _ in apart})
        problem = f"differs from the other run's in {len(apart):,} judgements of {queries:,} test queries"
        raise InputError(problem, f"the judgements of {known}", file=second.folder.path("qrels"))


def _refuse_metric(metric: str, first: Run, second: Run) -> None:
    for run in (first, second):
        if metric not in run.metrics:
            both = [name for name in first.metrics if name in second.metrics]
            wanted = "what both runs measured: " + (", ".join(both) or "nothing")
            raise InputError(f"{metric!r} was not measured", wanted, file=run.folder.path("results"))


def _agreed_texts(first: Run, second: Run, ids: list[str], others: list[str]) -> NDArray[np.str_]:
    """(q,) texts of the queries; raises where their ids differ, or what these stand for."""
    wanted = f"the test queries of {first.root}"
    if ids != others:
        apart = len(set(ids) ^ set(others))
        raise InputError(f"{apart:,} test queries are only in one run", wanted, file=second.folder.path("per_query"))
    texts, theirs = (np.array(list(run.query_texts(ids).values())) for run in (first, second))
    changed = int((texts != theirs).sum())
    if changed:
        raise InputError(f"{changed:,} test queries have another text", wanted, file=second.folder.path("records"))
    return texts


def _spoken(name: str) -> str:
    """`mnr.384.int8` in words."""
    point = Point.parse(name)
    return point.system if point.dimension is None else f"{point.system} at {point.dimension} in {point.precision}"
