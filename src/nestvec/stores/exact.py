"""Exact search of stored vectors: faiss finds candidates by approximate scores, and the codec scores them exactly.

The search takes more candidates until no other document can have a higher score.
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
    """A set of stored vectors that one faiss index holds: a segment's, or those of the documents that pass a filter.

    Attributes:
        scan: the faiss index of these vectors.
        rows: the row number of each vector; or only the first row number, if the rows are consecutive.
    """

    scan: Scan
    rows: NDArray[np.int64] | int

    def search(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k vectors with the best approximate scores for one query, which `Scan.turn` has transformed.

        Returns the scores and the vectors' row numbers.
        """
        scores, places = self.scan.search_turned(turned, k)
        return scores[0], places[0] + self.rows if isinstance(self.rows, int) else self.rows[places[0]]


@dataclass(frozen=True)
class Parts:
    """All stored vectors that a search compares with the query, in one or more faiss indexes.

    Attributes:
        codec: the codec that encoded the vectors.
        parts: the faiss indexes; each row is in exactly one of them.
    """

    codec: Codec
    parts: Sequence[Part]

    def find_best(
        self, query: NDArray[np.float32], k: int, rank: Callable[[NDArray[np.int64]], ScoredRows], pool: Executor
    ) -> ScoredRows:
        """Find candidates that are certain to include the k best documents and all that tie with the k-th.

        Args:
            query: the query's vector, float32, with the dimension of the stored vectors.
            k: number of documents, at least 1.
            rank: sorts the row numbers that it is given by exact score, highest first, and returns them with the
                scores. It may leave out rows that the search must not return or that cannot be among the k best.
            pool: threads that search the faiss indexes.

        Returns:
            The candidates' rows and exact scores, as `rank` returned them: k or more, or fewer if no others exist.
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
        """Find at most `wanted` candidates, and the highest approximate score that any other row can have.

        The score is None if there are no other rows. If every faiss index is fast to search, each is asked only for its
        share of the candidates and a few more; otherwise each is asked for `wanted` candidates.
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
    """Find the k of the given rows whose stored vectors have the highest exact scores for a query.

    Most of the time goes into decoding. If scores can be estimated without decoding, only rows that can be among the k
    best are decoded. The result may hold more than k rows.

    Args:
        codec: the codec that encoded the vectors.
        query: the query's vector, float32, with the dimension of the stored vectors.
        rows: the row numbers to rank, in any order.
        codes: reads the codes (encoded vectors) of ascending row numbers.
        k: number of rows to find, at least 1.

    Returns:
        Row numbers, highest score first, including all that tie with the k-th; and their float32 scores.
    """
    rows = np.sort(rows)
    held = codes(rows)
    possible = find_possible(codec, query, held, k)
    rows, held = rows[possible], held[possible]
    order, scores = rerank(query[None], held, np.arange(len(rows))[None], codec.decode)
    return rows[order[0]], scores[0]
