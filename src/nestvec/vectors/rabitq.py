"""Quantises rotated vectors to 1, 2 or 4 bits per number, with an unbiased estimate of dot products (RaBitQ).

RaBitQ (Gao and Long 2024; with more bits, Gao et al. 2025) subtracts the documents' centre from a vector, rotates the
rest at random and keeps a few bits of each number. A factor stored with each vector corrects the length that the bits
lose, so that averaged over random rotations no dot product is over- or underestimated.

The vectors of one catalogue all have a similar component along the documents' mean. This component, the vector's lean,
is stored in a byte of its own, so that the bits describe only what distinguishes documents. The factor takes another
byte.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.point import CORRECTION
from nestvec.vectors.cut import Cut
from nestvec.vectors.rotation import by_rows, rotate, rotate_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FITTED_ON = 2_000_000  # numbers to fit on, from the first documents: 5,208 vectors of 384 dimensions
_NORMAL_STEP = {1: 1.5958, 2: 0.9957, 4: 0.3352}  # best step for a standard normal number by bits (Max 1960)
_AROUND = np.linspace(0.5, 1.5, 101)  # multiples of that step to try on the documents


@dataclass(frozen=True)
class Range:
    """Encodes numbers in one byte each: 256 even steps from `low` to `high`; values outside are clipped."""

    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Range:
        """Make the range from the smallest to the largest of these values; from 0 to 0 if there are none."""
        return cls(float(values.min()), float(values.max())) if len(values) else cls(0.0, 0.0)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Encode each value as one byte, the number of the nearest step."""
        width = (self.high - self.low) or 1.0
        steps: NDArray[np.uint8] = np.rint(255 * np.clip((values - self.low) / width, 0, 1)).astype(np.uint8)
        return steps

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Decode each byte to the value of its step."""
        values: NDArray[np.float64] = self.low + codes.astype(np.float64) * ((self.high - self.low) / 255)
        return values


@dataclass(frozen=True)
class Rotated(Cut):
    """The codec for int4 and int2, and the base class of `LearnedSigns`, the codec for binary.

    Each number of a rotated vector is rounded to the nearest of 2^bits evenly spaced levels around 0.

    Attributes:
        bits: bits per number: 1, 2 or 4.
        step: distance between neighbouring levels, chosen for the least squared error on the first documents; 0 if all
            numbers are 0.
        axis: (d,) float32, the direction of these documents' mean, of unit length, or all 0 if the mean is 0.
        lean: range of the vectors' leans: their dot products with `axis`, stored in a byte each.
        factor: range of the vectors' factors, stored in a byte each. A factor scales a vector's levels to the right
            length: squared length of the vector without its lean, divided by that vector's dot product with its levels.
    """

    bits: int
    step: float
    axis: NDArray[np.float32]
    lean: Range
    factor: Range

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int) -> Rotated:
        """Learn the codec from documents, one vector per row; only the first 2 million numbers are used."""
        rough, rest = find_lean(vectors, bits)
        turned = rotate(rest)
        step = _best_step(np.sort(np.abs(turned), axis=None), bits)
        levels = _nearest_levels(turned, step, bits)
        return replace(rough, step=step, factor=Range.of(length_factors(rest, turned, levels, bits)))

    @property
    def dimension(self) -> int:
        """Number of dimensions that the codec keeps of a vector."""
        return len(self.axis)

    @property
    def bytes_per_vector(self) -> int:
        """Size of a code in bytes.

        It has `bits` per dimension, rounded up to whole bytes; a byte for the vector's lean (its component along the
        documents' mean), and a byte for the factor that corrects its length.
        """
        return self._packed_bytes + CORRECTION

    @property
    def extra_bytes(self) -> int:
        """Size in bytes of what is stored once for the whole corpus: mean direction, axes, step and two ranges."""
        return 4 * self.dimension + 8 * 5 + self.axes_bytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Encode vectors, one per row, as rows of bytes.

        First come the quantised levels, packed from a byte's highest bit on; then a byte for the vector's lean (its
        component along the documents' mean), and one for the factor that corrects the length.
        """
        return by_rows(self._encode_rows, vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Decode rows of bytes from `encode` to float32 vectors.

        The levels are multiplied by the vector's factor and rotated back; then its component along the documents' mean
        is added.
        """
        return by_rows(self._decode_rows, codes.astype(np.uint8, copy=False))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rotate n queries once, so that they can be multiplied with codes without rotating the documents back."""
        return rotate(vectors)

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Choose the level of each number of n vectors without their lean, given both unrotated and rotated."""
        del rest
        return _nearest_levels(turned, self.step, self.bits)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        """Convert quantised levels (odd integers around 0) to vectors: rotate back and scale each row by its factor."""
        return rotate_back(levels, factors)

    def _encode_rows(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        lean, rest = self._split_lean(vectors)
        turned = self.turn(rest)
        levels = self._choose_levels(rest, turned)
        factors = self.factor.encode(length_factors(rest, turned, levels, self.bits))
        shape = len(vectors), self._packed_bytes, 8 // self.bits
        padded = np.zeros((len(vectors), shape[1] * shape[2]), dtype=np.uint8)
        padded[:, : self.dimension] = levels
        packed = np.bitwise_or.reduce(padded.reshape(shape) << self._bit_shifts, axis=2)
        return np.concatenate([packed, lean[:, None], factors[:, None]], axis=1)

    def _decode_rows(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        packed, lean, factor = codes[:, :-CORRECTION], self.lean.decode(codes[:, -2]), self.factor.decode(codes[:, -1])
        levels = ((packed[:, :, None] >> self._bit_shifts) & np.uint8(2**self.bits - 1)).reshape(
            len(codes), 8 // self.bits * self._packed_bytes
        )
        rest = self._turn_back(_centre_levels(levels[:, : self.dimension], self.bits), factor[:, None])
        decoded: NDArray[np.float32] = rest + (lean[:, None] * self.axis).astype(np.float32)
        return decoded

    def _split_lean(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Split vectors into their component along the documents' mean, as (n,) bytes, and the rest, (n, d) numbers."""
        lean = self.lean.encode(_axis_products(vectors, self.axis))
        return lean, (vectors - self.lean.decode(lean)[:, None] * self.axis).astype(np.float32)

    @property
    def _packed_bytes(self) -> int:
        return -(-self.dimension * self.bits // 8)

    @property
    def _bit_shifts(self) -> NDArray[np.uint8]:
        """By how many bits each packed level is shifted inside its byte, counted from the lowest bit."""
        return np.arange(8 - self.bits, -1, -self.bits, dtype=np.uint8)


def find_lean(vectors: NDArray[np.float32], bits: int) -> tuple[Rotated, NDArray[np.float32]]:
    """Learn the direction of the documents' mean, and the range of the documents' components along it (leans).

    Args:
        vectors: the documents, one vector per row; only the first 2 million numbers are used.
        bits: bits per number.

    Returns:
        A codec whose step and factors are still to be fitted; and the vectors that were used, without their lean.
    """
    sample = vectors[: -(-_FITTED_ON // vectors.shape[1])]
    mean = sample.mean(axis=0, dtype=np.float64) if len(sample) else np.zeros(vectors.shape[1])
    axis = (mean / (np.linalg.norm(mean) or 1.0)).astype(np.float32)
    rough = Rotated(bits, 0.0, axis, Range.of(_axis_products(sample, axis)), Range(0.0, 0.0))
    return rough, rough._split_lean(sample)[1]


def _axis_products(vectors: NDArray[np.float32], axis: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute each vector's dot product with the mean's axis, row by row, so that no result depends on the batch."""
    products: NDArray[np.float64] = (vectors.astype(np.float64) * axis).sum(axis=1)
    return products


def _nearest_levels(turned: NDArray[np.float64], step: float, bits: int) -> NDArray[np.uint8]:
    """Round rotated numbers to the nearest levels, which are numbered from 0, the lowest."""
    half = 2 ** (bits - 1)
    levels: NDArray[np.uint8] = (np.clip(np.floor(turned / (step or 1.0)), -half, half - 1) + half).astype(np.uint8)
    return levels


def _centre_levels(levels: NDArray[np.uint8], bits: int) -> NDArray[np.float64]:
    """Convert levels, counted from the lowest, to odd integers around 0, such as -3, -1, 1 and 3."""
    odd: NDArray[np.float64] = 2 * levels.astype(np.float64) + 1 - 2**bits
    return odd


def length_factors(
    rest: NDArray[np.float32], turned: NDArray[np.float64], levels: NDArray[np.uint8], bits: int
) -> NDArray[np.float64]:
    """Compute the factor that scales each vector's levels to the right length; 0 for a zero vector.

    A vector's factor is its squared length divided by its dot product with its levels.

    Args:
        rest: (n, d) vectors, one per row, without their components along the documents' mean.
        turned: (n, d) the same vectors, rotated.
        levels: (n, d) the level of each rotated number, counted from the lowest.
        bits: bits per number.

    Returns:
        (n,) the factor of each vector.
    """
    products = (turned * _centre_levels(levels, bits)).sum(axis=1)
    squares = (rest.astype(np.float64) ** 2).sum(axis=1)
    factors: NDArray[np.float64] = squares / np.where(products > 0, products, 1) * (products > 0)
    return factors


def _best_step(sizes: NDArray[np.float64], bits: int) -> float:
    """Try steps near the best one for normally distributed numbers; returns that with the least squared error."""
    if not sizes.any():
        return 0.0
    steps = _AROUND * _NORMAL_STEP[bits] * np.sqrt(np.mean(sizes**2))
    return float(steps[np.argmin(_squared_errors(sizes, steps, bits))])


def _squared_errors(sizes: NDArray[np.float64], steps: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Compute, for each step, the squared error of rounding all numbers to levels with this step between them.

    The error needs only the count and the sum of the magnitudes at each level, so no step needs a pass over all.

    Args:
        sizes: magnitudes of the numbers, ascending; the levels are symmetric, so signs don't matter.
        steps: the steps to try.
        bits: bits per number.

    Returns:
        The sum of squared errors for each step.
    """
    cells = np.arange(2 ** (bits - 1))
    levels = (cells + 0.5) * steps[:, None]
    first = np.searchsorted(sizes, cells * steps[:, None])
    ends = np.concatenate([first[:, 1:], np.full((len(steps), 1), len(sizes))], axis=1)
    sums = np.concatenate([[0.0], np.cumsum(sizes)])
    loss: NDArray[np.float64] = ((ends - first) * levels**2 - 2 * levels * (sums[ends] - sums[first])).sum(axis=1)
    return loss + np.sum(sizes**2)
