"""Mix tuned weights with the pretrained ones: between the two lies often a model that is better than either.

Source: Wortsman et al. 2022 (WiSE-FT), eq. 1: a weighted mean of all weights. The share is chosen on validation
data and may be 0: then fine-tuning did not help.
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
    """Put the best mixture of its tuned weights and those at the start into a model; returns the share of the tuned.

    The first of the shares, each 0 … 1, is taken unless another is clearly better; 1 where nothing is there to choose
    by.
    """
    if validation is None or tuple(shares) in {(), (1.0,)}:
        return 1.0
    tuned = {name: weights.detach().clone() for name, weights in model.state_dict().items()}

    def load_mixture(share: float) -> None:  # what is no floating-point number, such as positions, stays
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
