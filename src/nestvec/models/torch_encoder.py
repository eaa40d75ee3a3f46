"""Encode with PyTorch: any sentence-transformers model, in float32 or with bfloat16 weights, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.models.agreement import agrees_with_model
from nestvec.models.compute import choose_compute
from nestvec.models.encode import encode
from nestvec.models.load import load_model, quiet_libraries
from nestvec.models.onnx_graph import default_prompt, input_names
from nestvec.models.token_batches import make_reader
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.models.find import ModelFolder
    from nestvec.models.token_batches import TokenReader

_TOKENS = {"cpu": 4096}  # of a batch: more gains nothing on a processor
_TOKENS_ELSEWHERE = 65_536


class TorchEncoder:
    """A model's modules over our own batches.

    Args:
        model: a loaded model.
        reader: reads texts as it does.
        dimension: of the vectors.
        compute: `float32` or `bfloat16`.
    """

    def __init__(self, model: SentenceTransformer, reader: TokenReader, dimension: int, compute: str) -> None:
        self.name = f"torch {compute}"
        self.dimension = dimension
        self._model, self._reader = model, reader

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        import torch

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        device = self._model.device
        with torch.inference_mode():
            for batch in self._reader.make_batches(texts, _TOKENS.get(device.type, _TOKENS_ELSEWHERE)):
                features = {name: torch.from_numpy(values).to(device) for name, values in batch.inputs.items()}
                vectors[batch.rows] = prefix(self._forward(features).cpu().numpy(), self.dimension)
                advance(len(batch.rows))
        return vectors

    def _forward(self, features: dict[str, Any]) -> Any:  # noqa: ANN401 - tensors
        """(n, width) float32: the transformer in its own numbers, what follows it in float32."""
        for module in self._model.children():
            features = module(features)
            if "token_embeddings" in features:
                features["token_embeddings"] = features["token_embeddings"].float()
        return features["sentence_embedding"].float()


class StockEncoder:
    """`SentenceTransformer.encode`, for a model that our own batches are not for.

    Args:
        model: a loaded model.
        dimension: of the vectors.
    """

    def __init__(self, model: SentenceTransformer, dimension: int) -> None:
        self.name = "torch float32"
        self.dimension = dimension
        self._model = model

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        with quiet_libraries():
            return prefix(encode(self._model, texts, advance), self.dimension)


def open_torch(folder: ModelFolder, dimension: int, compute: str) -> TorchEncoder | StockEncoder:
    """Load a model.

    Whether our own batches give what `SentenceTransformer.encode` gives is tried on a few texts. Where they do not,
    the library encodes, in float32.

    Args:
        folder: the checked model.
        dimension: of the vectors.
        compute: `auto`, `float32` or `bfloat16`.

    Returns:
        The encoder.

    Raises:
        InputError: bfloat16 is asked for by name, and only the library's own encoding would do.
    """
    import torch

    model = load_model(folder).eval()
    reader = _reader(model)
    own = TorchEncoder(model, reader, dimension, "float32") if reader else None
    if reader is None or own is None or not agrees_with_model(own.encode, model, dimension):
        if compute == "bfloat16":
            raise InputError("this model runs in float32 only", "--compute float32", file=folder.path)
        return StockEncoder(model, dimension)
    chosen = choose_compute(compute)
    if chosen == "bfloat16":
        for module in model.children():
            if isinstance(getattr(module, "auto_model", None), torch.nn.Module):
                module.to(torch.bfloat16)
    return TorchEncoder(model, reader, dimension, chosen)


def _reader(model: SentenceTransformer) -> TokenReader | None:
    """The model's reader, where it has one."""
    try:
        return make_reader(model, input_names(model), default_prompt(model))
    except InputError:  # it reads something else than tokens
        return None
