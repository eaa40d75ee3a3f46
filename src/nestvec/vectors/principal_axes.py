"""Principal axes: the directions in which documents vary most; vectors rotated to them lose least when shortened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from nestvec.vectors.rotation import ENTRY_BITS, by_rows, round_to_grid, turn_exactly

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 16_384  # documents in float64 at a time


@dataclass(frozen=True)
class Axes:
    """The first n principal axes of documents, and the documents' mean.

    Attributes:
        matrix: (w, n) float32, one axis of w numbers per column, the axis with the largest variance first. Entries are
            multiples of 2^-24, which makes a vector's products with the axes exact and the same in any batch
            (`rotation.py`).
        shift: (n,) float32, the coordinates of the documents' mean on the axes, which `turn` subtracts.
    """

    matrix: NDArray[np.float32]
    shift: NDArray[np.float32]

    @classmethod
    def fit(cls, documents: NDArray[np.float32]) -> Self:
        """Compute all w principal axes of documents, given as (d, w) for d vectors of w numbers, d at least 1.

        The first n axes keep as much of the documents' variance as any n directions can (Pearson 1901). The sign of an
        axis is arbitrary, so each axis is flipped until its largest entry is positive.
        """
        mean = documents.mean(axis=0, dtype=np.float64)
        spread = np.zeros((len(mean), len(mean)))
        for first in range(0, len(documents), _ROWS):
            centred = documents[first : first + _ROWS] - mean
            spread += centred.T @ centred
        axes = np.linalg.eigh(spread)[1][:, ::-1]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(mean))])
        matrix = round_to_grid(axes)
        return cls(matrix, (mean @ matrix).astype(np.float32))

    def first(self, count: int) -> Axes:
        """Return a copy with only the first `count` axes, along which the documents vary most."""
        return Axes(np.ascontiguousarray(self.matrix[:, :count]), self.shift[:count])

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Subtract the documents' mean from each vector and return its float32 coordinates on the n axes, as (m, n)."""
        return by_rows(lambda rows: (turn_exactly(rows, self._whole) - self.shift).astype(np.float32), vectors)

    @property
    def nbytes(self) -> int:
        """Size in bytes of the principal axes and of the documents' mean."""
        return self.matrix.nbytes + self.shift.nbytes

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """The matrix of axes with its entries multiplied by 2^24, so that they are integers."""
        whole: NDArray[np.float64] = np.ldexp(self.matrix.astype(np.float64), ENTRY_BITS)
        return whole
