"""How vectors are made smaller: a re-normalised prefix of the full width, then a precision for its numbers.

A codec is fitted on the documents' vectors and turns documents into codes; queries stay in float32, and a score is the
dot product of the query with the decoded document. All of it is numpy, so codes decode alike everywhere.

Below 8 bits a vector is coded after a random rotation, which spreads it evenly over its numbers: they then look like
draws from one normal distribution, and one step serves all of them (`rabitq.py`). At 1 bit the directions that signs
stand for are learned from the documents in place of drawn (`learned_signs.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np

from nestvec.vectors.learned_signs import LearnedSigns
from nestvec.vectors.rabitq import Rotated
from nestvec.vectors.rotation import by_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_LARGEST = 127  # of int8 that has a negative counterpart
_LARGEST_HALF = 65504  # of IEEE 754's half precision


def prefix(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """(n, dimension) float32: the first numbers of (n, d) vectors, scaled to unit length; zeros stay zeros."""
    if not 1 <= dimension <= vectors.shape[1]:
        raise ValueError(f"dimension {dimension} is not between 1 and {vectors.shape[1]}")
    cut = vectors[:, :dimension]
    length = np.linalg.norm(cut, axis=1, keepdims=True)
    return (cut / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


class Codec(Protocol):
    """What codes documents at a precision; fitted on documents of one dimension."""

    @property
    def bytes_per_vector(self) -> int:
        """Bytes that a document's code takes, with what is stored for this document alone."""

    @property
    def extra_bytes(self) -> int:
        """Bytes that are stored once for the whole corpus."""

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, d) float32 → (n, …) codes."""

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """(n, …) codes → (n, d) float32."""


@dataclass(frozen=True)
class _Float:
    """Numbers as IEEE 754 has them; nothing is learned from the documents but the width."""

    dimension: int
    number: ClassVar[type[np.floating]]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """A codec for (n, dimension) vectors."""
        return cls(vectors.shape[1])

    @property
    def bytes_per_vector(self) -> int:
        """4 or 2 a number."""
        return self.dimension * np.dtype(self.number).itemsize

    @property
    def extra_bytes(self) -> int:
        """None."""
        return 0

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """The same numbers in float32, which holds every one of them."""
        return codes.astype(np.float32, copy=False)


class Float32(_Float):
    """The numbers as they are: 4 bytes each."""

    number = np.float32

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The vectors themselves."""
        return vectors


class Float16(_Float):
    """The nearest half-precision numbers of IEEE 754: 2 bytes each."""

    number = np.float16

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """(n, d) float16; what lies beyond the largest is cut to it, for infinity would spoil every score."""
        return by_rows(lambda rows: np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16), vectors)


@dataclass(frozen=True)
class Int8:
    """Whole steps of a dimension's own size, -127 … 127: 1 byte a number.

    Attributes:
        scale: (d,) float32, a step in each dimension: the largest magnitude among the documents over 127. It is stored
            once for the whole corpus, so a vector takes d bytes.
    """

    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Int8:
        """Take each dimension's range from the documents; a dimension that is always zero gets any step."""
        largest = np.maximum(vectors.max(axis=0, initial=0), -vectors.min(axis=0, initial=0))  # makes no copy
        return cls(np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32))

    @property
    def bytes_per_vector(self) -> int:
        """1 a number."""
        return len(self.scale)

    @property
    def extra_bytes(self) -> int:
        """A step in float32 for each dimension."""
        return self.scale.nbytes

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.generic]:
        """The nearest step; what lies outside the fitted range is cut to its end."""
        return by_rows(lambda rows: np.clip(np.rint(rows / self.scale), -_LARGEST, _LARGEST).astype(np.int8), vectors)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Steps times their size."""
        return codes.astype(np.float32) * self.scale


CODECS: dict[str, Callable[[NDArray[np.float32]], Codec]] = {
    "float32": Float32.fit,
    "float16": Float16.fit,
    "int8": Int8.fit,
    "int4": partial(Rotated.fit, bits=4),
    "int2": partial(Rotated.fit, bits=2),
    "binary": LearnedSigns.fit,
}
