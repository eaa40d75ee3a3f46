"""Vectors turned to the axes along which the documents vary most, so that a cut keeps as much as any could."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 16_384  # documents in float64 at a time


def principal_axes(
    queries: NDArray[np.float32], documents: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn vectors to the principal axes of the documents, the one with the largest variance first.

    Cutting the result keeps as much of the documents' variance as any such number of directions can (Pearson 1901).

    Args:
        queries: (q, w) float32.
        documents: (d, w) float32, d at least 1.

    Returns:
        (q, w) and (d, w) float32: less the documents' mean, on the axes. Each axis points where its largest entry is
        positive, for its sign is arbitrary.
    """
    mean = documents.mean(axis=0, dtype=np.float64)
    spread = np.zeros((len(mean), len(mean)))
    for first in range(0, len(documents), _ROWS):
        centred = documents[first : first + _ROWS] - mean
        spread += centred.T @ centred
    axes = np.linalg.eigh(spread)[1][:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(mean))])
    centre, axes = mean.astype(np.float32), axes.astype(np.float32)
    return (queries - centre) @ axes, (documents - centre) @ axes
