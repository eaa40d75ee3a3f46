"""Makes the rankings: of a system's vectors in every format and in two stages, of BM25, and of both fused.

Each system is encoded once. Its vectors are cut to a dimension, directly or on principal axes (`vectors/cut.py`), and
stored by a codec.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nestvec.evaluation.surface import Ranking
from nestvec.lexical.candidates import Found, Leg, fuse_candidates, gather_candidates
from nestvec.point import BM25, FUSED, HYBRID, LEXICAL, TWO_STAGE, Point, VectorFormat, name_first_stage
from nestvec.settings import DEPTH
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import shorten
from nestvec.vectors.principal_axes import Axes
from nestvec.vectors.topk import rerank, score_pairs, top_k

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Catalogue
    from nestvec.lexical.bm25 import Bm25
    from nestvec.lexical.fusion import Fusion
    from nestvec.point import VectorFormat
    from nestvec.vectors.codecs import Codec

_ROWS = 16_384  # documents that are reordered at a time
_KEPT = 50_000_000  # up to this many BM25 scores (200 MB) are kept, as every point needs them again


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
    """One system's vectors at one dimension and precision, ready for search.

    Attributes:
        point: the system with its dimension and precision.
        queries: (q, n) float32 vectors of the queries.
        codes: the coded vectors of the d documents, in tie order.
        codec: the codec that was fitted on the documents.
    """

    point: Point
    queries: NDArray[np.float32]
    codes: NDArray[np.generic]
    codec: Codec

    def search(self, catalogue: Catalogue) -> Found:
        """Find the best `DEPTH` documents of the catalogue for each query."""
        return _leave_out_own(*top_k(self.queries, self.codes, _ranked_depth(catalogue), self.codec.decode), catalogue)

    def leg(self, found: Found) -> Leg:
        """Turn the results of `search` into a leg that can be fused with BM25."""
        return Leg(found, partial(score_pairs, self.queries, self.codes, self.codec.decode))

    def rank(self, catalogue: Catalogue, found: Found | None = None) -> Ranking:
        """Make the ranking of the results; `found` avoids a second search if `search` was called before."""
        return _make_ranking(self.point, found or self.search(catalogue), catalogue, self.codec)


@dataclass(frozen=True)
class Words:
    """BM25's results for a set of queries.

    Attributes:
        index: the BM25 index.
        asked: the queries' words, as `Bm25.count_queries` counts them.
        found: the best documents of each query.
    """

    index: Bm25
    asked: Any  # a CSR array of SciPy, which has no types
    found: Found

    @cached_property
    def leg(self) -> Leg:
        """The results as a leg to fuse with vectors; all scores are computed once if they fit into memory."""
        if self.asked.shape[0] * self.index.counts.counts.shape[1] > _KEPT:
            return Leg(self.found, partial(self.index.score_pairs, self.asked))
        scores = self.index.score_all(self.asked)
        return Leg(self.found, lambda query, rows: scores[query, rows])


def _ranked_depth(catalogue: Catalogue) -> int:
    """Return how many documents to rank, so that `DEPTH` are left after the query's own document is removed."""
    return DEPTH if catalogue.own is None else DEPTH + 1


def _leave_out_own(rows: NDArray[np.int64], scores: NDArray[np.float32], catalogue: Catalogue) -> Found:
    """Remove each query's own document from (q, k) rows and scores, and cut both to `DEPTH`."""
    depth = DEPTH
    if catalogue.own is not None:
        depth = min(DEPTH, rows.shape[1] - 1)  # in a tiny catalogue others lose their last one, so that rows are alike
        own = np.where(catalogue.own >= 0, catalogue.places[catalogue.own], -1)
        order = np.argsort(rows == own[:, None], axis=1, kind="stable")
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return Found(rows[:, :depth], scores[:, :depth])


def _make_ranking(point: Point, found: Found, catalogue: Catalogue, codec: Codec | None = None) -> Ranking:
    """Convert results, given as positions in tie order, to a ranking of the catalogue's rows."""
    return Ranking(point, catalogue.order[found.rows], found.scores, codec)


def _cut_vectors(vectors: Vectors, order: NDArray[np.int64], dimension: int, axes: Axes | None) -> Vectors:
    """Cut queries and documents to a dimension, and put the documents in the order given."""
    documents = np.empty((len(order), dimension), dtype=np.float32)
    for first in range(0, len(order), _ROWS):
        documents[first : first + _ROWS] = shorten(vectors.documents[order[first : first + _ROWS]], dimension, axes)
    return Vectors(shorten(vectors.queries, dimension, axes), documents)


