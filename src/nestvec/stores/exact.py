"""An exact search: candidates by faiss, scored by the codec, until none that is left can be better.

`Parts` is that search over any codes; `View` searches what a generation of the embedded store holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.scan import Scan, score_bound
from nestvec.stores.store import Hit
from nestvec.vectors.codecs import prefix
from nestvec.vectors.topk import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.stores.generation import Generation, StoredDocument
    from nestvec.stores.store import Condition
    from nestvec.vectors.codecs import Codec

    ScoredRows = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and their exact scores, highest first

_ROOM = 64  # candidates at the least
_FEW = 4  # a filter that leaves less than one in so many is searched alone
_MORE = 4  # times as many candidates, where they were too few


@dataclass(frozen=True)
class Part:
    """Codes that are searched together: a segment, or what a filter leaves.

    Attributes:
        scan: n codes.
        rows: (n,) each one's row, or the first where they follow each other.
    """

    scan: Scan
    rows: NDArray[np.int64] | int

    def search(self, query: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best by rough score, and their rows."""
        scores, places = self.scan.search(query[None], k)
        return scores[0], places[0] + self.rows if isinstance(self.rows, int) else self.rows[places[0]]


@dataclass(frozen=True)
class Parts:
    """All codes that are searched.

    Attributes:
        codec: what made them.
        parts: the codes; a row is in one of them.
    """

    codec: Codec
    parts: Sequence[Part]

    def find_best(
        self, query: NDArray[np.float32], k: int, rank: Callable[[NDArray[np.int64]], ScoredRows], pool: Executor
    ) -> ScoredRows:
        """Documents among which the k best are, with all that tie with the last of them.

        Args:
            query: (d,) float32, as wide as what the codes stand for.
            k: how many, at least 1.
            rank: gives rows their exact scores, highest first; it may leave out rows that must not be found.
            pool: searches the parts.

        Returns:
            What `rank` made of the candidates: k at least, where so many may be found.
        """
        documents, wanted = sum(len(part.scan) for part in self.parts), max(_ROOM, _MORE * k)
        while True:
            candidates = list(pool.map(lambda part, wanted=wanted: part.search(query, wanted), self.parts))
            rough = np.concatenate([np.zeros(0, dtype=np.float32), *(scores for scores, _ in candidates)])
            rows = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for _, rows in candidates)])
            order = np.argsort(-rough, kind="stable")[:wanted]
            rows, scores = rank(rows[order])
            if wanted >= documents:
                return rows, scores
            if len(rows) >= k and scores[k - 1] > score_bound(self.codec, query, float(rough[order[-1]])):
                return rows, scores
            wanted *= _MORE


def rank_rows(
    codec: Codec, query: NDArray[np.float32], rows: NDArray[np.int64], codes: Callable[[NDArray[np.int64]], Any]
) -> ScoredRows:
    """(r,) rows by the exact scores of their codes, highest first.

    Args:
        codec: what made the codes.
        query: (d,) float32, as wide as what they stand for.
        rows: in any order.
        codes: gives ascending rows their codes.

    Returns:
        The rows and their float32 scores.
    """
    rows = np.sort(rows)
    order, scores = rerank(query[None], codes(rows), np.arange(len(rows))[None], codec.decode)
    return rows[order[0]], scores[0]


@dataclass(frozen=True)
class View:
    """What of a generation is searched.

    Attributes:
        generation: where documents and codes are.
        parts: the codes.
        live: (rows,) which rows may be found.
    """

    generation: Generation
    parts: Parts
    live: NDArray[np.bool_]

    def find_hits(self, query: NDArray[np.float32], k: int, pool: Executor) -> list[Hit]:
        """The k best documents of a (full dimension,) float32 query of unit length, best first."""
        about = self.generation.about
        two = len(about.stages) > 1
        wanted = max(k, about.shortlist) if two else k
        asked = prefix(query[None], about.stages[0].dimension)[0]
        rows, scores = self.parts.find_best(
            asked, wanted, lambda rows: self._rank_by_stage(0, query, rows[self.live[rows]]), pool
        )
        ranked = self._rank_documents(rows, scores, wanted)
        if two:
            rows = np.array([document.row for document, _ in ranked], dtype=np.int64)
            ranked = self._rank_documents(*self._rank_by_stage(1, query, rows), k)
        return [Hit(document.id, score, document.text, document.fields) for document, score in ranked]

    def _rank_by_stage(self, stage: int, query: NDArray[np.float32], rows: NDArray[np.int64]) -> ScoredRows:
        """(r,) rows by their exact scores at a stage, highest first."""
        asked = prefix(query[None], self.generation.about.stages[stage].dimension)[0]
        return rank_rows(self.generation.codecs[stage], asked, rows, partial(self.generation.codes_at, stage))

    def _rank_documents(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int
    ) -> list[tuple[StoredDocument, float]]:
        """The k best documents of (r,) rows with falling scores; of equal ones the greater id first."""
        if len(rows) > k:
            rows = rows[scores >= scores[k - 1]]
        score = dict(zip(rows.tolist(), scores.tolist(), strict=False))
        documents = self.generation.documents_at(rows)
        documents.sort(key=lambda document: (score[document.row], document.id.encode()), reverse=True)
        return [(document, score[document.row]) for document in documents[:k]]


def filter_generation(generation: Generation, where: Sequence[Condition]) -> View:
    """Search only the documents of an open generation that fulfil all conditions; none leaves all."""
    live = generation.live_rows()
    parts = [Part(segment.scans[0], segment.first) for segment in generation.segments]
    if where:
        rows = generation.matching_rows(where)
        if len(rows) * _FEW < len(live):
            codes = generation.codes_at(0, rows)
            parts = [Part(Scan.of(generation.codecs[0], codes), rows)] if len(rows) else []
        allowed = np.zeros_like(live)
        allowed[rows] = True
        live &= allowed
    return View(generation, Parts(generation.codecs[0], parts), live)
