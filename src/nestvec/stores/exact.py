"""An exact search: candidates by faiss, scored by the codec, until none that is left can be better.

`Parts` is that search over any codes; `View` searches what a generation of the embedded store holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.scan import Scan, bound
from nestvec.stores.store import Hit
from nestvec.vectors.codecs import prefix
from nestvec.vectors.topk import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.stores.generation import Found, Generation
    from nestvec.stores.store import Condition
    from nestvec.vectors.codecs import Codec

    Scored = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and their exact scores, highest first

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

    def best(
        self, query: NDArray[np.float32], k: int, scored: Callable[[NDArray[np.int64]], Scored], pool: Executor
    ) -> Scored:
        """Documents among which the k best are, with all that tie with the last of them.

        Args:
            query: (d,) float32, as wide as what the codes stand for.
            k: how many, at least 1.
            scored: gives rows their exact scores, highest first; it may leave out rows that must not be found.
            pool: searches the parts.

        Returns:
            What `scored` made of the candidates: k at least, where so many may be found.
        """
        documents, room = sum(len(part.scan) for part in self.parts), max(_ROOM, _MORE * k)
        while True:
            found = list(pool.map(lambda part, wanted=room: part.search(query, wanted), self.parts))
            rough = np.concatenate([np.zeros(0, dtype=np.float32), *(scores for scores, _ in found)])
            rows = np.concatenate([np.zeros(0, dtype=np.int64), *(places for _, places in found)])
            order = np.argsort(-rough, kind="stable")[:room]
            rows, scores = scored(rows[order])
            if room >= documents:
                return rows, scores
            if len(rows) >= k and scores[k - 1] > bound(self.codec, query, float(rough[order[-1]])):
                return rows, scores
            room *= _MORE


def by_score(
    codec: Codec, query: NDArray[np.float32], rows: NDArray[np.int64], codes: Callable[[NDArray[np.int64]], Any]
) -> Scored:
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

    def hits(self, query: NDArray[np.float32], k: int, pool: Executor) -> list[Hit]:
        """The best documents of a query.

        Args:
            query: (full dimension,) float32, of unit length.
            k: how many.
            pool: searches the parts.

        Returns:
            At most k, best first.
        """
        about = self.generation.about
        two = len(about.stages) > 1
        wanted = max(k, about.shortlist) if two else k
        found = self._ranked(*self._best(query, wanted, pool), wanted)
        if two:
            rows = np.array([document.row for document, _ in found], dtype=np.int64)
            found = self._ranked(*self._scored(1, query, rows), k)
        return [Hit(document.id, score, document.text, document.fields) for document, score in found]

    def _best(self, query: NDArray[np.float32], k: int, pool: Executor) -> Scored:
        """Rows and exact scores of documents among which the k best are, with all that tie with the last of them."""
        asked = prefix(query[None], self.generation.about.stages[0].dimension)[0]
        return self.parts.best(asked, k, lambda rows: self._scored(0, query, rows[self.live[rows]]), pool)

    def _scored(self, stage: int, query: NDArray[np.float32], rows: NDArray[np.int64]) -> Scored:
        """(r,) rows by their exact scores at a stage, highest first."""
        asked = prefix(query[None], self.generation.about.stages[stage].dimension)[0]
        return by_score(self.generation.codecs[stage], asked, rows, partial(self.generation.codes, stage))

    def _ranked(self, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> list[tuple[Found, float]]:
        """The k best documents of (r,) rows with falling scores; of equal ones the greater id first."""
        if len(rows) > k:
            rows = rows[scores >= scores[k - 1]]
        score = dict(zip(rows.tolist(), scores.tolist(), strict=False))
        documents = self.generation.documents(rows)
        found = sorted(documents, key=lambda each: (score[each.row], each.id.encode()), reverse=True)
        return [(document, score[document.row]) for document in found[:k]]


def view_of(generation: Generation, where: Sequence[Condition]) -> View:
    """What conditions leave of a generation.

    Args:
        generation: an open one.
        where: all must hold; none leaves all.

    Returns:
        What is to be searched.
    """
    live = generation.live()
    parts = [Part(segment.scans[0], segment.first) for segment in generation.segments]
    if where:
        rows = generation.matching(where)
        if len(rows) * _FEW < len(live):
            codes = generation.codes(0, rows)
            parts = [Part(Scan.of(generation.codecs[0], codes), rows)] if len(rows) else []
        allowed = np.zeros_like(live)
        allowed[rows] = True
        live &= allowed
    return View(generation, Parts(generation.codecs[0], parts), live)
