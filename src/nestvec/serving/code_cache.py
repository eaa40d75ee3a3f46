"""Searches the run's documents in memory at any measured dimension and precision, with the results as measured.

The documents' vectors are quantised at the first search with a system, dimension and precision; other threads that need
the same ones wait meanwhile. If the quantised vectors take too much memory, the least recently used are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache, cached

from nestvec.processors import count_processors
from nestvec.stores.exact import Part, Parts, rank_rows
from nestvec.stores.scan import Scan
from nestvec.vectors.topk import score_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.point import Point
    from nestvec.vectors.codecs import Codec

_ROWS = 16_384  # documents encoded at a time
_LEAST = 8_192  # fewest documents in a part: fewer are not worth another thread


@dataclass(frozen=True)
class CodedDocuments:
    """The quantised vectors (codes) of all documents, for a system at one dimension and precision."""

    searched: Parts  # the codes in consecutive parts; rows are in tie order

    @classmethod
    def of(cls, vectors: NDArray[np.float32], order: NDArray[np.int64], codec: Codec) -> CodedDocuments:
        """Quantise the vectors of all documents.

        Args:
            vectors: (d, full width) float32 vectors of the documents, rows of unit length; may be memory-mapped.
            order: (d,) row numbers of the documents in tie order, which is how documents with equal scores rank.
            codec: shortens and quantises the vectors.

        Returns:
            The quantised vectors, in tie order.
        """
        parts, first = [], 0
        for rows in np.array_split(order, max(1, min(count_processors(), len(order) // _LEAST))):
            coded = [codec.encode(codec.cut(vectors[rows[at : at + _ROWS]])) for at in range(0, len(rows), _ROWS)]
            parts.append(Part(Scan.of(codec, np.concatenate(coded)), first))
            first += len(rows)
        return cls(Parts(codec, parts))

    @property
    def bytes(self) -> int:
        """Size of the quantised vectors in bytes."""
        return self.searched.codec.bytes_per_vector * sum(len(part.scan) for part in self.searched.parts)

    def top_k(
        self, query: NDArray[np.float32], k: int, pool: Executor
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the best documents for a query.

        Args:
            query: (full width,) float32 vector of the query, of unit length.
            k: number of documents, at least 1.
            pool: threads that search parts of the documents at the same time.

        Returns:
            (min(k, d),) positions of documents in tie order, best first, and their float32 scores.
        """
        asked = self.searched.codec.cut(query[None])[0]
        scored = partial(rank_rows, self.searched.codec, asked, codes=self._codes, k=k)
        rows, scores = self.searched.find_best(asked, k, scored, pool)
        return rows[:k], scores[:k]

    def score(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute the exact scores of some documents for a query.

        Args:
            query: (full width,) float32 vector of the query, of unit length.
            rows: (r,) positions of documents in tie order, ascending.

        Returns:
            (r,) float32 scores of these documents.
        """
        asked = self.searched.codec.cut(query[None])
        pairs = np.zeros(len(rows), dtype=np.int64), np.arange(len(rows))
        return score_pairs(asked, self._codes(rows), self.searched.codec.decode, *pairs)

    def _codes(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the quantised vectors of the documents at the given ascending rows."""
        firsts = np.array([part.rows for part in self.searched.parts])
        shares = np.split(rows, np.searchsorted(rows, firsts[1:]))
        pairs = zip(self.searched.parts, shares, firsts, strict=True)
        return np.concatenate([part.scan.codes_at(share - first) for part, share, first in pairs])


class CodeCache:
    """A thread-safe cache of all documents' vectors, quantised at first use for each system, dimension and precision.

    Args:
        order: (d,) row numbers of the documents in tie order, which is how documents with equal scores rank.
        vectors: each system's (d, full width) float32 vectors of the documents, of unit length; may be memory-mapped.
        codecs: each system's codecs by dimension and precision, such as `48.int8`.
        budget: most bytes of quantised vectors to keep; raised to the bytes of one dimension and precision if needed.
    """

    def __init__(
        self,
        order: NDArray[np.int64],
        vectors: Mapping[str, NDArray[np.float32]],
        codecs: Mapping[str, Mapping[str, Codec]],
        budget: int,
    ) -> None:
        self._order, self._vectors, self._codecs = order, vectors, codecs
        sizes = (codec.bytes_per_vector for fitted in codecs.values() for codec in fitted.values())
        widest = max(sizes, default=0)
        most = max(budget, widest * len(order))
        self._cache: LRUCache[Any, CodedDocuments] = LRUCache(most, lambda coded: coded.bytes)
        self._get = cached(self._cache, condition=Condition())(self._code_documents)  # other threads wait

    def __len__(self) -> int:
        """The number of combinations of system, dimension and precision whose quantised vectors are in memory."""
        return len(self._cache)

    def get(self, point: Point) -> CodedDocuments:
        """Return the documents' vectors, quantised for a system, dimension and precision that the run measured."""
        return self._get(point)

    def _code_documents(self, point: Point) -> CodedDocuments:
        codec = self._codecs[point.system][point.format.name]
        return CodedDocuments.of(self._vectors[point.system], self._order, codec)