def code_documents(
    system: str,
    vectors: Vectors,
    catalogue: Catalogue,
    formats: Iterable[VectorFormat],
    codecs: Mapping[VectorFormat, Codec] = MappingProxyType({}),
) -> Iterator[Coded]:
    """Code one system's vectors in several formats: wide before narrow, principal axes after plain cuts.

    Args:
        system: the system's name.
        vectors: the system's vectors, w numbers wide.
        catalogue: the d documents.
        formats: dimensions from 1 to w, and precisions in `CODECS`.
        codecs: codecs that were fitted on these documents before; missing ones are fitted.

    Yields:
        The coded vectors of each format; formats of one dimension come in the order given.
    """
    formats = sorted(formats, key=lambda stored: (-stored.dimension, stored.axes))
    unknown = [stored for stored in formats if stored.axes and stored not in codecs]
    all_axes = Axes.fit(vectors.documents) if unknown else None
    for (dimension, on_axes), group in groupby(formats, key=lambda stored: (stored.dimension, stored.axes)):
        same = list(group)
        axes = next((codecs[stored].axes for stored in same if stored in codecs), None)
        if axes is None and all_axes is not None and on_axes:
            axes = all_axes.first(dimension)
        cut = _cut_vectors(vectors, catalogue.order, dimension, axes)
        for stored in same:
            codec = codecs.get(stored) or CODECS[stored.precision](cut.documents).with_axes(axes)
            yield Coded(Point.of(system, stored), cut.queries, codec.encode(cut.documents), codec)


def rank_dense(
    system: str, vectors: Vectors, catalogue: Catalogue, formats: Iterable[VectorFormat]
) -> Iterator[Ranking]:
    """Rank one system's vectors in each format; formats come in the order of `code_documents`."""
    for coded in code_documents(system, vectors, catalogue, formats):
        yield coded.rank(catalogue)


def rank_two_stage(
    system: str,
    vectors: Vectors,
    catalogue: Catalogue,
    stages: Sequence[VectorFormat],
    shortlist: int,
    codecs: Mapping[VectorFormat, Codec] = MappingProxyType({}),
) -> Ranking:
    """Find a shortlist with a small code, and rerank it with a larger code.

    Args:
        system: the system's name.
        vectors: the system's vectors.
        catalogue: the d documents.
        stages: the format that finds the shortlist, and the format that reranks it.
        shortlist: the number of documents in the shortlist, at least `DEPTH`.
        codecs: codecs that were fitted on these documents before; missing ones are fitted.

    Returns:
        The ranking. Its bytes per vector are those of both codes, as an index stores both; the bytes scanned are those
        of the small code.
    """
    [first], [second] = (list(code_documents(system, vectors, catalogue, [stage], codecs)) for stage in stages)
    shortlist += _ranked_depth(catalogue) - DEPTH
    rows, _ = top_k(first.queries, first.codes, shortlist, first.codec.decode)
    rows, scores = rerank(second.queries, second.codes, rows, second.codec.decode)
    small, large = stages
    point = Point(
        f"{system}{name_first_stage(small)}",
        large.dimension,
        large.precision,
        small.bytes + large.bytes,
        TWO_STAGE,
        small.bytes,
        large.axes,
    )
    return _make_ranking(point, _leave_out_own(rows, scores, catalogue), catalogue)


def ask_words(index: Bm25, queries: Sequence[str], catalogue: Catalogue) -> Words:
    """Search the BM25 index for the best documents of each query."""
    return ask_counted(index, index.count_queries(queries), catalogue)


def ask_counted(index: Bm25, asked: Any, catalogue: Catalogue) -> Words:  # noqa: ANN401 - SciPy has no types
    """Search the BM25 index with queries whose words are counted already, as in `Words.asked`."""
    return Words(index, asked, _leave_out_own(*index.rank(asked, _ranked_depth(catalogue)), catalogue))


def rank_words(words: Words, catalogue: Catalogue, name: str = BM25) -> Ranking:
    """Make the ranking of BM25's results."""
    return _make_ranking(Point(name, None, None, kind=LEXICAL), words.found, catalogue)


def rank_fused(coded: Coded, found: Found, words: Words, fusion: Fusion, catalogue: Catalogue) -> Ranking:
    """Rank by the fused score of vectors and BM25.

    Args:
        coded: the vectors.
        found: the best documents by vectors.
        words: BM25's results.
        fusion: how the two scores are combined.
        catalogue: the d documents.

    Returns:
        The fused ranking; its dimension, precision and bytes are those of the vectors.
    """
    point = replace(coded.point, system=coded.point.system + FUSED, kind=HYBRID)
    candidates = gather_candidates(coded.leg(found), words.leg)
    fused = fuse_candidates(candidates, fusion, found.rows.shape[1])
    return _make_ranking(point, fused, catalogue)
