"""How vectors are made smaller: a re-normalised prefix of the full width, then a precision for its numbers.

A codec is fitted on the documents' vectors and turns documents into codes; queries stay in float32, and a score is the
dot product of the query with the decoded document. All of it is numpy, so codes decode alike everywhere.

Below 8 bits a vector is coded after a random rotation (`rotation.py`), which spreads it evenly over its numbers: they
then look like draws from one normal distribution, and one step, or one length, serves all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nestvec.vectors.rotation import by_rows, rotate, rotate_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_LARGEST = 127  # of int8 that has a negative counterpart
_FITTED_ON = 2_000_000  # numbers, the first documents': 5,208 vectors of 384
_NORMAL_STEP = {2: 0.9957, 4: 0.3352}  # bits to the best step for a standard normal number (Max 1960, table II)
_AROUND = np.linspace(0.5, 1.5, 101)  # times that step: what is tried on the documents


def prefix(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """The first numbers of each vector, scaled to unit length again.

    Args:
        vectors: (n, d) float32.
        dimension: 1 … d.

    Returns:
        (n, dimension) float32, rows of unit length; a row whose prefix is all zero stays zero.

    Raises:
        ValueError: the dimension is not between 1 and d.
    """
    if not 1 <= dimension <= vectors.shape[1]:
        raise ValueError(f"dimension {dimension} is not between 1 and {vectors.shape[1]}")
    cut = vectors[:, :dimension]
    length = np.linalg.norm(cut, axis=1, keepdims=True)
    return (cut / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


class Codec(Protocol):
    """What every precision does; fitted on documents of one dimension."""

    @property
    def bytes_per_vector(self) -> int:
        """Bytes that a document's code takes."""

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, d) float32 → (n, …) codes."""

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """(n, …) codes → (n, d) float32."""


@dataclass(frozen=True)
class Float32:
    """The numbers as they are: 4 bytes each."""

    dimension: int

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Float32:
        """Nothing to learn but the width."""
        return cls(vectors.shape[1])

    @property
    def bytes_per_vector(self) -> int:
        """4 a number."""
        return 4 * self.dimension

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The vectors themselves."""
        return vectors

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The codes themselves."""
        return codes.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Int8:
    """Whole steps of a dimension's own size, -127 … 127: 1 byte a number.

    Attributes:
        scale: (d,) float32, a step in each dimension: the largest magnitude among the documents over 127. It is stored
            once for the whole corpus, so a vector takes d bytes.
    """

    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Int8:
        """Take each dimension's range from the documents; a dimension that is always zero gets any step."""
        largest = np.abs(vectors).max(axis=0, initial=0)
        return cls(np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32))

    @property
    def bytes_per_vector(self) -> int:
        """1 a number."""
        return len(self.scale)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The nearest step; what lies outside the fitted range is cut to its end."""
        codes: NDArray[np.int8] = np.clip(np.rint(vectors / self.scale), -_LARGEST, _LARGEST).astype(np.int8)
        return codes

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Steps times their size."""
        return codes.astype(np.float32) * self.scale


