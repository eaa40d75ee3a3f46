"""How a vector is shortened before it is quantised: to its first numbers, or to its first principal coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.vectors.principal_axes import Axes


def prefix(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Cut (n, d) vectors to their first `dimension` numbers and scale each to unit length; zero vectors stay zero.

    Raises ValueError where `dimension` is not between 1 and d.
    """
    if not 1 <= dimension <= vectors.shape[1]:
        raise ValueError(f"dimension {dimension} is not between 1 and {vectors.shape[1]}")
    return scale_to_unit(vectors[:, :dimension])


def shorten(vectors: NDArray[np.float32], dimension: int, axes: Axes | None) -> NDArray[np.float32]:
    """Shorten vectors to their first numbers, or to their coordinates on the first principal axes.

    Args:
        vectors: (n, w) float32 queries or documents, w being the model's width.
        dimension: how many numbers to keep, 1 to w; must equal the number of axes if axes are given.
        axes: the principal axes to rotate the vectors to; None keeps the first numbers of each vector unchanged.

    Returns:
        (n, dimension) float32, rows of unit length; zero vectors stay zero.
    """
    return prefix(vectors, dimension) if axes is None else scale_to_unit(axes.turn(vectors))


def scale_to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale (n, d) vectors to unit length, as float32; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Cut:
    """Base class of all codecs: shortens vectors of the model's full width before they are quantised.

    Attributes:
        axes: the principal axes that vectors are rotated to; None if a vector's first numbers are kept unchanged.
    """

    axes: Axes | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # codecs have it as a field or as a property; here it would become the field's default value

        @property
        def dimension(self) -> int:
            """Number of dimensions to which vectors are shortened before they are quantised."""

    def cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shorten vectors of the model's full width, one per row, to the codec's dimension and to unit length."""
        return shorten(vectors, self.dimension, self.axes)

    def with_axes(self, axes: Axes | None) -> Self:
        """Return a copy of the codec with other principal axes; with None, it keeps a vector's first numbers."""
        return replace(self, axes=axes)

    @property
    def axes_bytes(self) -> int:
        """Size of the principal axes in bytes, which are stored once for the whole catalogue; 0 without axes."""
        return 0 if self.axes is None else self.axes.nbytes
