"""The surface: every system at every dimension and precision, ranked once and measured per query.

One encoding per system goes in; a dimension is a re-normalised prefix of it and a precision a codec over that prefix.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.evaluation.baselines import BM25, bm25_top_k
from nestvec.evaluation.significance import Bootstrap, holm, randomisation_test
from nestvec.vectors.codecs import CODECS, prefix
from nestvec.vectors.topk import tie_order, top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.evaluation.significance import Interval

DEPTH = 100  # documents of a ranking that are kept
FULL = "float32"
_HAIR = np.float32(1e-12)  # below a score of 0, where a float32's own steps are too fine for some readers
COMPARED = ("recall@10", "mrr@10", "ndcg@10")


@dataclass(frozen=True, order=True)
class Point:
    """A place on the surface: one thing that ranks, and what its vectors take.

    Attributes:
        system: its name.
        dimension: width of the prefix; None for a system without vectors.
        precision: a name in `CODECS`; None for a system without vectors.
        bytes_per_vector: what a document takes; None for a system without vectors.
    """

    system: str
    dimension: int | None
    precision: str | None
    bytes_per_vector: int | None

    @property
    def name(self) -> str:
        """As run files and comparisons are named: `mnr.48.int8`, `bm25`."""
        return self.system if self.dimension is None else f"{self.system}.{self.dimension}.{self.precision}"


@dataclass(frozen=True)
class Ranking:
    """What a point ranks for each of q queries.

    Attributes:
        point: where on the surface.
        rows: (q, k) documents, best first, as rows of the catalogue.
        scores: (q, k) float32.
    """

    point: Point
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Catalogue:
    """What is searched: d documents, and their rows in tie order.

    Attributes:
        ids: d document ids.
        texts: d texts.
    """

    ids: Sequence[str]
    texts: Sequence[str]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(d,) rows from the greatest id to the smallest."""
        return tie_order(self.ids)


@dataclass(frozen=True)
class Topics:
    """The queries that are measured: those of a held-out split with at least one relevant document.

    Attributes:
        rows: (q,) rows of the data set's queries.
        ids: q query ids.
        splits: (q,) `validation` or `test`.
    """

    rows: NDArray[np.int64]
    ids: Sequence[str]
    splits: NDArray[np.str_]


Values = dict[Point, dict[str, "NDArray[np.float64]"]]  # per point and metric, (q,) values in the topics' order


def rank_dense(
    system: str,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    catalogue: Catalogue,
    grid: tuple[Sequence[int], Sequence[str]],
) -> Iterator[Ranking]:
    """Rank with one system's vectors at every dimension and precision, wide before narrow.

    Args:
        system: its name.
        vectors: (q, w) of the queries and (d, w) of the documents, float32, rows of unit length.
        catalogue: the d documents.
        grid: dimensions, each 1 … w, and precisions in `CODECS`.

    Yields:
        One ranking per dimension and precision.
    """
    order = catalogue.order
    queries, documents = vectors[0], vectors[1][order]
    for dimension in sorted(grid[0], reverse=True):
        asked, held = prefix(queries, dimension), prefix(documents, dimension)
        for precision in grid[1]:
            codec = CODECS[precision](held)
            rows, scores = top_k(asked, codec.decode(codec.encode(held)), DEPTH)
            yield Ranking(Point(system, dimension, precision, codec.bytes_per_vector), order[rows], scores)


def rank_bm25(queries: Sequence[str], catalogue: Catalogue, advance: Callable[[int], None] = lambda _: None) -> Ranking:
    """Rank with BM25 over the documents' texts.

    Args:
        queries: q texts.
        catalogue: the documents.
        advance: called with the number of queries done since the last call.

    Returns:
        The ranking.
    """
    order = catalogue.order
    rows, scores = bm25_top_k(queries, [catalogue.texts[row] for row in order], DEPTH, advance)
    return Ranking(Point(BM25, None, None, None), order[rows], scores)


