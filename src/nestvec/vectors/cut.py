"""How a vector becomes shorter before it is coded: its first numbers, or its place on the documents' principal axes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.vectors.principal_axes import Axes


def prefix(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """(n, dimension) float32: the first numbers of (n, d) vectors, scaled to unit length; zeros stay zeros."""
    if not 1 <= dimension <= vectors.shape[1]:
        raise ValueError(f"dimension {dimension} is not between 1 and {vectors.shape[1]}")
    return scale_to_unit(vectors[:, :dimension])


def shorten(vectors: NDArray[np.float32], dimension: int, axes: Axes | None) -> NDArray[np.float32]:
    """Keep the first numbers of vectors, or of where vectors lie on the principal axes.

    Args:
        vectors: (n, w) float32 queries or documents, w the model's width.
        dimension: how many numbers to keep, 1 to w; as many as there are axes.
        axes: to turn to; None to keep the vectors' own numbers.

    Returns:
        (n, dimension) float32, rows of unit length; zeros stay zeros.
    """
    return prefix(vectors, dimension) if axes is None else scale_to_unit(axes.turn(vectors))


def scale_to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) float32 of unit length; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Cut:
    """What every codec does with a vector of the model's full width before it codes the rest.

    Attributes:
        axes: the principal axes that vectors are turned to; None where the first numbers are kept as they are.
    """

    axes: Axes | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # codecs have it as a field or as a property; here it would become the field's default value

        @property
        def dimension(self) -> int:
            """How many numbers of a vector are kept."""

    def cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, w) queries or documents at the model's width to the (n, dimension) numbers that are coded."""
        return shorten(vectors, self.dimension, self.axes)

    def with_axes(self, axes: Axes | None) -> Self:
        """The same codec of vectors that are turned to these axes; None for vectors that come as they are coded."""
        return replace(self, axes=axes)

    @property
    def axes_bytes(self) -> int:
        """Bytes of the axes, which are stored once for the whole corpus."""
        return 0 if self.axes is None else self.axes.nbytes
