"""Points of the surface, searched in memory exactly as they were measured: the same codes, scores and ties.

A point's codes are made when it is first asked for, once, whoever else asks meanwhile. Those asked for least recently
are let go when there are too many bytes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache, cached

from nestvec.models.compute import count_processors
from nestvec.stores.exact import Part, Parts, rank_rows
from nestvec.stores.scan import Scan
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.point import Point
    from nestvec.vectors.codecs import Codec

_ROWS = 16_384  # documents coded at a time
_LEAST = 8_192  # documents of a part: fewer are not worth another thread


@dataclass(frozen=True)
class Place:
    """All documents' codes at one point.

    Attributes:
        dimension: of the vectors that were coded.
        searched: the codes, in parts that follow each other; rows are in tie order.
    """

    dimension: int
    searched: Parts

    @classmethod
    def of(cls, vectors: NDArray[np.float32], order: NDArray[np.int64], dimension: int, codec: Codec) -> Place:
        """Code a catalogue.

        Args:
            vectors: (d, full width) float32 of the documents, rows of unit length; may be mapped.
            order: (d,) their rows in tie order.
            dimension: of the prefix.
            codec: fitted on such prefixes.

        Returns:
            The place.
        """
        parts, first = [], 0
        for rows in np.array_split(order, max(1, min(count_processors(), len(order) // _LEAST))):
            coded = [
                codec.encode(prefix(vectors[rows[at : at + _ROWS]], dimension)) for at in range(0, len(rows), _ROWS)
            ]
            parts.append(Part(Scan.of(codec, np.concatenate(coded)), first))
            first += len(rows)
        return cls(dimension, Parts(codec, parts))

    @property
    def size(self) -> int:
        """Bytes of the codes."""
        return self.searched.codec.bytes_per_vector * sum(len(part.scan) for part in self.searched.parts)

    def top_k(
        self, query: NDArray[np.float32], k: int, pool: Executor
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best documents of a query.

        Args:
            query: (full width,) float32, of unit length.
            k: at least 1; at most d are returned.
            pool: searches the parts.

        Returns:
            (min(k, d),) rows in tie order, best first, and their float32 scores.
        """
        asked = prefix(query[None], self.dimension)[0]
        scored = partial(rank_rows, self.searched.codec, asked, codes=self._codes)
        rows, scores = self.searched.find_best(asked, k, scored, pool)
        return rows[:k], scores[:k]

    def _codes(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """(r, …) codes of (r,) ascending rows."""
        firsts = np.array([part.rows for part in self.searched.parts])
        shares = np.split(rows, np.searchsorted(rows, firsts[1:]))
        pairs = zip(self.searched.parts, shares, firsts, strict=True)
        return np.concatenate([part.scan.codes_at(share - first) for part, share, first in pairs])


class Places:
    """Points that are ready to be searched, made as they are asked for. Any thread may ask.

    Args:
        order: (d,) the documents' rows in tie order.
        vectors: system to (d, full width) float32 of the documents, rows of unit length; may be mapped.
        codecs: system to its codecs by dimension and precision, such as `48.int8`.
        budget: bytes of codes that are kept; where the largest point takes more, what it takes.
    """

    def __init__(
        self,
        order: NDArray[np.int64],
        vectors: Mapping[str, NDArray[np.float32]],
        codecs: Mapping[str, Mapping[str, Codec]],
        budget: int,
    ) -> None:
        self._order, self._vectors, self._codecs = order, vectors, codecs
        widest = max(codec.bytes_per_vector for known in codecs.values() for codec in known.values())
        self._held: LRUCache[Any, Place] = LRUCache(max(budget, widest * len(order)), lambda place: place.size)
        self._kept = cached(self._held, condition=Condition())(self._coded)  # who asks while it is made waits

    def __len__(self) -> int:
        """How many points are held."""
        return len(self._held)

    def at(self, point: Point) -> Place:
        """A point's codes.

        Args:
            point: one with vectors, as it was measured.

        Returns:
            The place, which may still be searched when it is not held any more.
        """
        return self._kept(point)

    def _coded(self, point: Point) -> Place:
        """Code the catalogue."""
        codec = self._codecs[point.system][point.format.name]
        return Place.of(self._vectors[point.system], self._order, point.dimension or 0, codec)
