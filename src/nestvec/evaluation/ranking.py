"""Rankings by vectors of every dimension and precision, by vectors in two stages, by BM25, and by vectors with BM25.

Each system encodes the texts once. Its vectors are then shortened to each dimension, by keeping the first numbers or by
rotating to principal axes (`vectors/cut.py`), and quantised by a codec.
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

_ROWS = 16_384  # documents that are copied at a time
_KEPT = 50_000_000  # BM25 scores to keep in memory, 200 MB: every point of the surface needs them again


class Vectors(NamedTuple):
    """The vectors that one system made of all queries and documents, before they are shortened and quantised.

    Attributes:
        queries: (q, w) float32, one vector of w numbers and unit length for each of q queries.
        documents: (d, w) float32, one vector of w numbers and unit length for each of d documents.
    """

    queries: NDArray[np.float32]
    documents: NDArray[np.float32]


@dataclass(frozen=True)
class Coded:
    """One system's vectors at one dimension and precision, ready to be searched.

    Attributes:
        point: the system with its dimension and precision.
        queries: float32 vectors of the queries, one per row, shortened to the dimension and of unit length.
        codes: the documents' vectors as stored at this precision, one per row, in the order that decides ties
            (`Catalogue.order`).
        codec: the codec that made the codes, fitted on these documents.
    """

    point: Point
    queries: NDArray[np.float32]
    codes: NDArray[np.generic]
    codec: Codec

    def search(self, catalogue: Catalogue) -> Found:
        """Find the best `DEPTH` documents of the catalogue for each query, without the query's own document."""
        return _leave_out_own(*top_k(self.queries, self.codes, _ranked_depth(catalogue), self.codec.decode), catalogue)

    def leg(self, found: Found) -> Leg:
        """Return what vector search found, with a function that scores any other document, to fuse with BM25."""
        return Leg(found, partial(score_pairs, self.queries, self.codes, self.codec.decode))

    def rank(self, catalogue: Catalogue, found: Found | None = None) -> Ranking:
        """Rank the best documents for each query; `found`, the result of an earlier `search`, saves a second search."""
        return _make_ranking(self.point, found or self.search(catalogue), catalogue, self.codec)


@dataclass(frozen=True)
class Words:
    """The documents and scores that keyword search (BM25) gives for all queries.

    Attributes:
        index: the BM25 index.
        asked: how often each query contains each word that the index knows, as `Bm25.count_queries` counts.
        found: the best documents of each query, with BM25's scores.
    """

    index: Bm25
    asked: Any  # a CSR array of SciPy, which has no types
    found: Found

    @cached_property
    def leg(self) -> Leg:
        """Return BM25's best documents and scores, to fuse with vectors; all scores stay in memory if they fit."""
        if self.asked.shape[0] * self.index.counts.counts.shape[1] > _KEPT:
            return Leg(self.found, partial(self.index.score_pairs, self.asked))
        scores = self.index.score_all(self.asked)
        return Leg(self.found, lambda query, rows: scores[query, rows])


def _ranked_depth(catalogue: Catalogue) -> int:
    """How many documents to rank so that `DEPTH` are left after a query's own document is removed."""
    return DEPTH if catalogue.own is None else DEPTH + 1


def _leave_out_own(rows: NDArray[np.int64], scores: NDArray[np.float32], catalogue: Catalogue) -> Found:
    """Remove each query's own document from (q, k) ranked rows and their scores, and keep `DEPTH` of them."""
    depth = DEPTH
    if catalogue.own is not None:
        depth = min(DEPTH, rows.shape[1] - 1)  # in a tiny catalogue others lose their last one, so that rows are alike
        own = np.where(catalogue.own >= 0, catalogue.places[catalogue.own], -1)
        order = np.argsort(rows == own[:, None], axis=1, kind="stable")
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return Found(rows[:, :depth], scores[:, :depth])


def _make_ranking(point: Point, found: Found, catalogue: Catalogue, codec: Codec | None = None) -> Ranking:
    """Make the `Ranking` of a system at one dimension and precision from the documents that its search found."""
    return Ranking(point, catalogue.order[found.rows], found.scores, codec)


def _cut_vectors(vectors: Vectors, order: NDArray[np.int64], dimension: int, axes: Axes | None) -> Vectors:
    """Shorten the vectors of queries and documents, and put the documents in the given order; copies vectors once."""
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
    """Shorten and quantise one system's vectors to several dimensions and precisions.

    The largest dimension comes first; for each dimension, vectors on principal axes come after those without axes.

    Args:
        system: the system's name.
        vectors: the system's vectors at the model's full width.
        catalogue: the documents.
        formats: the dimensions and precisions, such as `192.int8`; no dimension is larger than the full width.
        codecs: codecs that were fitted on these documents before; missing ones are fitted here.

    Yields:
        The quantised vectors of each format; formats that differ in precision only come in the order given.
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
    """Rank the documents by one system's vectors at each dimension and precision in `formats`."""
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
    """Search with small quantised vectors for a shortlist, and re-rank the shortlist with larger vectors.

    Args:
        system: the system's name.
        vectors: the system's vectors at the model's full width.
        catalogue: the documents.
        stages: the format that makes the shortlist, and the format that re-ranks it.
        shortlist: how many documents are re-ranked, `DEPTH` or more.
        codecs: codecs that were fitted on these documents before; missing ones are fitted here.

    Returns:
        The ranking. Its bytes per vector count small and large vectors, because an index stores both; its scanned bytes
        count the small vectors only.
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
    """Find BM25's best documents for each query."""
    return ask_counted(index, index.count_queries(queries), catalogue)


def ask_counted(index: Bm25, asked: Any, catalogue: Catalogue) -> Words:  # noqa: ANN401 - SciPy has no types
    """Find BM25's best documents for queries whose words are already counted, as `Bm25.count_queries` returns them."""
    return Words(index, asked, _leave_out_own(*index.rank(asked, _ranked_depth(catalogue)), catalogue))


def rank_words(words: Words, catalogue: Catalogue, name: str = BM25) -> Ranking:
    """Make the ranking of keyword search (BM25) alone from the documents that it found."""
    return _make_ranking(Point(name, None, None, kind=LEXICAL), words.found, catalogue)


def rank_fused(coded: Coded, found: Found, words: Words, fusion: Fusion, catalogue: Catalogue) -> Ranking:
    """Rank documents by vector scores fused with BM25's scores.

    Args:
        coded: the quantised vectors.
        found: the best documents of each query by the vectors alone.
        words: the best documents of each query by BM25 alone.
        fusion: how a document's vector score and BM25 score are combined.
        catalogue: the documents that vectors and BM25 rank.

    Returns:
        The fused ranking. Its dimension, precision and bytes are those of the vectors.
    """
    point = replace(coded.point, system=coded.point.system + FUSED, kind=HYBRID)
    candidates = gather_candidates(coded.leg(found), words.leg)
    fused = fuse_candidates(candidates, fusion, found.rows.shape[1])
    return _make_ranking(point, fused, catalogue)
