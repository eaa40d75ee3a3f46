"""The axes along which the documents vary most: vectors turned to them lose least where they are cut."""

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
    """The first n principal axes of documents.

    Attributes:
        matrix: (w, n) float32, an axis in each column, the one with the largest variance first; multiples of 2^-24, so
            that a vector's products with the axes do not depend on what is turned with the vector (`rotation.py`).
        shift: (n,) float32, the documents' mean on the axes, which is taken away.
    """

    matrix: NDArray[np.float32]
    shift: NDArray[np.float32]

    @classmethod
    def fit(cls, documents: NDArray[np.float32]) -> Self:
        """Find all axes of (d, w) documents, d at least 1.

        Cutting what is turned keeps as much of the documents' variance as any such number of directions can (Pearson
        1901). Each axis points where its largest entry is positive, for its sign is arbitrary.
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
        """The first `count` of these axes, those along which documents vary most."""
        return Axes(np.ascontiguousarray(self.matrix[:, :count]), self.shift[:count])

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m, n) float32: where (m, w) vectors lie on the axes, seen from the documents' mean."""
        return by_rows(lambda rows: (turn_exactly(rows, self._whole) - self.shift).astype(np.float32), vectors)

    @property
    def nbytes(self) -> int:
        """Bytes that the axes and the mean take."""
        return self.matrix.nbytes + self.shift.nbytes

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """The matrix as whole numbers."""
        whole: NDArray[np.float64] = np.ldexp(self.matrix.astype(np.float64), ENTRY_BITS)
        return whole
