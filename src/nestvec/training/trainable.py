"""Whether a model can be trained here: what it learns from must be the vectors that its own `encode` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from nestvec.errors import InputError
from nestvec.models.base_encoder import PROBES, ROUNDING, are_same, encode_probes
from nestvec.models.load import quiet_libraries
from nestvec.training.objective import Objective
from nestvec.training.token_passes import encode_tokens, tokenise_texts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


def refuse_untrainable(model: SentenceTransformer, path: Path) -> None:
    """Raise InputError unless a model's vectors in training are those of its `encode`, for a few odd texts.

    A forward pass in training is given token ids and a mask, and the tokens' vectors looked up once for all passes of a
    batch. A static model, a Router, or a transformer that needs more than these gives other vectors, or none.
    """
    wanted = "a transformer that reads token ids, or --epochs 0, which measures the model as it is"
    try:
        with quiet_libraries():
            seen, learnt = _encode_as_trained(model)
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:  # of the model's modules
        problem = f"cannot be trained: it is no transformer over tokens ({error!r})"
        raise InputError(problem, wanted, file=path) from error
    expected = encode_probes(model, prompt="")
    for vectors in (seen, learnt):
        if not are_same(vectors, expected, ROUNDING):
            raise InputError("cannot be trained: it gives other vectors there than `encode` does", wanted, file=path)


def _encode_as_trained(model: SentenceTransformer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The texts' vectors, rows of unit length, as a validation sees them and as the objective learns from them."""
    tokens, training = tokenise_texts(model, PROBES), model.training
    rows = np.arange(len(PROBES))
    seen = encode_tokens(model, tokens, rows, "float32")
    batch = {name: values.to(model.device) for name, values in tokens.pad_batch(rows).items()}
    objective = Objective(model, _no_loss, ())
    model.eval()
    with torch.no_grad():
        (output,) = objective.encode_passes([batch])
    model.train(training)
    return seen, functional.normalize(output, dim=1).cpu().numpy()


def _no_loss(queries: Tensor, documents: Tensor, label: dict[str, Tensor]) -> Tensor:
    """A criterion for an objective that is not trained."""
    del documents, label
    return queries.new_zeros(())
