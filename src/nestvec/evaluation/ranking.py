"""What ranks: a system's vectors at every dimension and precision, in two stages, on principal axes; BM25; both fused.

One encoding per system goes in; a dimension is a re-normalised prefix of it and a precision a codec over that prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.evaluation.surface import Ranking
from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.words import WordForms
from nestvec.point import BM25, FULL, HYBRID, PCA, TWO_STAGE, Point, VectorFormat
from nestvec.settings import DEPTH
from nestvec.vectors.codecs import CODECS, prefix
from nestvec.vectors.principal_axes import principal_axes
from nestvec.vectors.topk import rerank, top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Catalogue
    from nestvec.point import VectorFormat
    from nestvec.vectors.codecs import Codec

_ROWS = 16_384  # documents put in order at a time
_RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors have it


class Vectors(NamedTuple):
    """One encoding of queries and documents.

    Attributes:
        queries: (q, w) float32, rows of unit length.
        documents: (d, w) float32, rows of unit length.
    """

    queries: NDArray[np.float32]
    documents: NDArray[np.float32]


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

    def rank(self, catalogue: Catalogue) -> Ranking:
        """Rank the best `DEPTH` documents of the catalogue for each query."""
        rows, scores = top_k(self.queries, self.codes, _ranked_depth(catalogue), self.codec.decode)
        return _make_ranking(self.point, rows, scores, catalogue, self.codec)


def _ranked_depth(catalogue: Catalogue) -> int:
    """How many documents to rank, so that `DEPTH` are left when the query itself is left out."""
    return DEPTH if catalogue.own is None else DEPTH + 1


def _make_ranking(
    point: Point,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    catalogue: Catalogue,
    codec: Codec | None = None,
) -> Ranking:
    """A ranking of (q, k) rows in tie order, without each query's own document, cut to `DEPTH`."""
    rows, depth = catalogue.order[rows], DEPTH
    if catalogue.own is not None:
        depth = min(DEPTH, rows.shape[1] - 1)  # in a tiny catalogue others lose their last one, so that rows are alike
        order = np.argsort(rows == catalogue.own[:, None], axis=1, kind="stable")
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return Ranking(point, rows[:, :depth], scores[:, :depth], codec)


def _code_documents(system: str, cut: Vectors, precision: str) -> Coded:
    codec = CODECS[precision](cut.documents)
    point = Point.of(system, VectorFormat(cut.documents.shape[1], precision))
    return Coded(point, cut.queries, codec.encode(cut.documents), codec)


def _cut_vectors(vectors: Vectors, order: NDArray[np.int64], dimension: int) -> Vectors:
    """The prefixes of queries and documents, the documents in the order given; the whole is copied once."""
    documents = np.empty((len(order), dimension), dtype=np.float32)
    for first in range(0, len(order), _ROWS):
        documents[first : first + _ROWS] = prefix(vectors.documents[order[first : first + _ROWS]], dimension)
    return Vectors(prefix(vectors.queries, dimension), documents)


def rank_dense(
    system: str, vectors: Vectors, catalogue: Catalogue, formats: Iterable[VectorFormat]
) -> Iterator[Ranking]:
    """Rank with one system's vectors in several formats, wide before narrow.

    Args:
        system: its name.
        vectors: w numbers wide.
        catalogue: the d documents.
        formats: dimensions from 1 to w, and precisions in `CODECS`.

    Yields:
        One ranking per format; those of one dimension in the order given.
    """
    widest_first = sorted(formats, key=lambda stored: -stored.dimension)
    for dimension, same in groupby(widest_first, key=lambda stored: stored.dimension):
        cut = _cut_vectors(vectors, catalogue.order, dimension)
        for stored in same:
            yield _code_documents(system, cut, stored.precision).rank(catalogue)


def rank_two_stage(
    system: str, vectors: Vectors, catalogue: Catalogue, stages: Sequence[VectorFormat], shortlist: int
) -> Ranking:
    """Take the best by a small code, and rank these by a larger one.

    Args:
        system: its name.
        vectors: as for `rank_dense`.
        catalogue: the d documents.
        stages: the format of the shortlist's vectors, and that of those that rank it.
        shortlist: documents that the first stage hands on, `DEPTH` or more.

    Returns:
        The ranking; its bytes are of both codes, for an index needs both, and those scanned are the first's.
    """
    order = catalogue.order
    first, second = (
        _code_documents(system, _cut_vectors(vectors, order, stage.dimension), stage.precision) for stage in stages
    )
    shortlist += _ranked_depth(catalogue) - DEPTH
    rows, _ = top_k(first.queries, first.codes, shortlist, first.codec.decode)
    rows, scores = rerank(second.queries, second.codes, rows, second.codec.decode)
    small, large = stages
    point = Point(
        f"{system}-via-{small.dimension}-{small.precision}",
        large.dimension,
        large.precision,
        small.bytes + large.bytes,
        TWO_STAGE,
        small.bytes,
    )
    return _make_ranking(point, rows, scores, catalogue)


def rank_principal(system: str, vectors: Vectors, catalogue: Catalogue, dimensions: Sequence[int]) -> Iterator[Ranking]:
    """Rank in float32 by vectors turned to the documents' principal axes and cut there: the usual way to shrink."""
    turned = Vectors(*principal_axes(*vectors))
    formats = [VectorFormat(dimension, FULL) for dimension in dimensions]
    for ranking in rank_dense(f"{system}-pca", turned, catalogue, formats):
        yield replace(ranking, point=replace(ranking.point, kind=PCA))


def rank_bm25(
    queries: Sequence[str],
    catalogue: Catalogue,
    language: str = "english",
    advance: Callable[[int], None] = lambda _: None,
) -> Ranking:
    """Rank with BM25 over the documents' texts; `advance` is told the number of queries done since the last call."""
    settings = LexicalSettings(WordForms(language))
    index = Bm25.of([catalogue.texts[row] for row in catalogue.order], settings)
    rows, scores = index.top_k(queries, _ranked_depth(catalogue), advance)
    return _make_ranking(Point(BM25, None, None), rows, scores, catalogue)


def fuse_rankings(dense: Ranking, lexical: Ranking, catalogue: Catalogue) -> Ranking:
    """Fuse two rankings: a document scores the sum of 1 / (60 + its rank) over both.

    Source: Cormack, Clarke & Buettcher 2009. Of each ranking `DEPTH` documents take part.

    Args:
        dense: by vectors.
        lexical: by words.
        catalogue: what both rank.

    Returns:
        The fused ranking; its dimension, precision and bytes are those of the vectors.
    """
    ties = np.empty(len(catalogue.order), dtype=np.int64)
    ties[catalogue.order] = np.arange(len(ties))  # each document's place in tie order
    points = 1 / (_RANK_CONSTANT + 1 + np.arange(dense.rows.shape[1]))
    rows, scores = np.empty_like(dense.rows), np.empty_like(dense.scores)
    for query, pair in enumerate(zip(dense.rows, lexical.rows, strict=True)):
        candidates, at = np.unique(ties[np.concatenate(pair)], return_inverse=True)
        total = np.bincount(at, np.tile(points, 2)).astype(np.float32)
        best = np.argsort(-total, kind="stable")[: dense.rows.shape[1]]
        rows[query], scores[query] = catalogue.order[candidates[best]], total[best]
    point = replace(dense.point, system=f"{dense.point.system}+{lexical.point.system}", kind=HYBRID)
    return Ranking(point, rows, scores)
