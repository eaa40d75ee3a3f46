"""Exact search of codes: faiss proposes candidates, the codec scores them, until no other code can score higher."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.scan import find_possible, score_bound
from nestvec.vectors.topk import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.stores.scan import Scan
    from nestvec.vectors.codecs import Codec

    ScoredRows = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and their exact scores, highest first

_ROOM = 64  # fewest candidates
_MORE = 8  # candidates for each wanted document; where they are too few, the next round takes 8 times as many


@dataclass(frozen=True)
class Part:
    """A set of vector codes that faiss searches in one call: a segment's codes, or the codes that a filter leaves.

    Attributes:
        scan: n codes.
        rows: (n,) the row of each code; or the first row, if the rows are consecutive.
    """

    scan: Scan
    rows: NDArray[np.int64] | int

    def search(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best approximate scores and their rows for a (1, …) query that `Scan.turn` returned."""
        scores, places = self.scan.search_turned(turned, k)
        return scores[0], places[0] + self.rows if isinstance(self.rows, int) else self.rows[places[0]]


@dataclass(frozen=True)
class Parts:
    """All vector codes of a search, in one or more parts, with the codec to score them exactly.

    Attributes:
        codec: the codec that made the codes.
        parts: the codes; each row is in exactly one part.
    """

    codec: Codec
    parts: Sequence[Part]

    def find_best(
        self, query: NDArray[np.float32], k: int, rank: Callable[[NDArray[np.int64]], ScoredRows], pool: Executor
    ) -> ScoredRows:
        """Find candidates that are certain to include the k best documents and all that tie with the k-th.

        Args:
            query: (d,) float32, d being the dimension of the decoded codes.
            k: number of documents, at least 1.
            rank: returns the rows it is given with exact scores, highest first. It may leave out rows that must not be
                returned, and rows that cannot be among the k best of the given rows.
            pool: threads that search the parts.

        Returns:
            The result of `rank` for the candidates: at least k rows, or all rows if fewer may be returned.
        """
        wanted = max(_ROOM, _MORE * k)
        turned = self.parts[0].scan.turn(query[None]) if self.parts else query[None]
        while True:
            rows, left = self._find_candidates(turned, wanted, pool)
            rows, scores = rank(rows)
            if left is None:
                return rows, scores
            if len(rows) >= k and scores[k - 1] > score_bound(self.codec, query, left):
                return rows, scores
            wanted *= _MORE

    def _find_candidates(
        self, turned: NDArray[np.float32], wanted: int, pool: Executor
    ) -> tuple[NDArray[np.int64], float | None]:
        """Find the rows of at most `wanted` candidates, and an upper limit of the approximate scores of all other rows.

        The score is None if there are no other rows. If all parts are fast to search, each part is asked for little
        more than its share of the candidates; else each part is asked for all of them.
        """
        is_fast = all(part.scan.is_fast for part in self.parts)
        each, share = (map, wanted // max(1, len(self.parts)) + _ROOM // 4) if is_fast else (pool.map, wanted)
        found = list(each(partial(Part.search, turned=turned, k=share), self.parts))
        rough = np.concatenate([np.zeros(0, dtype=np.float32), *(scores for scores, _ in found)])
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for _, rows in found)])
        order = np.argsort(-rough, kind="stable")
        left = [float(rough[place]) for place in order[wanted : wanted + 1]]
        left += [float(own[-1]) for part, (own, _) in zip(self.parts, found, strict=True) if len(own) < len(part.scan)]
        return rows[order[:wanted]], max(left, default=None)


def rank_rows(
    codec: Codec, query: NDArray[np.float32], rows: NDArray[np.int64], codes: Callable[[NDArray[np.int64]], Any], k: int
) -> ScoredRows:
    """Find the k best of (r,) rows by the exact scores of their codes; the result may hold a few more rows.

    Most of the time goes into decoding. So if the codec has a way to approximate scores without decoding, only rows
    that can be among the k best are decoded.

    Args:
        codec: the codec that made the codes.
        query: (d,) float32, d being the dimension of the decoded codes.
        rows: rows in any order.
        codes: returns the codes of ascending rows.
        k: number of rows, at least 1.

    Returns:
        The rows, highest score first, with all that tie with the k-th, and their float32 scores.
    """
    rows = np.sort(rows)
    held = codes(rows)
    possible = find_possible(codec, query, held, k)
    rows, held = rows[possible], held[possible]
    order, scores = rerank(query[None], held, np.arange(len(rows))[None], codec.decode)
    return rows[order[0]], scores[0]
