"""Codecs make vectors smaller: they keep fewer numbers (`cut.py`) and store these at a lower precision.

A codec is fitted on the documents' shortened vectors and encodes documents. Queries are shortened but stay in float32,
and a score is the dot product of the query with the decoded document. Everything is NumPy, so codes decode to the same
numbers everywhere.

For int4, int2 and binary, a vector is rotated at random before it is encoded. Its numbers then look like draws from one
normal distribution, so that one step size suits them all (`rabitq.py`). For binary, the direction that each bit stands
for is learned from the documents instead of drawn at random (`learned_signs.py`).
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

_LARGEST = 127  # largest int8 whose negative is an int8, too
_LARGEST_HALF = 65504  # largest finite float16


class Codec(Protocol):
    """Shortens vectors to a dimension and encodes documents at a precision; fitted on the documents of a corpus."""

    @property
    def axes(self) -> Axes | None:
        """The principal axes that vectors are projected onto; None if a vector's first numbers are kept unchanged."""

    @property
    def dimension(self) -> int:
        """Number of dimensions that the codec keeps of a vector."""

    @property
    def bytes_per_vector(self) -> int:
        """Size of a document's code in bytes."""

    @property
    def extra_bytes(self) -> int:
        """Size in bytes of what is stored once for the whole corpus, such as step sizes and principal axes."""

    def with_axes(self, axes: Axes | None) -> Codec:
        """Return a copy of the codec with these principal axes; with None, it keeps a vector's first numbers."""

    def cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shorten n float32 vectors of the model's full width to the codec's dimension and to unit length."""

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Encode shortened float32 vectors, one per row, at this precision; returns one code per row."""

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Decode codes, one per row, to float32 vectors of the codec's dimension."""


@dataclass(frozen=True)
class _Float(Cut):
    """Base class of the codecs for float32 and float16, which learn nothing from the documents except the dimension."""

    dimension: int
    number: ClassVar[type[np.floating]]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """Make a codec for vectors with as many numbers as these vectors have."""
        return cls(vectors.shape[1])

    @property
    def bytes_per_vector(self) -> int:
        """Size of a code in bytes: 4 per dimension for float32, 2 for float16."""
        return self.dimension * np.dtype(self.number).itemsize

    @property
    def extra_bytes(self) -> int:
        """Size of the principal axes in bytes, which are stored once for the whole corpus; 0 without axes."""
        return self.axes_bytes

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Convert codes to float32 vectors, without loss."""
        return codes.astype(np.float32, copy=False)


class Float32(_Float):
    """The codec for float32: numbers are kept unchanged, 4 bytes each."""

    number = np.float32

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Return the float32 vectors unchanged: they are their own codes."""
        return vectors


class Float16(_Float):
    """The codec for float16: numbers are rounded to half precision, 2 bytes each."""

    number = np.float16

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Round vectors to float16; numbers beyond its range are clipped, because infinity would spoil every score."""
        return by_rows(lambda rows: np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16), vectors)


@dataclass(frozen=True)
class Int8(Cut):
    """The codec for int8: each number is stored as a whole number of steps, from -127 to 127, in 1 byte.

    Attributes:
        scale: float32, the step size of each dimension: the largest magnitude that this dimension has in any document,
            divided by 127. These are stored once for the whole corpus, so a vector takes 1 byte per dimension.
    """

    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Int8:
        """Choose each dimension's step size from its range in these documents; 1 for a dimension that is always 0."""
        largest = np.maximum(vectors.max(axis=0, initial=0), -vectors.min(axis=0, initial=0))  # makes no copy
        return cls(np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32))

    @property
    def dimension(self) -> int:
        """Number of dimensions that the codec keeps of a vector."""
        return len(self.scale)

    @property
    def bytes_per_vector(self) -> int:
        """Size of a code in bytes: 1 per dimension."""
        return self.dimension

    @property
    def extra_bytes(self) -> int:
        """Size in bytes of what is stored once for the whole corpus: a float32 step per dimension, and the axes."""
        return self.scale.nbytes + self.axes_bytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Round each number to a whole number of steps, as int8; numbers outside the documents' range are clipped."""
        return by_rows(lambda rows: np.clip(np.rint(rows / self.scale), -_LARGEST, _LARGEST).astype(np.int8), vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Multiply int8 codes by each dimension's step size; returns float32 vectors."""
        return codes.astype(np.float32) * self.scale


CODECS: dict[str, Callable[[NDArray[np.float32]], Codec]] = {
    "float32": Float32.fit,
    "float16": Float16.fit,
    "int8": Int8.fit,
    "int4": partial(Rotated.fit, bits=4),
    "int2": partial(Rotated.fit, bits=2),
    "binary": LearnedSigns.fit,
}
