"""Whether an encoder gives the vectors that the model itself gives, tried on a few odd texts when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.models.load import quiet_libraries
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Encode = Callable[[Sequence[str]], NDArray[np.float32]]

PROBES = ("a", "Deck Screws, 3 in. (100-Pack)", "écrou M8 inox \U0001f529 — 10 mm", "claw hammer with handle " * 200)
LEAST = {"float32": 0.9999, "bfloat16": 0.995}  # cosine; the latter tells a wrong graph from mere rounding
ROUNDING = 0.999999  # cosine of two vectors from the same modules in float32, batched differently


def agrees_with_model(encode: Encode, model: SentenceTransformer, dimension: int, least: float) -> bool:
    """Compare with `SentenceTransformer.encode` in float32.

    Args:
        encode: gives (n, dimension) float32 of n texts, rows of unit length.
        model: the model in float32.
        dimension: of the vectors.
        least: the smallest cosine that will do, such as `LEAST` has.

    Returns:
        Whether every cosine is at least that.
    """
    with quiet_libraries():
        expected = model.encode(list(PROBES), normalize_embeddings=True, show_progress_bar=False)
    cosines = (prefix(np.asarray(expected, dtype=np.float32), dimension) * encode(PROBES)).sum(axis=1)
    return bool(cosines.min() >= least)
