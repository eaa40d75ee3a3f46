"""Checks that a model can be trained: training must see the same vectors as the model's own `encode` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from nestvec.errors import InputError
from nestvec.models.base_encoder import PROBES, ROUNDING, are_same, encode_probes
from nestvec.models.load import quiet_libraries
from nestvec.models.prompts import QUERY, ROLES
from nestvec.training.objective import Objective
from nestvec.training.token_passes import encode_tokens, tokenise_texts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from nestvec.models.prompts import Role


def refuse_untrainable(model: SentenceTransformer, path: Path) -> None:
    """Raise InputError unless a model gives the same vectors in training as in `encode`, for a few test texts.

    In training, the model gets an attention mask, and token embeddings that are looked up once for all forward passes
    of a batch. A static model, a Router, or a transformer that needs more input gives different vectors, or fails.
    """
    wanted = "a transformer that reads token ids, or --epochs 0, which measures the model without training"
    try:
        with quiet_libraries():
            trained = {role: _encode_as_trained(model, role) for role in ROLES}
    except (AttributeError, LookupError, TypeError, ValueError, NotImplementedError) as error:  # of the model's modules
        problem = f"cannot be trained: the model is not a transformer that reads token ids ({error!r})"
        raise InputError(problem, wanted, file=path) from error
    for role, vectors in trained.items():
        expected = encode_probes(model, role)
        if not all(are_same(given, expected, ROUNDING) for given in vectors):
            problem = f"cannot be trained: in training the model gives other vectors than `encode_{role}` does"
            raise InputError(problem, wanted, file=path)


def _encode_as_trained(model: SentenceTransformer, role: Role) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Encode a few test texts twice, as validation does and as training does; gives two arrays of unit vectors."""
    tokens = tokenise_texts(model, *((PROBES, ()) if role == QUERY else ((), PROBES)))
    training = model.training
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
    """A criterion without a loss, for a training objective that only encodes texts."""
    del documents, label
    return queries.new_zeros(())
