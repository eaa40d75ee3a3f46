"""Vectors that the codecs are tried on."""

from __future__ import annotations

import numpy as np

from nestvec.vectors.cut import prefix
from nestvec.vectors.rotation import rotation


def directions(rows, width, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def like_a_models(rows, width=384, seed=0):
    """Vectors around a common mean and in few directions, as a model's are; some are equal."""
    rng = np.random.default_rng(seed)
    vectors = 0.3 * directions(1, width, seed) + rng.normal(size=(rows, 40)) @ directions(40, width, seed + 1)
    vectors[rows // 2 : rows // 2 + 20] = vectors[:20]
    return prefix(vectors.astype(np.float32), width)


def on_the_edge(rows, width=384, seed=0):
    """Vectors that have, once rotated, one number that is 0 but for rounding: its parts cancel each other in pairs."""
    rng = np.random.default_rng(seed)
    vectors = np.empty((rows, width), dtype=np.float32)
    for row, column in zip(vectors, rng.integers(0, width, rows), strict=True):
        pairs = rng.permutation(width).reshape(-1, 2)
        sizes = np.exp2(-rng.integers(0, 20, len(pairs)))
        row[pairs[:, 0]] = rotation(width)[pairs[:, 1], column] * sizes
        row[pairs[:, 1]] = -rotation(width)[pairs[:, 0], column] * sizes
    return vectors
