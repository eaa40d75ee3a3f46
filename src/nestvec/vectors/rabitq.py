"""Quantises rotated vectors to 1, 2 or 4 bits per number, with an unbiased estimate of dot products (RaBitQ).

RaBitQ (Gao and Long 2024; with more bits, Gao et al. 2025) subtracts the documents' centre from a vector, rotates the
rest at random and keeps a few bits of each number. A factor stored with each vector corrects the length that the bits
lose, so that averaged over random rotations no dot product is over- or underestimated.

Documents of one catalogue all lean towards their mean. A vector's lean, its component along the mean, is stored in one
byte, so that the bits describe only what distinguishes documents. The factor takes another byte.
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
        """Make the range from the least to the greatest of some values; 0 to 0 if there are none."""
        return cls(float(values.min()), float(values.max())) if len(values) else cls(0.0, 0.0)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Encode (n,) values as bytes."""
        width = (self.high - self.low) or 1.0
        steps: NDArray[np.uint8] = np.rint(255 * np.clip((values - self.low) / width, 0, 1)).astype(np.uint8)
        return steps

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Decode (n,) bytes to values."""
        values: NDArray[np.float64] = self.low + codes.astype(np.float64) * ((self.high - self.low) / 255)
        return values


@dataclass(frozen=True)
class Rotated(Cut):
    """The codec for int4 and int2, and the base of `LearnedSigns`, the codec for binary.

    With b bits there are 2^b levels, at odd multiples of half a step; values beyond get the outermost level.

    Attributes:
        bits: bits per number: 1, 2 or 4.
        step: distance between two levels: the one with the least squared error on the first documents; 0 if all numbers
            are 0.
        axis: (d,) float32, the direction of these documents' mean, of unit length, or all 0 if the mean is 0.
        lean: range of the vectors' dot products with the axis.
        factor: range of the vectors' factors. A factor multiplies a vector's levels; it is the squared length of the
            rotated rest divided by the rest's dot product with the levels.
    """

    bits: int
    step: float
    axis: NDArray[np.float32]
    lean: Range
    factor: Range

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int) -> Rotated:
        """Learn axis, step and ranges from (n, d) documents; only the first 2 million numbers are used."""
        rough, rest = find_lean(vectors, bits)
        turned = rotate(rest)
        step = _best_step(np.sort(np.abs(turned), axis=None), bits)
        levels = _nearest_levels(turned, step, bits)
        return replace(rough, step=step, factor=Range.of(length_factors(rest, turned, levels, bits)))

    @property
    def dimension(self) -> int:
        """Number of dimensions that are kept."""
        return len(self.axis)

    @property
    def bytes_per_vector(self) -> int:
        """Size of a code in bytes: `bits` per dimension, rounded up to a byte, and two bytes for lean and factor."""
        return self._packed_bytes + CORRECTION

    @property
    def extra_bytes(self) -> int:
        """Bytes stored once for the whole corpus: the mean's axis, principal axes, the step and two ranges."""
        return 4 * self.dimension + 8 * 5 + self.axes_bytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """Encode (n, d) vectors as (n, bytes) uint8: levels, the first in a byte's top bits; then lean and factor."""
        return by_rows(self._encode_rows, vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Decode (n, bytes) codes to (n, d) float32: levels times factor, rotated back, plus lean times axis."""
        return by_rows(self._decode_rows, codes.astype(np.uint8, copy=False))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rotate n queries once, so that they can be multiplied with codes without rotating the documents back."""
        return rotate(vectors)

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Choose the level of each number of n vectors without their lean, given both unrotated and rotated."""
        del rest
        return _nearest_levels(turned, self.step, self.bits)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rotate (n, d) centred levels back and multiply them by (n, 1) factors; gives (n, d) vectors."""
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
    """Learn the mean's axis and the range of the documents' lean.

    Args:
        vectors: (n, d) documents; only the first 2 million numbers are used.
        bits: bits per number.

    Returns:
        A codec without step and factor, to be completed; and the (m, d) first documents without their lean.
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
    """Round (n, d) numbers to the nearest levels, counted from the lowest."""
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
    """Compute the (n,) factors: a vector's squared length divided by its product with its levels; 0 for a zero vector.

    Args:
        rest: (n, d) vectors without lean.
        turned: the same vectors, rotated.
        levels: (n, d) their levels.
        bits: bits per number.

    Returns:
        (n,) factors.
    """
    products = (turned * _centre_levels(levels, bits)).sum(axis=1)
    squares = (rest.astype(np.float64) ** 2).sum(axis=1)
    factors: NDArray[np.float64] = squares / np.where(products > 0, products, 1) * (products > 0)
    return factors


def _best_step(sizes: NDArray[np.float64], bits: int) -> float:
    """Find the step with the least squared error over (m,) sorted magnitudes, near the best step for normal numbers."""
    if not sizes.any():
        return 0.0
    steps = _AROUND * _NORMAL_STEP[bits] * np.sqrt(np.mean(sizes**2))
    return float(steps[np.argmin(_squared_errors(sizes, steps, bits))])


def _squared_errors(sizes: NDArray[np.float64], steps: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Compute the squared error of each step over all magnitudes.

    The sums are computed from the number and the sum of the magnitudes at each level, without a pass over them.

    Args:
        sizes: (m,) magnitudes, ascending; the levels are symmetric, so signs don't matter.
        steps: (s,) steps to try.
        bits: bits per number.

    Returns:
        (s,) sums of squared errors.
    """
    cells = np.arange(2 ** (bits - 1))
    levels = (cells + 0.5) * steps[:, None]
    first = np.searchsorted(sizes, cells * steps[:, None])
    ends = np.concatenate([first[:, 1:], np.full((len(steps), 1), len(sizes))], axis=1)
    sums = np.concatenate([[0.0], np.cumsum(sizes)])
    loss: NDArray[np.float64] = ((ends - first) * levels**2 - 2 * levels * (sums[ends] - sums[first])).sum(axis=1)
    return loss + np.sum(sizes**2)
