"""Exact search of encoded vectors: faiss proposes candidates, and the codec computes their exact scores.

If a vector that is not among the candidates could still be one of the k best, the search takes more candidates.
"""

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
    """Codes (encoded vectors) in one faiss index: the codes of a segment, or of the documents that pass a filter.

    Attributes:
        scan: the faiss index of the n codes.
        rows: (n,) row numbers of the codes' documents; or the first row number, if they are consecutive.
    """

    scan: Scan
    rows: NDArray[np.int64] | int

    def search(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best codes for one query, and return their approximate scores and row numbers.

        `turned` is the (1, …) query as transformed by `Scan.turn`.
        """
        scores, places = self.scan.search_turned(turned, k)
        return scores[0], places[0] + self.rows if isinstance(self.rows, int) else self.rows[places[0]]


@dataclass(frozen=True)
class Parts:
    """All codes (encoded vectors) that a search compares with a query.

    Attributes:
        codec: the codec that made the codes.
        parts: the faiss indexes that hold the codes; each row is in exactly one of them.
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
            rank: a function that takes row numbers and returns them with their exact scores, highest first. It may
                leave out rows that must not be returned, and rows that cannot be among the k best of the given rows.
            pool: threads that search the parts.

        Returns:
            The result of `rank` for the candidates: at least k rows; or all rows that may be returned, if fewer.
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
        """Find at most `wanted` candidate rows, and the highest approximate score that any other row can have.

        The score is None if there are no other rows. If all parts are fast to search, each part finds only a few more
        candidates than `wanted` divided by the number of parts; otherwise, each part finds `wanted` candidates.
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
    """Rank the given rows by the exact scores of their codes, leaving out rows that cannot be among the k best.

    Decoding takes most of the time. So if the codec has a faster way to compute scores nearly exactly, only the rows
    that can be among the k best are decoded.

    Args:
        codec: the codec that made the codes.
        query: (d,) float32, d being the dimension of the decoded codes.
        rows: row numbers in any order.
        codes: a function that takes ascending row numbers and returns their codes.
        k: number of rows, at least 1.

    Returns:
        The row numbers, highest score first, including all that tie with the k-th; and their float32 scores.
    """
    rows = np.sort(rows)
    held = codes(rows)
    possible = find_possible(codec, query, held, k)
    rows, held = rows[possible], held[possible]
    order, scores = rerank(query[None], held, np.arange(len(rows))[None], codec.decode)
    return rows[order[0]], scores[0]
