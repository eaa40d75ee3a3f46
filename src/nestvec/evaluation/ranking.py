"""Rankings by vectors in every format, by vectors in two stages, by BM25, and by vectors fused with BM25.

Each system encodes the texts once. Its vectors are then shortened to each dimension, as they are or on principal axes
(`vectors/cut.py`), and quantised by a codec.
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
    """One encoding of queries and documents.

    Attributes:
        queries: (q, w) float32, rows of unit length.
        documents: (d, w) float32, rows of unit length.
    """

    queries: NDArray[np.float32]
    documents: NDArray[np.float32]


@dataclass(frozen=True)
class Coded:
    """One system's vectors at one dimension and precision, ready to be searched.

    Attributes:
        point: system, dimension and precision.
        queries: (q, n) float32, shortened and of unit length.
        codes: the codes of the d documents, in the order that decides ties (`Catalogue.order`).
        codec: the codec that was fitted on these documents.
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
        """Rank the documents for each query; `found` is the result of `search`, where that was called before."""
        return _make_ranking(self.point, found or self.search(catalogue), catalogue, self.codec)


@dataclass(frozen=True)
class Words:
    """The documents and scores that keyword search (BM25) gives for all queries.

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
    """Shorten queries and documents, and put the documents in the given order; the vectors are copied once."""
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
    """Quantise one system's vectors in several formats: the widest dimension first, principal axes after plain cuts.

    Args:
        system: the system's name.
        vectors: its vectors, w numbers wide.
        catalogue: the d documents.
        formats: dimensions from 1 to w, and precisions in `CODECS`.
        codecs: codecs that were fitted on these documents before; codecs of other formats are fitted here.

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
    """Rank by one system's vectors in each format; arguments as for `code_documents`."""
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
        vectors: as for `rank_dense`.
        catalogue: the d documents.
        stages: the format that makes the shortlist, and the format that re-ranks it.
        shortlist: how many documents are re-ranked, `DEPTH` or more.
        codecs: as for `code_documents`.

    Returns:
        The ranking. Its bytes per vector count both codes, because an index stores both; its scanned bytes are those of
        the first code.
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
    """Rank by BM25 alone."""
    return _make_ranking(Point(name, None, None, kind=LEXICAL), words.found, catalogue)


def rank_fused(coded: Coded, found: Found, words: Words, fusion: Fusion, catalogue: Catalogue) -> Ranking:
    """Rank by vectors fused with BM25.

    Args:
        coded: the vectors.
        found: the best documents by the vectors.
        words: BM25's answers.
        fusion: how the two scores of a document are combined.
        catalogue: the documents that both rank.

    Returns:
        The fused ranking. Its dimension, precision and bytes are those of the vectors.
    """
    point = replace(coded.point, system=coded.point.system + FUSED, kind=HYBRID)
    candidates = gather_candidates(coded.leg(found), words.leg)
    fused = fuse_candidates(candidates, fusion, found.rows.shape[1])
    return _make_ranking(point, fused, catalogue)
