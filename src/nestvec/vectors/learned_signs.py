"""One bit a number over directions that are learned from the documents, in place of a random rotation's.

A vector, without its lean on the documents' mean, is a sum of d directions, each with the sign that its bit says. The
directions that give the documents back best are the least squares over their signs, and the signs that suit the
directions best are found bit by bit: a bit is flipped where that brings the sum nearer. Both take turns (additive
quantisation, Babenko & Lempitsky 2014, with two words a codebook, one the other's negative). Documents of one catalogue
lie in few directions, so a sum of all d says more of them than d signs do that each stand for themselves: of MiniLM's
vectors of product titles a seventh of the variance is lost, in place of a third.

The factor of `Rotated` makes up for what a sum lacks in length. A code must not depend on what else is coded with it:
as in `rotation.py`, all numbers are on grids, on which their sums are exact in any order.
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

_VECTOR_BITS = 24  # after the point, of a vector's numbers
_EXACT = 53  # bits of a whole number that float64 holds
_LONGEST = 4.0  # more than a vector of unit length has without its lean
_ROUNDS = 3  # of learning: directions, then signs
_LEFT_OUT = 10  # every tenth document teaches nothing: it shows which factors later documents will have
_MOST = 2.0  # times the usual factor: a vector that its code hardly holds must not coarsen all others' factors
_SWEEPS = 4  # over all bits of a vector that is coded; beyond, hardly any is flipped


@dataclass(frozen=True)
class LearnedSigns(Rotated):
    """The codec for binary; the directions have lengths, so that the step of `Rotated` is 0 and counts for nothing.

    Attributes:
        directions: (d, d) float32, what each bit's sign stands for, a row for each; multiples of 2^-grid.
        grid: bits after the point of their numbers.
    """

    directions: NDArray[np.float32]
    grid: int

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], bits: int = 1) -> Self:
        """Learn axis, directions and ranges from the first (n, d) documents, as many as memory is sure to hold."""
        if bits != 1:
            raise ValueError(f"a sign is 1 bit, not {bits}")
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
        """Bytes that are stored once for the whole corpus: those of `Rotated`, the directions and their grid."""
        return super().extra_bytes + self.directions.nbytes + 8

    @cached_property
    def stretch(self) -> float:
        """How many times as long a vector can be once it is turned."""
        return float(np.linalg.norm(self.directions, 2))

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) products of (n, d) vectors with the directions."""
        turned: NDArray[np.float64] = np.ldexp(_to_grid(vectors, _VECTOR_BITS) @ self._whole.T, -self._fine_bits)
        return turned

    def _choose_levels(self, rest: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.uint8]:
        signs = self._descend(turned, _signs_of(rotate(rest)), _SWEEPS)
        return (signs > 0).astype(np.uint8)

    def _turn_back(self, levels: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((levels @ self._whole) * (factors * 2.0**-self.grid)).astype(np.float32)

    def _descend(self, turned: NDArray[np.float64], signs: NDArray[np.float64], sweeps: int) -> NDArray[np.float64]:
        """Flip bits, one after the other, where that brings the sum of directions nearer to the vector.

        With r what the sum lacks and v the direction of a bit s, a flip adds 4 (s r·v + v·v) to the squared error.

        Args:
            turned: what `turn` makes of (n, d) vectors without their lean.
            signs: (n, d) of -1 and 1 to begin with.
            sweeps: how often to go over all bits.

        Returns:
            (n, d) signs.
        """
        signs, between = signs.copy(), self._between
        lacking = np.ldexp(turned, self._fine_bits) - signs @ between  # r·v, whole numbers
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
        """Bits after the point of a vector's products with the directions, which are exact."""
        return _VECTOR_BITS + self.grid

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """(d, d) the directions as whole numbers."""
        return _to_grid(self.directions, self.grid)

    @cached_property
    def _between(self) -> NDArray[np.float64]:
        """(d, d) products of the directions with each other, in the unit of a vector's products with them."""
        products: NDArray[np.float64] = np.ldexp(self._whole @ self._whole.T, _VECTOR_BITS - self.grid)
        return products


def _signs_of(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(turned < 0, -1.0, 1.0)


def _to_grid(values: NDArray[np.float32], bits: int) -> NDArray[np.float64]:
    """The nearest whole multiples of 2^-bits, as whole numbers."""
    whole: NDArray[np.float64] = np.rint(np.ldexp(values.astype(np.float64), bits))
    return whole


def _fit_directions(rest: NDArray[np.float32], signs: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
    """The directions that give vectors back best from their signs, and the finest grid on which sums are exact.

    As many vectors as there are directions are added that a rotation's directions would give back, so that few
    documents do not decide all alone what a later document's signs stand for.
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
