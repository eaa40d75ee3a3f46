"""What all encoders share: texts in, batch by batch, vectors out, and a trial of whether they are the model's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from nestvec.models.load import quiet_libraries
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    # which of the texts, (n,) tokens of each (one number if they all have it), (n, width) float32
    Encoded = tuple[NDArray[np.int64], NDArray[np.int64] | int, NDArray[np.float32]]

PROBES = ("a", "Deck Screws, 3 in. (100-Pack)", "écrou M8 inox \U0001f529 — 10 mm", "claw hammer with handle " * 200)
LEAST = {"float32": 0.9999, "bfloat16": 0.995}  # cosine; the latter tells a wrong graph from mere rounding
ROUNDING = 0.999999  # cosine of two vectors from the same modules in float32, batched differently


class Encoder(ABC):
    """Turns texts into vectors.

    Args:
        name: what runs and in which numbers, such as `openvino bfloat16`.
        dimension: of the vectors, at most what the model gives.
    """

    def __init__(self, name: str, dimension: int) -> None:
        self.name, self.dimension = name, dimension

    def encode(
        self,
        texts: Sequence[str],
        advance: Callable[[int], None] = lambda _: None,
        token_counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Encode texts; the same texts always share a batch, so they always give the same bytes.

        Args:
            texts: n texts, none of them empty.
            advance: called with the number of texts done since the last call.
            token_counts: (n,) that is filled with how many tokens the model read of each text; 0 where it reads none.

        Returns:
            (n, dimension) float32, rows of unit length in the order of the texts.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        with closing(self._encode_batches(texts)) as batches:
            for rows, lengths, output in batches:
                vectors[rows] = prefix(output, self.dimension)
                if token_counts is not None:
                    token_counts[rows] = lengths
                advance(len(rows))
        return vectors

    @abstractmethod
    def _encode_batches(self, texts: Sequence[str]) -> Generator[Encoded]:
        """All texts in batches, every text once."""

    def agrees_with(self, model: SentenceTransformer, least: float) -> bool:
        """Whether every cosine to what `SentenceTransformer.encode` gives in float32 for a few odd texts is `least`."""
        with quiet_libraries():
            expected = model.encode(list(PROBES), normalize_embeddings=True, show_progress_bar=False)
        own = self.encode(PROBES)
        cosines = (prefix(np.asarray(expected, dtype=np.float32), self.dimension) * own).sum(axis=1)
        return bool(cosines.min() >= least)
