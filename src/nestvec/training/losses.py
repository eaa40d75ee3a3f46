"""The training objectives by system name; thin builders over sentence-transformers' losses.

`mnr` is the multiple-negatives ranking loss (Henderson et al. 2017, section 4.4: cross-entropy over the batch's other
positives as negatives); `matryoshka` is the same loss summed over prefixes of the vector (Kusupati et al. 2022, eq. 1,
equal weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentence_transformers import SentenceTransformer
    from torch import nn


def mnr(model: SentenceTransformer, dimensions: Sequence[int]) -> nn.Module:
    """Multiple-negatives ranking over the full width; `dimensions` is not used."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    del dimensions
    return MultipleNegativesRankingLoss(model)


def matryoshka(model: SentenceTransformer, dimensions: Sequence[int]) -> nn.Module:
    """Multiple-negatives ranking at every one of `dimensions`, summed with equal weights."""
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    return MatryoshkaLoss(model, mnr(model, dimensions), matryoshka_dims=sorted(dimensions, reverse=True))


OBJECTIVES: dict[str, Callable[[SentenceTransformer, Sequence[int]], nn.Module]] = {
    "mnr": mnr,
    "matryoshka": matryoshka,
}
