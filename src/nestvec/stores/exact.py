"""An exact search of codes: candidates by faiss, scored by the codec, until none that is left can be better."""

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

_ROOM = 64  # candidates at the least
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

    def search(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best by rough score, and their rows, for a query that `Scan.turn` gave, (1, …)."""
        scores, places = self.scan.search_turned(turned, k)
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
            rank: gives rows their exact scores, highest first; it may leave out rows that must not be found, and those
                that cannot be among the k best of the rows that it is given.
            pool: searches the parts.

        Returns:
            What `rank` made of the candidates: k at least, where so many may be found.
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
        """Rows of about as many candidates as are wanted, and the best rough score that any other row can have.

        Where a search costs little, each part is asked for hardly more than its share; None: there are no other rows.
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
    """The k best of (r,) rows by the exact scores of their codes, highest first, and some that come close to them.

    Decoding takes the time. So where the scores can nearly be had without, they say which codes are decoded.

    Args:
        codec: what made the codes.
        query: (d,) float32, as wide as what they stand for.
        rows: in any order.
        codes: gives ascending rows their codes.
        k: at least 1.

    Returns:
        The rows, with all that tie with the k-th, and their float32 scores.
    """
    rows = np.sort(rows)
    held = codes(rows)
    possible = find_possible(codec, query, held, k)
    rows, held = rows[possible], held[possible]
    order, scores = rerank(query[None], held, np.arange(len(rows))[None], codec.decode)
    return rows[order[0]], scores[0]
