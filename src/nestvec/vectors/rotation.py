"""A random rotation that is the same every time, in arithmetic without rounding errors.

A code must not depend on what else is coded with it, but a matrix product rounds differently by shape, place and
processor, and a number that close to a boundary would change its code. So both factors are put on a grid: whole numbers
whose products and sums stay below 2^53, which float64 holds exactly. Exact sums are equal in any order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SEED = 0  # part of what a code means: another seed reads it as another vector
ENTRY_BITS = 24  # after the point, of the entries that vectors are multiplied by: as many as float32 holds
_VECTOR_BITS = 22  # of a vector's numbers, below its largest: 22 + 24 and the square root of 16,384 make 53 together
_ROWS = 4096  # rows in float64 at a time

Input = TypeVar("Input", bound=np.generic)
Output = TypeVar("Output", bound=np.generic)


@lru_cache(maxsize=16)
def rotation(dimension: int) -> NDArray[np.float32]:
    """A rotation drawn evenly from all there are, mirrored ones included.

    The QR decomposition of normal draws, with the signs that make it unique and so its Q Haar-distributed. Another
    build of LAPACK may round an entry to the next multiple. Source: Mezzadri 2007, section 5.

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
    """Vectors times the rotation, without rounding, once their numbers have 22 bits below the row's largest.

    Args:
        vectors: (n, d) float32; d up to 16,384, beyond which sums may round.

    Returns:
        (n, d) float64.
    """
    return turn_exactly(vectors, _whole_rotation(vectors.shape[1]))


def round_to_grid(entries: NDArray[np.float64]) -> NDArray[np.float32]:
    """The nearest multiples of 2^-24, which float32 holds exactly where entries are of 1 at most."""
    rounded: NDArray[np.float32] = np.ldexp(np.rint(np.ldexp(entries, ENTRY_BITS)), -ENTRY_BITS).astype(np.float32)
    return rounded


def turn_exactly(vectors: NDArray[np.float32], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors times a matrix with columns of unit length, without rounding, as `rotate` does.

    Args:
        vectors: (n, w) float32; w up to 16,384, beyond which sums may round.
        whole: (w, d) entries as whole numbers, multiples of 2^-24 before.

    Returns:
        (n, d) float64.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    exponent = np.frexp(largest)[1] - _VECTOR_BITS
    steps = np.rint(np.ldexp(vectors.astype(np.float64), -exponent))
    turned: NDArray[np.float64] = np.ldexp(steps @ whole, exponent - ENTRY_BITS)
    return turned


def rotate_back(levels: NDArray[np.float64], unit: float | NDArray[np.float64]) -> NDArray[np.float32]:
    """Levels times the transposed rotation, rounded only where they become float32.

    Args:
        levels: (n, d) whole numbers, a few bits each.
        unit: what a level of 1 stands for; (n, 1) where that differs from row to row.

    Returns:
        (n, d) float32.
    """
    turned = levels @ _whole_rotation(levels.shape[1]).T
    return (turned * (unit * 2.0**-ENTRY_BITS)).astype(np.float32)


def by_rows(
    work: Callable[[NDArray[Input]], NDArray[Output]],
    rows: NDArray[Input],
) -> NDArray[Output]:
    """What `work` makes of all rows, a few thousand at a time, so that float64 is never held for all of them."""
    starts = range(0, max(1, len(rows)), _ROWS)
    return np.concatenate([work(rows[start : start + _ROWS]) for start in starts])


@lru_cache(maxsize=4)
def _whole_rotation(dimension: int) -> NDArray[np.float64]:
    """The rotation's entries as whole numbers, read-only."""
    whole: NDArray[np.float64] = np.ldexp(rotation(dimension).astype(np.float64), ENTRY_BITS)
    whole.flags.writeable = False
    return whole
