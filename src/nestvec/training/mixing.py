"""Mixes a model's weights before and after fine-tuning: a mixture is often better than either.

Source: Wortsman et al. 2022 (WiSE-FT), eq. 1: a weighted mean of all weights. The share of the fine-tuned weights is
chosen on validation data; a share of 0 means that fine-tuning did not help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nestvec.training.validation import clearly_better

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from nestvec.training.validation import Validation


def mix_weights(
    model: SentenceTransformer, start: Mapping[str, Tensor], validation: Validation | None, shares: Sequence[float]
) -> float:
    """Load the best mixture of weights before and after training into a model; returns the share of the latter.

    The first of the given shares (each 0 … 1) is used unless another share is clearly better on validation. Without
    validation data the model keeps its fine-tuned weights, and the result is 1.
    """
    if validation is None or tuple(shares) in {(), (1.0,)}:
        return 1.0
    tuned = {name: weights.detach().clone() for name, weights in model.state_dict().items()}

    def load_mixture(share: float) -> None:  # integer buffers, such as positions, are not mixed
        mixed = {
            name: torch.lerp(start[name], weights, share) if weights.is_floating_point() else weights
            for name, weights in tuned.items()
        }
        model.load_state_dict(mixed)

    figures: dict[float, dict[str, float]] = {}
    for share in shares:
        load_mixture(share)
        figures[share] = validation(model)
    best = max(figures, key=lambda share: figures[share]["recall"])
    if not clearly_better(figures[best], figures[shares[0]]):
        best = shares[0]
    load_mixture(best)
    return best
