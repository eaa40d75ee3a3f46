"""Encode with PyTorch: any sentence-transformers model, in float32 or with bfloat16 weights, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.models.base_encoder import ROUNDING, Encoder, choose_width
from nestvec.models.compute import choose_compute
from nestvec.models.device_copies import fetch_behind, send_inputs
from nestvec.models.load import load_model, measure_width, quiet_libraries
from nestvec.models.onnx_graph import input_names
from nestvec.models.prompts import ROLES, count_excluded_tokens, model_prompts, reads_roles_apart
from nestvec.models.token_batches import make_reader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from sentence_transformers import SentenceTransformer

    from nestvec.models.base_encoder import Encoded
    from nestvec.models.device_copies import Computed
    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Role
    from nestvec.models.token_batches import TokenReader

_TOKENS = {"cpu": 4096}  # most tokens of a batch; larger batches are not faster on a CPU
_TOKENS_ELSEWHERE = 65_536
_TEXTS = 32  # texts of a batch that the library makes; larger batches are not faster on a CPU


class TorchEncoder(Encoder):
    """Encodes texts with a model's PyTorch modules, in batches that nestvec makes itself.

    Args:
        model: a loaded model.
        reader: tokenises texts as the model does.
        dimension: dimension of the vectors.
        compute: `float32` or `bfloat16`.
    """

    def __init__(self, model: SentenceTransformer, reader: TokenReader, dimension: int, compute: str) -> None:
        super().__init__(f"torch {compute}", dimension, model_prompts(model))
        self._model, self._reader = model, reader
        self._excluded = {role: count_excluded_tokens(model, role) for role in ROLES}

    def _encode_batches(self, texts: Sequence[str], role: Role) -> Generator[Encoded]:
        import torch

        with torch.inference_mode():
            yield from fetch_behind(self._compute_batches(texts, role))

    def _compute_batches(self, texts: Sequence[str], role: Role) -> Iterator[Computed]:
        """Encode texts in nestvec's batches; yields rows, token counts, and vectors that are still on the device."""
        device, prompt = self._model.device, self.prompts.of(role)
        for batch in self._reader.make_batches(texts, _TOKENS.get(device.type, _TOKENS_ELSEWHERE), prompt):
            features = send_inputs(batch.inputs, device)
            if self._excluded[role]:
                features["prompt_length"] = self._excluded[role]
            yield batch.rows, batch.lengths, self._forward(features)

    def _forward(self, features: dict[str, Any]) -> Any:  # noqa: ANN401 - tensors
        """Compute float32 vectors for a batch: the transformer in its own number format, later modules in float32."""
        for module in self._model.children():
            features = module(features)
            if "token_embeddings" in features:
                features["token_embeddings"] = features["token_embeddings"].float()
        return features["sentence_embedding"].float()


class StockEncoder(Encoder):
    """Encodes with the library's own preprocessing and forward pass, for models that cannot use nestvec's batches.

    The library gets the role as its `task`, so that a Router sends queries and documents through their modules.

    Args:
        model: a loaded model.
        dimension: dimension of the vectors.
        texts: number of texts per batch.
    """

    def __init__(self, model: SentenceTransformer, dimension: int, texts: int | None = None) -> None:
        super().__init__("torch float32", dimension, model_prompts(model))
        self._model, self._texts = model, texts or _TEXTS
        self.one_for_both = self.prompts.alike and not reads_roles_apart(model)

    def _encode_batches(self, texts: Sequence[str], role: Role) -> Generator[Encoded]:
        """Encode texts in the library's batches, as `encode_query` or `encode_document` does, and count tokens."""
        import torch

        with quiet_libraries(), torch.inference_mode():
            yield from fetch_behind(self._compute_batches(texts, role))

    def _compute_batches(self, texts: Sequence[str], role: Role) -> Iterator[Computed]:
        """Encode texts in the library's batches; yields rows, token counts, and vectors still on the device."""
        order = np.argsort(
            [-len(text) for text in texts], kind="stable"
        )  # the longest first, so that a lack of memory shows at once
        prompt = self.prompts.of(role) or None
        for first in range(0, len(texts), self._texts):
            rows = order[first : first + self._texts]
            features = self._model.preprocess([texts[row] for row in rows], prompt=prompt, task=role)
            mask = features.get("attention_mask")
            lengths = 0 if mask is None else mask.sum(dim=1).numpy()
            output = self._model(send_inputs(features, self._model.device), task=role)["sentence_embedding"]
            yield rows, lengths, output.float()


def open_torch(folder: ModelFolder, dimension: int | None, compute: str) -> TorchEncoder | StockEncoder:
    """Load a checked model into an encoder with a dimension, or None for the full width.

    A few test texts show whether nestvec's batches give the vectors of `encode_query` and `encode_document`. If not,
    the library makes the batches, in float32, with one text each if a text's vector depends on its batch. A vector of a
    smaller dimension is the first part of a full one, scaled to unit length (`vectors.cut.prefix`). Raises InputError
    if the dimension is out of range, or if `compute` is bfloat16 and the library has to make the batches.
    """
    model = load_model(folder).eval()
    dimension = choose_width(folder.path, measure_width(model, folder.path), dimension)
    reader = None if reads_roles_apart(model) else _find_reader(model)
    if reader is None or not TorchEncoder(model, reader, dimension, "float32").agrees_with(model, ROUNDING):
        if compute == "bfloat16":
            raise InputError("this model runs in float32 only", "--compute float32", file=folder.path)
        stock = StockEncoder(model, dimension)
        return stock if stock.agrees_with(model, ROUNDING) else StockEncoder(model, dimension, texts=1)
    chosen = choose_compute(compute)
    if chosen == "bfloat16":
        import torch

        for module in model.children():
            if isinstance(getattr(module, "auto_model", None), torch.nn.Module):
                module.to(torch.bfloat16)
    return TorchEncoder(model, reader, dimension, chosen)


def _find_reader(model: SentenceTransformer) -> TokenReader | None:
    """Make the tokenising `TokenReader`; None for a model that reads no token ids or lacks a fast tokenizer."""
    try:
        return make_reader(model, input_names(model))
    except InputError:
        return None
