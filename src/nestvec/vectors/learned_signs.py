"""The codec for binary: one bit per dimension, over directions learned from the documents instead of drawn at random.

A vector without its lean (its component along the documents' mean) is approximated by a sum of d directions, each with
the sign that its bit states. Learning alternates two steps: given the signs, the directions are a least-squares fit to
the documents; given the directions, a bit is flipped wherever that brings the sum nearer to the vector. This is
additive quantisation (Babenko & Lempitsky 2014) with two words in a codebook, one the negative of the other. Documents
of one catalogue vary in few directions, so a sum of d directions describes them better than d independent signs: for
MiniLM's vectors of product titles, a seventh of the variance is lost instead of a third.

The factor of `Rotated` corrects the length that a sum loses. As in `rotation.py`, all numbers are rounded to grids on
which sums are exact in any order, so that a code does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil, log2
from typing import TYPE_CHECKING, Self

import numpy as np

from nestvec.vectors.rabitq import Range, Rotated, find_lean, length_factors
from nestvec.vectors.rotation import rotate, rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VECTOR_BITS = 24  # bits after the point of a vector's numbers
_EXACT = 53  # bits of an integer that float64 holds exactly
_LONGEST = 4.0  # bound on the length of a unit vector without its lean
_ROUNDS = 3  # rounds of learning, each of signs and directions
_LEFT_OUT = 10  # every tenth document is left out of learning, to show which factors later documents will have
_MOST = 2.0  # largest factor, in multiples of the median: an outlier would make the steps of all factors coarser
_SWEEPS = 4  # passes over all bits when a vector is encoded; further passes flip hardly any bit


@dataclass(frozen=True)
class LearnedSigns(Rotated):
    """The codec for binary; the step of `Rotated` is unused and 0, because the directions have lengths of their own.

    Attributes:
        directions: (d, d) float32, the direction of each bit in a row; entries are multiples of 2^-grid.
        grid: bits after the point of the directions' entries.
    """

    directions: NDArray[np.float32]
    grid: int

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int = 1) -> Self:
        """Learn axis, directions and ranges from (n, d) documents; only the first 2 million numbers are used."""
        if bits != 1:
            raise ValueError(f"bits must be 1 for signs, not {bits}")
        rough, rest = find_lean(vectors, bits)
        make = partial(cls, bits, rough.step, rough.axis, rough.lean)
        taught = np.delete(rest, slice(None, None, _LEFT_OUT), axis=0)
        signs = _signs_of(rotate(taught))
        learned = make(rough.factor, *_fit_directions(taught, signs))
        for _ in range(_ROUNDS):
            signs = learned._descend(learned.turn(taught), signs, sweeps=1)
            learned = make(rough.factor, *_fit_directions(taught, signs))
        turned = learned.turn(rest)
        factors = length_factors(rest, turned, learned._choose_levels(rest, turned), bits)
        usual = np.median(factors) if len(factors) else 0.0
        return make(Range.of(np.minimum(factors, _MOST * usual)), learned.directions, learned.grid)

    @property
    def extra_bytes(self) -> int:
        """Bytes stored once for the whole corpus: those of `Rotated`, the directions and their grid."""
        return super().extra_bytes + self.directions.nbytes + 8

    @cached_property
    def stretch(self) -> float:
        """The most by which `turn` can lengthen a vector: the spectral norm of the directions."""
        return float(np.linalg.norm(self.directions, 2))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the (n, d) dot products of (n, d) vectors with the directions."""
        turned: NDArray[np.float64] = np.ldexp(_to_grid(vectors, _VECTOR_BITS) @ self._whole.T, -self._fine_bits)
        return turned

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        signs = self._descend(turned, _signs_of(rotate(rest)), _SWEEPS)
        return (signs > 0).astype(np.uint8)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((levels @ self._whole) * (factors * 2.0**-self.grid)).astype(np.float32)

    def _descend(self, turned: NDArray[np.float64], signs: NDArray[np.float64], sweeps: int) -> NDArray[np.float64]:
        """Flip bits, one after the other, wherever that brings the sum of directions nearer to the vector.

        With r the difference between vector and sum, and v the direction of a bit with sign s, a flip adds
        4 (s r·v + v·v) to the squared error.

        Args:
            turned: result of `turn` for (n, d) vectors without their lean.
            signs: (n, d) initial signs, -1 or 1.
            sweeps: most passes over all bits.

        Returns:
            (n, d) signs.
        """
        signs, between = signs.copy(), self._between
        lacking = np.ldexp(turned, self._fine_bits) - signs @ between  # r·v, as integers
        own = np.diag(between)
        for _ in range(sweeps):
            before = signs.copy()
            for bit in range(signs.shape[1]):
                rows = np.flatnonzero(signs[:, bit] * lacking[:, bit] + own[bit] < 0)
                lacking[rows] += 2 * signs[rows, bit, None] * between[bit]
                signs[rows, bit] *= -1
            if np.array_equal(signs, before):
                break
        return signs

    @property
    def _fine_bits(self) -> int:
        """Bits after the point of a vector's exact dot products with the directions."""
        return _VECTOR_BITS + self.grid

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """(d, d) the directions as integers on their grid."""
        return _to_grid(self.directions, self.grid)

    @cached_property
    def _between(self) -> NDArray[np.float64]:
        """(d, d) dot products of the directions with each other, in units of 2^-`_fine_bits`."""
        products: NDArray[np.float64] = np.ldexp(self._whole @ self._whole.T, _VECTOR_BITS - self.grid)
        return products


def _signs_of(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(turned < 0, -1.0, 1.0)


def _to_grid(values: NDArray[np.float32], bits: int) -> NDArray[np.float64]:
    """Round values to multiples of 2^-bits and return these multiples as integers."""
    whole: NDArray[np.float64] = np.rint(np.ldexp(values.astype(np.float64), bits))
    return whole


def _fit_directions(rest: NDArray[np.float32], signs: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
    """Fit directions by least squares; returns them and the bits of the finest grid on which sums are exact.

    For regularisation, d artificial vectors are added whose best directions are those of the random rotation. So a few
    documents do not decide alone what the signs of later documents mean.
    """
    width = signs.shape[1]
    step = float(np.abs(rest).mean(dtype=np.float64)) if rest.size else 0.0
    system = signs.T @ signs + width * np.eye(width)
    wanted = signs.T @ rest.astype(np.float64) + width * step * rotation(width).T.astype(np.float64)
    directions = np.linalg.solve(system, wanted)
    products = np.abs(directions @ directions.T).sum(axis=1) + _LONGEST * np.linalg.norm(directions, axis=1)
    room = _EXACT - _VECTOR_BITS - 1 - ceil(log2(max(float(products.max(initial=0)), 1e-9)))
    grid = min(_VECTOR_BITS, room)
    return np.ldexp(_to_grid(directions, grid), -grid).astype(np.float32), grid
