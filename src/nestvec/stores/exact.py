"""An exact search of codes: candidates by faiss, scored by the codec, until none that is left can be better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.scan import score_bound
from nestvec.vectors.topk import rerank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.stores.scan import Scan
    from nestvec.vectors.codecs import Codec

    ScoredRows = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and their exact scores, highest first

_ROOM = 64  # candidates at the least; a quarter of that are scored at a time beyond those that are wanted
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
            rank: gives rows their exact scores; it may leave out rows that must not be found.
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
            ranked, is_sure = self._rank_candidates(query, k, rank, (rows[order], rough[order]))
            if is_sure or wanted >= documents:
                return ranked
            wanted *= _MORE

    def _rank_candidates(
        self,
        query: NDArray[np.float32],
        k: int,
        rank: Callable[[NDArray[np.int64]], ScoredRows],
        candidates: ScoredRows,
    ) -> tuple[ScoredRows, bool]:
        """Score candidates, given with falling rough scores, until no other can be among the k best.

        Args:
            query: see `find_best`.
            k: see `find_best`.
            rank: see `find_best`.
            candidates: their (n,) rows, and their rough scores.

        Returns:
            Those that were scored, highest first, and whether no other document at all can be among the k best.
        """
        rows, rough = candidates
        best, scores = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        first, size = 0, k + k // 2 + _ROOM // 4
        while first < len(rows):
            more = rank(rows[first : first + size])
            best, scores = np.concatenate([best, more[0]]), np.concatenate([scores, more[1]])
            order = np.lexsort((best, -scores))
            best, scores = best[order], scores[order]
            first, size = first + size, k // 4 + _ROOM // 4
            last = float(rough[min(first, len(rows)) - 1])
            if len(best) >= k and scores[k - 1] > score_bound(self.codec, query, last):
                return (best, scores), True
        return (best, scores), False


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
