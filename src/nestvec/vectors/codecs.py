"""How vectors are made smaller: fewer numbers (`cut.py`), then a precision for those that are kept.

A codec is fitted on the documents' shortened vectors and turns documents into codes; queries are shortened and stay in
float32, and a score is the dot product of the query with the decoded document. All of it is numpy, so codes decode
alike everywhere.

Below 8 bits a vector is coded after a random rotation, which spreads it evenly over its numbers: they then look like
draws from one normal distribution, and one step serves all of them (`rabitq.py`). At 1 bit the directions that signs
stand for are learned from the documents in place of drawn (`learned_signs.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np

from nestvec.vectors.cut import Cut, prefix  # noqa: F401 - recipes of earlier exports import prefix from here
from nestvec.vectors.learned_signs import LearnedSigns
from nestvec.vectors.rabitq import Rotated
from nestvec.vectors.rotation import by_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.vectors.principal_axes import Axes

_LARGEST = 127  # of int8 that has a negative counterpart
_LARGEST_HALF = 65504  # of IEEE 754's half precision


class Codec(Protocol):
    """What shortens vectors and codes documents at a precision; fitted on documents of one dimension."""

    @property
    def axes(self) -> Axes | None:
        """The principal axes that vectors are turned to; None where the first numbers are kept as they are."""

    @property
    def dimension(self) -> int:
        """How many numbers of a vector are kept."""

    @property
    def bytes_per_vector(self) -> int:
        """Bytes that a document's code takes, with what is stored for this document alone."""

    @property
    def extra_bytes(self) -> int:
        """Bytes that are stored once for the whole corpus."""

    def with_axes(self, axes: Axes | None) -> Codec:
        """The same codec of vectors that are turned to these axes; None for vectors that come as they are coded."""

    def cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, w) float32 queries or documents at the model's width → (n, d) of unit length."""

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, d) float32, shortened → (n, …) codes."""

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """(n, …) codes → (n, d) float32."""


@dataclass(frozen=True)
class _Float(Cut):
    """Numbers as IEEE 754 has them; nothing is learned from the documents but the width."""

    dimension: int
    number: ClassVar[type[np.floating]]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """A codec for (n, dimension) vectors."""
        return cls(vectors.shape[1])

    @property
    def bytes_per_vector(self) -> int:
        """4 or 2 a number."""
        return self.dimension * np.dtype(self.number).itemsize

    @property
    def extra_bytes(self) -> int:
        """Those of the axes."""
        return self.axes_bytes

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The same numbers in float32, which holds every one of them."""
        return codes.astype(np.float32, copy=False)


class Float32(_Float):
    """The numbers as they are: 4 bytes each."""

    number = np.float32

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The vectors themselves."""
        return vectors


class Float16(_Float):
    """The nearest half-precision numbers of IEEE 754: 2 bytes each."""

    number = np.float16

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, d) float16; what lies beyond the largest is cut to it, for infinity would spoil every score."""
        return by_rows(lambda rows: np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16), vectors)


@dataclass(frozen=True)
class Int8(Cut):
    """Whole steps of a dimension's own size, -127 … 127: 1 byte a number.

    Attributes:
        scale: (d,) float32, a step in each dimension: the largest magnitude among the documents over 127. It is stored
            once for the whole corpus, so a vector takes d bytes.
    """

    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Int8:
        """Take each dimension's range from the documents; a dimension that is always zero gets any step."""
        largest = np.maximum(vectors.max(axis=0, initial=0), -vectors.min(axis=0, initial=0))  # makes no copy
        return cls(np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32))

    @property
    def dimension(self) -> int:
        """How many numbers of a vector are kept."""
        return len(self.scale)

    @property
    def bytes_per_vector(self) -> int:
        """1 a number."""
        return self.dimension

    @property
    def extra_bytes(self) -> int:
        """A step in float32 for each dimension, and the axes."""
        return self.scale.nbytes + self.axes_bytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The nearest step; what lies outside the fitted range is cut to its end."""
        return by_rows(lambda rows: np.clip(np.rint(rows / self.scale), -_LARGEST, _LARGEST).astype(np.int8), vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Steps times their size."""
        return codes.astype(np.float32) * self.scale


CODECS: dict[str, Callable[[NDArray[np.float32]], Codec]] = {
    "float32": Float32.fit,
    "float16": Float16.fit,
    "int8": Int8.fit,
    "int4": partial(Rotated.fit, bits=4),
    "int2": partial(Rotated.fit, bits=2),
    "binary": LearnedSigns.fit,
}