@dataclass(frozen=True)
class Uniform:
    """Equal steps on both sides of zero, the same for every number of the rotated vector: a few bits a number.

    With b bits there are 2^b levels, at odd multiples of half a step; what lies beyond gets the outermost. There is no
    level at zero, so a vector of zeros comes back short, but not zero.

    Attributes:
        bits: of a number; 2 or 4, which divide a byte.
        dimension: d.
        step: the one with the least squared error on the first documents, 0 where they are all zero. It is stored once
            for the whole corpus, so a vector takes d times `bits`, in whole bytes.
    """

    bits: int
    dimension: int
    step: float

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int) -> Uniform:
        """Try steps around the one that is best for normal numbers as large as the documents' are."""
        sizes = np.sort(np.abs(_sample(vectors)), axis=None)
        if not sizes.any():
            return cls(bits, vectors.shape[1], 0.0)
        steps = _AROUND * _NORMAL_STEP[bits] * np.sqrt(np.mean(sizes**2))
        return cls(bits, vectors.shape[1], float(steps[np.argmin(_loss(sizes, steps, bits))]))

    @property
    def bytes_per_vector(self) -> int:
        """`bits` a number, the last byte filled up."""
        return -(-self.dimension * self.bits // 8)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, bytes) uint8: each number's level, counted from the lowest, the first number in a byte's top bits."""
        return by_rows(self._encode, vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The levels, turned back."""
        return by_rows(self._decode, codes.astype(np.uint8, copy=False))

    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """A few rows."""
        half, each = 2 ** (self.bits - 1), 8 // self.bits
        cells = np.floor(rotate(vectors) / (self.step or 1.0))
        levels = np.zeros((len(vectors), self.bytes_per_vector * each), dtype=np.uint8)
        levels[:, : self.dimension] = np.clip(cells, -half, half - 1) + half
        grouped = levels.reshape(len(vectors), self.bytes_per_vector, each) << self._shifts
        packed: NDArray[np.uint8] = np.bitwise_or.reduce(grouped, axis=2)
        return packed

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A few rows."""
        levels = (codes[:, :, None] >> self._shifts) & np.uint8(2**self.bits - 1)
        flat = levels.reshape(len(codes), 8 // self.bits * codes.shape[1])[:, : self.dimension]
        return rotate_back(2 * flat.astype(np.float64) + 1 - 2**self.bits, self.step / 2)

    @property
    def _shifts(self) -> NDArray[np.uint8]:
        """How far each number of a byte stands from its low end."""
        return np.arange(8 - self.bits, -1, -self.bits, dtype=np.uint8)


@dataclass(frozen=True)
class Binary:
    """The signs of the rotated vector: 1 bit a number.

    RaBitQ (Gao and Long 2024) estimates a dot product with a unit vector x as that with its signs, over the sum of
    x's rotated magnitudes; over the draw of the rotation this is right on average. That sum would take bytes of every
    vector. But the rotation makes it nearly the same for all, sqrt(2 d / pi) with a standard deviation of 1.3 % at 384
    dimensions and 3.6 % at 48, so one factor for the corpus takes its place. Documents then rank by their signs' cosine
    with the query.

    Attributes:
        dimension: d.
        scale: the factor: the documents' squared lengths over their magnitudes, both summed over as many as are fitted
            on, so that the estimate of a document's product with itself is right on average; 0 where all are zero.
    """

    dimension: int
    scale: float

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Binary:
        """Take the factor from the documents."""
        rotated = _sample(vectors)
        magnitudes = float(np.abs(rotated).sum())
        return cls(vectors.shape[1], float((rotated**2).sum()) / magnitudes if magnitudes else 0.0)

    @property
    def bytes_per_vector(self) -> int:
        """1 bit a number, the last byte filled up."""
        return -(-self.dimension // 8)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, bytes) uint8: a bit is set where the number is not negative, the first in a byte's top bit."""
        return by_rows(lambda rows: np.packbits(rotate(rows) >= 0, axis=1), vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The factor with each number's sign, turned back."""
        return by_rows(self._decode, codes.astype(np.uint8, copy=False))

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A few rows."""
        bits = np.unpackbits(codes, axis=1, count=self.dimension)
        return rotate_back(2 * bits.astype(np.float64) - 1, self.scale)


def _sample(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The first documents, rotated: as many as memory is sure to hold."""
    return rotate(vectors[: -(-_FITTED_ON // vectors.shape[1])])


def _loss(sizes: NDArray[np.float64], steps: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """The squared error of each step over magnitudes.

    Args:
        sizes: (m,) magnitudes, ascending; the levels are symmetric, so signs don't matter.
        steps: (s,) steps to try.
        bits: of a number.

    Returns:
        (s,) sums over the magnitudes, from how many fall to each level and what they sum to.
    """
    cells = np.arange(2 ** (bits - 1))
    levels = (cells + 0.5) * steps[:, None]
    first = np.searchsorted(sizes, cells * steps[:, None])
    ends = np.concatenate([first[:, 1:], np.full((len(steps), 1), len(sizes))], axis=1)
    sums = np.concatenate([[0.0], np.cumsum(sizes)])
    loss: NDArray[np.float64] = ((ends - first) * levels**2 - 2 * levels * (sums[ends] - sums[first])).sum(axis=1)
    return loss + np.sum(sizes**2)


CODECS: dict[str, Callable[[NDArray[np.float32]], Codec]] = {
    "float32": Float32.fit,
    "int8": Int8.fit,
    "int4": partial(Uniform.fit, bits=4),
    "int2": partial(Uniform.fit, bits=2),
    "binary": Binary.fit,
}
