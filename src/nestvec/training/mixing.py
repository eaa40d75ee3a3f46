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
    """Put the best mixture into the model.

    Args:
        model: tuned; changed in place.
        start: its weights before training.
        validation: what to choose by.
        shares: of the tuned weights, each 0 … 1; the first is taken unless another is clearly better.

    Returns:
        The share that was taken; 1 where there is nothing to choose by.
    """
    if validation is None or tuple(shares) in {(), (1.0,)}:
        return 1.0
    tuned = {name: weights.detach().clone() for name, weights in model.state_dict().items()}
    figures: dict[float, dict[str, float]] = {}
    for share in shares:
        _load_mixture(model, start, tuned, share)
        figures[share] = validation(model)
    best = max(figures, key=lambda share: figures[share]["recall"])
    if not clearly_better(figures[best], figures[shares[0]]):
        best = shares[0]
    _load_mixture(model, start, tuned, best)
    return best


def _load_mixture(
    model: SentenceTransformer, start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float
) -> None:
    """Load a mixture; what is no floating-point number, such as positions, stays."""
    model.load_state_dict(
        {
            name: torch.lerp(start[name], weights, share) if weights.is_floating_point() else weights
            for name, weights in tuned.items()
        }
    )
