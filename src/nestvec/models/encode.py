"""Turn texts into vectors: every text once, at the model's full width, rows of unit length.

A smaller dimension is a re-normalised prefix of these vectors (`vectors.codecs.prefix`), so nothing is encoded twice.
float32 throughout: what the report measures is what `SentenceTransformer.encode` returns on the saved model.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

_LOG = logging.getLogger(__name__)
_BATCH = 32  # texts a forward pass; larger ones gain nothing on a CPU
_STEP = 256  # texts between two progress reports


def encode(
    model: SentenceTransformer,
    texts: Sequence[str],
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """Encode texts.

    Texts go through the model longest first, so that a batch pads little and memory peaks at once or never.

    Args:
        model: any sentence-transformers model with one vector a text.
        texts: n texts, none of them empty.
        advance: called with the number of texts done since the last call.

    Returns:
        (n, d) float32, rows of unit length in the order of `texts`; d is the model's width.
    """
    start_time = time.perf_counter()
    order = np.argsort([-len(text) for text in texts], kind="stable")
    width = model.get_embedding_dimension() or 0
    vectors = np.empty((len(texts), width), dtype=np.float32)
    for start in range(0, len(texts), _STEP):
        rows = order[start : start + _STEP]
        vectors[rows] = model.encode(
            [texts[row] for row in rows],
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        advance(len(rows))
    _LOG.debug("%d texts encoded in %.1f s", len(texts), time.perf_counter() - start_time)
    return vectors
