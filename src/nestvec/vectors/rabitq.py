"""A few bits a number over a random rotation, with an estimate of dot products that is right on average.

RaBitQ (Gao and Long 2024; with more bits, Gao et al. 2025) takes the documents' centre out of a vector, rotates what is
left and keeps a few bits of each number. What these lose of its length is made up for by a factor of the vector's own,
so that over the draw of the rotation no product is over- or underestimated.

Documents of one catalogue all lean towards their mean. How far a vector does is kept in a byte of its own; the bits
then go to what tells documents apart. The factor takes another byte.
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

_FITTED_ON = 2_000_000  # numbers, the first documents': 5,208 vectors of 384
_NORMAL_STEP = {1: 1.5958, 2: 0.9957, 4: 0.3352}  # bits to the best step for a standard normal number (Max 1960)
_AROUND = np.linspace(0.5, 1.5, 101)  # times that step: what is tried on the documents


@dataclass(frozen=True)
class Range:
    """Numbers as one byte each: 256 even steps from `low` to `high`; what lies beyond gets the end."""

    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Range:
        """The range of some values; of none, any."""
        return cls(float(values.min()), float(values.max())) if len(values) else cls(0.0, 0.0)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(n,) values to bytes."""
        width = (self.high - self.low) or 1.0
        steps: NDArray[np.uint8] = np.rint(255 * np.clip((values - self.low) / width, 0, 1)).astype(np.uint8)
        return steps

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(n,) bytes to values."""
        values: NDArray[np.float64] = self.low + codes.astype(np.float64) * ((self.high - self.low) / 255)
        return values


@dataclass(frozen=True)
class Rotated(Cut):
    """The codec for int4 and int2; `LearnedSigns`, which is that for binary, turns vectors otherwise.

    With b bits there are 2^b levels, at odd multiples of half a step; what lies beyond gets the outermost.

    Attributes:
        bits: of a number: 1, 2 or 4, which divide a byte.
        step: between two levels: the one with the least squared error on the first documents, 0 where all are zero.
        axis: (d,) float32, the direction of these documents' mean, of unit length, or zero.
        lean: range of a vector's product with the axis.
        factor: range of what a vector's levels are multiplied by: the squared length of what is rotated over its
            product with the levels.
    """

    bits: int
    step: float
    axis: NDArray[np.float32]
    lean: Range
    factor: Range

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int) -> Rotated:
        """Learn axis, step and ranges from the first (n, d) documents, as many as memory is sure to hold."""
        rough, rest = find_lean(vectors, bits)
        turned = rotate(rest)
        step = _best_step(np.sort(np.abs(turned), axis=None), bits)
        levels = _nearest_levels(turned, step, bits)
        return replace(rough, step=step, factor=Range.of(length_factors(rest, turned, levels, bits)))

    @property
    def dimension(self) -> int:
        """How many numbers of a vector are kept."""
        return len(self.axis)

    @property
    def bytes_per_vector(self) -> int:
        """`bits` a number, the last byte filled up, and two bytes of the vector's own."""
        return self._packed_bytes + CORRECTION

    @property
    def extra_bytes(self) -> int:
        """Bytes stored once for the whole corpus: the mean's axis, principal axes, the step and two ranges."""
        return 4 * self.dimension + 8 * 5 + self.axes_bytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, bytes) uint8: each number's level, the first number in a byte's top bits; then lean and factor."""
        return by_rows(self._encode_rows, vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The levels times the vector's factor, turned back, and its lean on the axis."""
        return by_rows(self._decode_rows, codes.astype(np.uint8, copy=False))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) what levels are multiplied by in a product with (n, d) vectors: a query is turned once for all."""
        return rotate(vectors)

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(n, d) levels, counted from the lowest, of (n, d) vectors without their lean, and of these turned."""
        del rest
        return _nearest_levels(turned, self.step, self.bits)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n, d) vectors of (n, d) centred levels and (n, 1) factors."""
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
        """(n,) bytes of how far each vector leans, and (n, d) what the byte does not say: its error is not lost."""
        lean = self.lean.encode(_axis_products(vectors, self.axis))
        return lean, (vectors - self.lean.decode(lean)[:, None] * self.axis).astype(np.float32)

    @property
    def _packed_bytes(self) -> int:
        return -(-self.dimension * self.bits // 8)

    @property
    def _bit_shifts(self) -> NDArray[np.uint8]:
        """How far each number of a byte stands from its low end."""
        return np.arange(8 - self.bits, -1, -self.bits, dtype=np.uint8)


def find_lean(vectors: NDArray[np.float32], bits: int) -> tuple[Rotated, NDArray[np.float32]]:
    """Learn the axis, and how far documents lean on it.

    Args:
        vectors: (n, d) documents.
        bits: of a number.

    Returns:
        A codec that knows no step and no factors yet, and what is left of the first documents, as many as memory is
        sure to hold, without their lean.
    """
    sample = vectors[: -(-_FITTED_ON // vectors.shape[1])]
    mean = sample.mean(axis=0, dtype=np.float64) if len(sample) else np.zeros(vectors.shape[1])
    axis = (mean / (np.linalg.norm(mean) or 1.0)).astype(np.float32)
    rough = Rotated(bits, 0.0, axis, Range.of(_axis_products(sample, axis)), Range(0.0, 0.0))
    return rough, rough._split_lean(sample)[1]


def _axis_products(vectors: NDArray[np.float32], axis: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,) products with the axis, each row summed alone, so that it does not matter what is coded with it."""
    products: NDArray[np.float64] = (vectors.astype(np.float64) * axis).sum(axis=1)
    return products


def _nearest_levels(turned: NDArray[np.float64], step: float, bits: int) -> NDArray[np.uint8]:
    """(n, d) levels, counted from the lowest."""
    half = 2 ** (bits - 1)
    levels: NDArray[np.uint8] = (np.clip(np.floor(turned / (step or 1.0)), -half, half - 1) + half).astype(np.uint8)
    return levels


def _centre_levels(levels: NDArray[np.uint8], bits: int) -> NDArray[np.float64]:
    """Levels as odd whole numbers around 0."""
    odd: NDArray[np.float64] = 2 * levels.astype(np.float64) + 1 - 2**bits
    return odd


def length_factors(
    rest: NDArray[np.float32], turned: NDArray[np.float64], levels: NDArray[np.uint8], bits: int
) -> NDArray[np.float64]:
    """(n,) squared length of each vector over its product with its levels; 0 for one of zeros."""
    products = (turned * _centre_levels(levels, bits)).sum(axis=1)
    squares = (rest.astype(np.float64) ** 2).sum(axis=1)
    factors: NDArray[np.float64] = squares / np.where(products > 0, products, 1) * (products > 0)
    return factors


def _best_step(sizes: NDArray[np.float64], bits: int) -> float:
    """Of steps around the one for normal numbers, the one with the least squared error over (m,) sorted magnitudes."""
    if not sizes.any():
        return 0.0
    steps = _AROUND * _NORMAL_STEP[bits] * np.sqrt(np.mean(sizes**2))
    return float(steps[np.argmin(_squared_errors(sizes, steps, bits))])


def _squared_errors(sizes: NDArray[np.float64], steps: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
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
