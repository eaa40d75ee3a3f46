"""A random rotation of vectors, the same in every process, computed without rounding errors.

A vector's code must not depend on the batch it is encoded in. A floating-point matrix product rounds differently by
shape, position and processor, so a number close to a boundary between two levels would get different codes. Therefore
the numbers of vectors and rotation are rounded to integers whose products and sums stay below 2^53, which float64 holds
exactly. Exact sums are equal in any order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SEED = 0  # with another seed, existing codes would decode to different vectors
ENTRY_BITS = 24  # bits after the point of the rotation's entries: as many as float32 holds
_VECTOR_BITS = 22  # bits of a vector's numbers, relative to its largest: 22 + 24 + log2(sqrt(16,384)) is 53
_ROWS = 4096  # rows converted to float64 at a time

Input = TypeVar("Input", bound=np.generic)
Output = TypeVar("Output", bound=np.generic)


@lru_cache(maxsize=16)
def rotation(dimension: int) -> NDArray[np.float32]:
    """Draw an orthogonal matrix uniformly (Haar-distributed), from a fixed seed.

    The matrix is Q of the QR decomposition of normal draws, with signs chosen so that Q is Haar-distributed (Mezzadri
    2007, section 5). Another build of LAPACK may round an entry to the next multiple of 2^-24.

    Args:
        dimension: d, at least 1.

    Returns:
        (d, d) float32, orthogonal, read-only; entries are multiples of 2^-24.
    """
    q, r = np.linalg.qr(np.random.default_rng(SEED).standard_normal((dimension, dimension)))
    signed = q * np.where(np.diag(r) < 0, -1, 1)
    drawn = round_to_grid(signed)
    drawn.flags.writeable = False
    return drawn


def rotate(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rotate each vector at random: round its numbers to 22 bits relative to its largest, then multiply exactly.

    Args:
        vectors: (n, d) float32, one vector per row; with more than 16,384 numbers, sums may round.

    Returns:
        (n, d) float64, the rotated vectors.
    """
    return turn_exactly(vectors, _whole_rotation(vectors.shape[1]))


def round_to_grid(entries: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round entries to multiples of 2^-24, which float32 holds exactly for entries from -1 to 1."""
    rounded: NDArray[np.float32] = np.ldexp(np.rint(np.ldexp(entries, ENTRY_BITS)), -ENTRY_BITS).astype(np.float32)
    return rounded


def turn_exactly(vectors: NDArray[np.float32], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply vectors, rounded to 22 bits, by a matrix with columns of unit length, without further rounding.

    Args:
        vectors: (n, w) float32, one vector per row; with more than 16,384 numbers, sums may round.
        whole: (w, d) the matrix's entries times 2^24, as integers.

    Returns:
        (n, d) float64, the products.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    exponent = np.frexp(largest)[1] - _VECTOR_BITS
    steps = np.rint(np.ldexp(vectors.astype(np.float64), -exponent))
    turned: NDArray[np.float64] = np.ldexp(steps @ whole, exponent - ENTRY_BITS)
    return turned


def rotate_back(levels: NDArray[np.float64], unit: float | NDArray[np.float64]) -> NDArray[np.float32]:
    """Undo the random rotation for vectors of small integers, and scale them; only the final float32 is rounded.

    Args:
        levels: (n, d) integers of a few bits, one vector per row.
        unit: what the integer 1 stands for; (n, 1) if this differs between rows.

    Returns:
        (n, d) float32 vectors.
    """
    turned = levels @ _whole_rotation(levels.shape[1]).T
    return (turned * (unit * 2.0**-ENTRY_BITS)).astype(np.float32)


def by_rows(
    work: Callable[[NDArray[Input]], NDArray[Output]],
    rows: NDArray[Input],
) -> NDArray[Output]:
    """Apply the function `work` to a few thousand rows at a time and join the results, which limits float64 memory."""
    starts = range(0, max(1, len(rows)), _ROWS)
    return np.concatenate([work(rows[start : start + _ROWS]) for start in starts])


@lru_cache(maxsize=4)
def _whole_rotation(dimension: int) -> NDArray[np.float64]:
    """Return the rotation matrix times 2^24, which makes every entry an integer, as a read-only float64 array."""
    whole: NDArray[np.float64] = np.ldexp(rotation(dimension).astype(np.float64), ENTRY_BITS)
    whole.flags.writeable = False
    return whole
