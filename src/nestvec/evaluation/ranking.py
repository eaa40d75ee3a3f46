"""What ranks: a system's vectors at every dimension and precision, in two stages, on principal axes; BM25; both fused.

One encoding per system goes in; a dimension is a re-normalised prefix of it and a precision a codec over that prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.evaluation.baselines import bm25_top_k, principal_axes
from nestvec.evaluation.surface import Ranking
from nestvec.point import BM25, FULL, HYBRID, PCA, TWO_STAGE, Point
from nestvec.settings import DEPTH
from nestvec.vectors.codecs import CODECS, prefix
from nestvec.vectors.topk import rerank, top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Catalogue
    from nestvec.point import VectorFormat
    from nestvec.vectors.codecs import Codec

    Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]  # (q, w) of the queries and (d, w) of the documents

_ROWS = 16_384  # documents put in order at a time
_RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors have it


@dataclass(frozen=True)
class Coded:
    """One system at one dimension and precision, ready to be searched.

    Attributes:
        point: where on the surface.
        queries: (q, n) float32.
        codes: of the d documents, in tie order.
        codec: fitted on them.
    """

    point: Point
    queries: NDArray[np.float32]
    codes: NDArray[np.generic]
    codec: Codec

    def ranking(self, order: NDArray[np.int64]) -> Ranking:
        """The best `DEPTH` documents for each query; `order` has their rows in the catalogue."""
        rows, scores = top_k(self.queries, self.codes, DEPTH, self.codec.decode)
        return Ranking(self.point, order[rows], scores, self.codec)


def code(system: str, sides: Vectors, precision: str) -> Coded:
    """Fit a codec on documents and code them.

    Args:
        system: its name.
        sides: (q, n) queries and (d, n) documents at the dimension wanted, float32, rows of unit length.
        precision: in `CODECS`.

    Returns:
        What can be searched.
    """
    codec = CODECS[precision](sides[1])
    point = Point(system, sides[1].shape[1], precision, codec.bytes_per_vector)
    return Coded(point, sides[0], codec.encode(sides[1]), codec)


def cut(vectors: Vectors, order: NDArray[np.int64], dimension: int) -> Vectors:
    """The prefixes of queries and documents, the documents in the order given; the whole is copied once."""
    held = np.empty((len(order), dimension), dtype=np.float32)
    for first in range(0, len(order), _ROWS):
        held[first : first + _ROWS] = prefix(vectors[1][order[first : first + _ROWS]], dimension)
    return prefix(vectors[0], dimension), held


def rank_dense(
    system: str, vectors: Vectors, catalogue: Catalogue, grid: tuple[Sequence[int], Sequence[str]]
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
    for dimension in sorted(grid[0], reverse=True):
        sides = cut(vectors, catalogue.order, dimension)
        for precision in grid[1]:
            yield code(system, sides, precision).ranking(catalogue.order)


def rank_two_stage(
    system: str, vectors: Vectors, catalogue: Catalogue, stages: tuple[VectorFormat, VectorFormat], shortlist: int
) -> Ranking:
    """Take the best by a small code, and rank these by a larger one.

    Args:
        system: its name.
        vectors: as for `rank_dense`.
        catalogue: the d documents.
        stages: the format that makes the shortlist, and the format that ranks it.
        shortlist: documents that the first hands on, `DEPTH` or more.

    Returns:
        The ranking; its bytes are of both codes, for an index needs both, and those scanned are the first's.
    """
    order = catalogue.order
    first, second = (code(system, cut(vectors, order, stage.dimension), stage.precision) for stage in stages)
    rows, _ = top_k(first.queries, first.codes, shortlist, first.codec.decode)
    rows, scores = rerank(second.queries, second.codes, rows, second.codec.decode)
    scanned = first.codec.bytes_per_vector
    point = Point(
        f"{system}-via-{stages[0].dimension}-{stages[0].precision}",
        stages[1].dimension,
        stages[1].precision,
        scanned + second.codec.bytes_per_vector,
        TWO_STAGE,
        scanned,
    )
    return Ranking(point, order[rows[:, :DEPTH]], scores[:, :DEPTH])


def rank_principal(system: str, vectors: Vectors, catalogue: Catalogue, dimensions: Sequence[int]) -> Iterator[Ranking]:
    """Rank with a system's vectors turned to the documents' principal axes and cut there: the usual way to shrink.

    Args:
        system: its name.
        vectors: as for `rank_dense`.
        catalogue: the d documents.
        dimensions: how many axes to keep.

    Yields:
        One ranking per dimension, in float32.
    """
    turned = principal_axes(*vectors)
    for ranking in rank_dense(f"{system}-pca", turned, catalogue, (dimensions, (FULL,))):
        yield replace(ranking, point=replace(ranking.point, kind=PCA))


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


def fuse(dense: Ranking, lexical: Ranking, catalogue: Catalogue) -> Ranking:
    """Two rankings as one: a document scores the sum of 1 / (60 + its rank) over both.

    Source: Cormack, Clarke & Buettcher 2009. Of each ranking `DEPTH` documents take part.

    Args:
        dense: by vectors.
        lexical: by words.
        catalogue: what both rank.

    Returns:
        The fused ranking; its dimension, precision and bytes are those of the vectors.
    """
    place = np.empty(len(catalogue.order), dtype=np.int64)
    place[catalogue.order] = np.arange(len(place))  # in tie order
    points = 1 / (_RANK_CONSTANT + 1 + np.arange(dense.rows.shape[1]))
    rows, scores = np.empty_like(dense.rows), np.empty_like(dense.scores)
    for query, pair in enumerate(zip(dense.rows, lexical.rows, strict=True)):
        found, at = np.unique(place[np.concatenate(pair)], return_inverse=True)
        total = np.bincount(at, np.tile(points, 2)).astype(np.float32)
        best = np.argsort(-total, kind="stable")[: dense.rows.shape[1]]
        rows[query], scores[query] = catalogue.order[found[best]], total[best]
    point = replace(dense.point, system=f"{dense.point.system}+{lexical.point.system}", kind=HYBRID)
    return Ranking(point, rows, scores)