def summarise(values: Values, topics: Topics, documents: int, bootstraps: dict[str, Bootstrap]) -> list[dict[str, Any]]:
    """Rows of the surface as `results.json` has them: means per point and split with their intervals.

    Args:
        values: per query.
        topics: the queries.
        documents: how many are ranked.
        bootstraps: one per split.

    Returns:
        Rows for `results.json`.
    """
    rows = []
    for point, metrics in values.items():
        for split, bootstrap in bootstraps.items():
            chosen = topics.splits == split
            columns = np.stack([metric[chosen] for metric in metrics.values()], axis=1)
            intervals: list[Interval] = bootstrap.intervals(columns)
            rows.append(
                {
                    **asdict(point),
                    "split": split,
                    "queries": int(chosen.sum()),
                    "documents": documents,
                    "metrics": {name: asdict(entry) for name, entry in zip(metrics, intervals, strict=True)},
                }
            )
    return rows


def compare(
    values: Values, topics: Topics, bootstrap: Bootstrap, resamples: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Paired comparisons on the test split of all systems at full width and precision, Holm-corrected together.

    Args:
        values: per query.
        topics: the queries.
        bootstrap: over the test queries.
        resamples: of the randomisation test.
        rng: decides its signs.

    Returns:
        Comparisons for `results.json`.
    """
    test = topics.splits == "test"
    family: list[dict[str, Any]] = []
    for a, b in combinations(reversed(full_width(values)), 2):
        for metric in COMPARED:
            difference = values[a][metric][test] - values[b][metric][test]
            entry = bootstrap.interval(difference)
            p = randomisation_test(difference, resamples, rng)
            found = {"a": a.name, "b": b.name, "split": "test", "metric": metric}
            family.append({**found, "difference": entry.value, "low": entry.low, "high": entry.high, "p": p})
    corrected = holm([entry["p"] for entry in family])
    return [{**entry, "p_holm": p} for entry, p in zip(family, corrected, strict=True)]


def full_width(values: Iterable[Point]) -> list[Point]:
    """Every system at its widest and most precise, BM25 first, then in the order measured."""
    widest: dict[str, Point] = {}
    for point in values:
        best = widest.setdefault(point.system, point)
        if (point.bytes_per_vector or 0) > (best.bytes_per_vector or 0):
            widest[point.system] = point
    return sorted(widest.values(), key=lambda point: point.dimension is not None)


def write_trec_run(ranking: Ranking, topics: Topics, catalogue: Catalogue, path: Path) -> None:
    """Write the test split's rankings as a TREC run file.

    Scores keep every bit of a float32, but for ties: tools break them in different ways, so each tied document is
    written a hair below the one ranked before it, and every tool reads our order.

    Args:
        ranking: of all topics.
        topics: the queries.
        catalogue: the documents.
        path: where to.
    """
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for row in np.flatnonzero(topics.splits == "test").tolist():
            scores = _strictly_falling(ranking.scores[row])
            for rank, (document, score) in enumerate(zip(ranking.rows[row].tolist(), scores, strict=True), start=1):
                identifier = catalogue.ids[document]
                stream.write(f"{topics.ids[row]} Q0 {identifier} {rank} {score:.9g} {ranking.point.name}\n")


def _strictly_falling(scores: NDArray[np.float32]) -> list[float]:
    """Falling scores with each tie lowered by the smallest step that a float32 can show."""
    written: list[float] = scores.tolist()
    for rank in range(1, len(written)):
        if written[rank] >= written[rank - 1]:
            above = np.float32(written[rank - 1])
            written[rank] = float(above - max(np.spacing(abs(above)), _HAIR))
    return written


def save_values(values: Values, topics: Topics, path: Path) -> None:
    """Write every query's value of every metric at every point as Parquet.

    Args:
        values: per query.
        topics: the queries.
        path: where to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("split", pa.string()),
            ("system", pa.string()),
            ("dimension", pa.int32()),
            ("precision", pa.string()),
            ("query_id", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
        ]
    )
    count = len(topics.ids)
    splits, ids = topics.splits.tolist(), list(topics.ids)
    with pq.ParquetWriter(path, schema) as writer:
        for point, metrics in values.items():
            for name, column in metrics.items():
                same = [[entry] * count for entry in (point.system, point.dimension, point.precision)]
                writer.write_table(pa.table([splits, *same, ids, [name] * count, column], schema=schema))
