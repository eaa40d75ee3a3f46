"""The codec for binary: one bit per dimension, over directions learned from the documents instead of drawn at random.

A vector's lean, its component along the documents' mean, is stored apart, in one byte. The rest of a vector with d
numbers is approximated by a sum of d directions; each of the d bits says whether its direction is added or subtracted.
Learning alternates two steps: for given bits, the directions are fitted to the documents by least squares; for given
directions, a bit is flipped wherever that brings the sum nearer to the vector. This is additive quantisation (Babenko &
Lempitsky 2014) with codebooks of two entries, one the negative of the other. Documents of one catalogue vary in few
directions, so learned directions describe them better than random ones: for MiniLM's vectors of product titles, a
seventh of the variance is lost instead of a third.

A factor stored with each vector corrects the length that the sum loses (`rabitq.py`). As in `rotation.py`, all numbers
are rounded to multiples of a power of two, so that sums are exact in any order and a vector's code is the same in any
batch.
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
    """The codec for binary: stores, for each direction learned from the documents, whether it is added or subtracted.

    The `step` that it inherits from `Rotated` is not used and 0, because the directions include their lengths.

    Attributes:
        directions: (d, d) float32, one direction for each of the d bits in a row; entries are multiples of 2^-grid.
        grid: number of binary digits after the point in the entries of `directions`.
    """

    directions: NDArray[np.float32]
    grid: int

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int = 1) -> Self:
        """Learn the codec from documents, one vector per row; only the first 2 million numbers are used."""
        if bits != 1:
            raise ValueError(f"bits must be 1 for learned signs, not {bits}")
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
        """Size in bytes of all that is stored once for the whole corpus, most of it the learned directions."""
        return super().extra_bytes + self.directions.nbytes + 8

    @cached_property
    def stretch(self) -> float:
        """The largest factor by which `turn` can lengthen a vector: the spectral norm of the matrix of directions."""
        return float(np.linalg.norm(self.directions, 2))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the dot products of n vectors with the d directions, as (n, d); they are the same in any batch."""
        turned: NDArray[np.float64] = np.ldexp(_to_grid(vectors, _VECTOR_BITS) @ self._whole.T, -self._fine_bits)
        return turned

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        signs = self._descend(turned, _signs_of(rotate(rest)), _SWEEPS)
        return (signs > 0).astype(np.uint8)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((levels @ self._whole) * (factors * 2.0**-self.grid)).astype(np.float32)

    def _descend(self, turned: NDArray[np.float64], signs: NDArray[np.float64], sweeps: int) -> NDArray[np.float64]:
        """Flip signs, one after the other, wherever that brings the signed sum of directions nearer to the vector.

        Let r be the vector minus the sum, and v a direction with sign s: flipping s adds 4 (s r·v + v·v) to the squared
        error.

        Args:
            turned: (n, d) dot products of n vectors with the d directions, from `turn`.
            signs: (n, d) initial signs of the directions for each vector, -1 or 1.
            sweeps: how many times to go through all signs at most.

        Returns:
            (n, d) improved signs.
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
        """Number of binary digits after the point in an exact dot product of a vector with a direction."""
        return _VECTOR_BITS + self.grid

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """The matrix of directions times 2^grid, which makes every entry an integer."""
        return _to_grid(self.directions, self.grid)

    @cached_property
    def _between(self) -> NDArray[np.float64]:
        """(d, d) dot products of the d directions with each other, as multiples of 2^-`_fine_bits`."""
        products: NDArray[np.float64] = np.ldexp(self._whole @ self._whole.T, _VECTOR_BITS - self.grid)
        return products


def _signs_of(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(turned < 0, -1.0, 1.0)


def _to_grid(values: NDArray[np.float32], bits: int) -> NDArray[np.float64]:
    """Multiply values by 2^bits and round the results to integers."""
    whole: NDArray[np.float64] = np.rint(np.ldexp(values.astype(np.float64), bits))
    return whole


def _fit_directions(rest: NDArray[np.float32], signs: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
    """Fit the directions to documents with given signs by least squares, and round them so that all sums are exact.

    The fit is regularised towards the directions of the random rotation, so that a small number of documents does not
    decide the directions alone. Returns the (d, d) directions, and their number of binary digits after the point.
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
