"""The surface: the metrics of every system at every dimension and precision, with intervals and paired comparisons.

`ranking.py` makes the rankings that are measured here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.split import HELD_OUT
from nestvec.evaluation.fold_means import FoldMeans
from nestvec.evaluation.significance import Bootstrap, count_outcomes, effect_size, holm, randomisation_test
from nestvec.point import HYBRID, Point, full_width
from nestvec.processors import map_in_threads
from nestvec.vectors.topk import tie_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.significance import Interval
    from nestvec.vectors.codecs import Codec

COMPARED = ("recall@10", "mrr@10", "ndcg@10")
_COLUMNS = 256  # columns of values that are resampled together: 20 MB at 10,000 resamples


@dataclass(frozen=True)
class Ranking:
    """The documents that a system at one dimension and precision ranked for q queries.

    Attributes:
        point: the system with its dimension and precision.
        rows: (q, k) the rows in the catalogue of each query's k documents, best first.
        scores: (q, k) float32, the scores of these documents.
        codec: the codec of the documents' vectors; None if the ranking does not come from vectors of one dimension and
            precision, such as BM25's.
    """

    point: Point
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    codec: Codec | None = None


@dataclass(frozen=True)
class Catalogue:
    """The d documents that are searched, and the order in which documents of equal score are ranked.

    Attributes:
        ids: d document ids.
        texts: d texts.
        own: (q,) for each query, the row of the document that is the query itself, which rankings leave out; -1 for a
            query that is not a document. None if no query is a document.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    own: NDArray[np.int64] | None = None

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Position of each of the d documents in the order that decides between equal scores."""
        places = np.empty(len(self.order), dtype=np.int64)
        places[self.order] = np.arange(len(places))
        return places

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows of the d documents in the order that decides between equal scores: the greatest id first."""
        return tie_order(self.ids)


@dataclass(frozen=True)
class Topics:
    """The queries that are measured: those of a held-out split with at least one relevant document.

    Attributes:
        rows: (q,) rows of the data set's queries.
        ids: q query ids.
        splits: (q,) `validation` or `test`.
        texts: (q,) a number for each query's text, so that a bootstrap draws queries with the same text together; None
            if all texts differ.
        folds: (q,) the fold in which each query was measured; None if one training measured all queries.
    """

    rows: NDArray[np.int64]
    ids: Sequence[str]
    splits: NDArray[np.str_]
    texts: NDArray[np.int64] | None = None
    folds: NDArray[np.int64] | None = None

    def texts_of(self, split: str) -> NDArray[np.int64] | None:
        """Select `texts` for the queries of one split; None if all query texts differ."""
        return None if self.texts is None else self.texts[self.splits == split]

    def bootstraps(self, resamples: int, rng: np.random.Generator) -> dict[str, Bootstrap]:
        """Make a bootstrap for each split that has queries, validation first."""
        sizes = {split: int((self.splits == split).sum()) for split in HELD_OUT}
        return {
            split: Bootstrap(size, resamples, rng, self.texts_of(split), self.folds_of(split))
            for split, size in sizes.items()
            if size
        }

    def folds_of(self, split: str) -> FoldMeans | None:
        """Select the folds of one split's queries; None if one trained model measured all queries."""
        return None if self.folds is None else FoldMeans(self.folds[self.splits == split])


Values = dict[Point, dict[str, "NDArray[np.float64]"]]  # per point and metric, (q,) values in the topics' order


def summarise_surface(
    values: Values, topics: Topics, documents: int, bootstraps: dict[str, Bootstrap]
) -> list[dict[str, Any]]:
    """Compute every metric's mean and interval, by system, dimension, precision and split, for `results.json`."""
    intervals = {split: _find_intervals(values, topics.splits == split, one) for split, one in bootstraps.items()}
    return [
        {
            **asdict(point),
            "split": split,
            "queries": bootstrap.queries,
            "documents": documents,
            "metrics": {name: asdict(next(intervals[split])) for name in metrics},
        }
        for point, metrics in values.items()
        for split, bootstrap in bootstraps.items()
    ]


def _find_intervals(values: Values, chosen: NDArray[np.bool_], bootstrap: Bootstrap) -> Iterator[Interval]:
    """Compute mean and interval of every metric over the chosen queries, for every system, dimension and precision."""
    columns = [metric[chosen] for metrics in values.values() for metric in metrics.values()]
    return iter(_resample_columns(columns, bootstrap))


def _resample_columns(columns: Sequence[NDArray[np.float64]], bootstrap: Bootstrap) -> list[Interval]:
    """Compute mean and interval of each column of values; up to `_COLUMNS` columns are resampled together."""
    parts = [columns[first : first + _COLUMNS] for first in range(0, len(columns), _COLUMNS)]
    intervals = map_in_threads(lambda part: bootstrap.intervals(np.stack(part, axis=1)), parts)
    return [interval for part in intervals for interval in part]


def compare_systems(
    values: Values, topics: Topics, bootstrap: Bootstrap, resamples: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Compare all systems at full width and precision, pair by pair on the test split, Holm-corrected together.

    The p-values are corrected for all comparisons that the report shows: every pair among BM25, the systems and the
    systems fused with BM25, in three metrics.

    Args:
        values: the value of each query by metric, for every system, dimension and precision.
        topics: the queries that were measured.
        bootstrap: the resamples of the test queries.
        resamples: the number of random sign vectors of each randomisation test.
        rng: the generator of the signs.

    Returns:
        The comparisons, as they are written to `results.json`.
    """
    test = topics.splits == "test"
    shown = full_width(point for point in values if point.is_alone or point.kind == HYBRID)
    compared = [(*pair, metric) for pair in combinations(reversed(shown), 2) for metric in COMPARED]
    differences = [values[a][metric][test] - values[b][metric][test] for a, b, metric in compared]
    together = topics.texts_of("test"), topics.folds_of("test")
    family: list[dict[str, Any]] = []
    for (a, b, metric), difference, entry in zip(
        compared, differences, _resample_columns(differences, bootstrap), strict=True
    ):
        row: dict[str, Any] = {"a": a.name, "b": b.name, "split": "test", "metric": metric}
        row |= {"difference": entry.value, "low": entry.low, "high": entry.high}
        row |= {"effect": effect_size(difference), **asdict(count_outcomes(difference))}
        family.append({**row, "p": randomisation_test(difference, resamples, rng, *together)})
    corrected = holm([entry["p"] for entry in family])
    return [{**entry, "p_holm": p} for entry, p in zip(family, corrected, strict=True)]
