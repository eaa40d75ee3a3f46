"""The models of a run's systems, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.encoder import open_encoder
from nestvec.models.tokens import count_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from nestvec.models.encoder import Encoder
    from nestvec.models.find import ModelFolder


class LoadedModels:
    """The models of several systems, loaded. Where they are not `parallel`, one thread at a time may encode.

    Args:
        folders: system to its model.
        backend: as for `open_encoder`.
        compute: the number format, as for `open_encoder`.
        say: is told of each model before it is loaded.

    Raises:
        InputError: a model cannot be loaded so.
    """

    def __init__(
        self, folders: Mapping[str, ModelFolder], backend: str, compute: str, say: Callable[[str], None]
    ) -> None:
        self._encoders: dict[str, Encoder] = {}
        self._tokenizers: dict[str, Tokenizer | None] = {}
        for system, folder in folders.items():
            say(f"loading {system}")
            self._encoders[system] = open_encoder(folder.path, None, backend, compute)
            self._tokenizers[system] = _find_tokenizer(folder)

    @property
    def parallel(self) -> bool:
        """Whether several threads may encode at once: with PyTorch's modules over our own batches, on a processor."""
        import torch

        from nestvec.models.torch_encoder import TorchEncoder

        in_torch = all(isinstance(encoder, TorchEncoder) for encoder in self._encoders.values())
        return in_torch and not torch.cuda.is_available()

    def encode(self, system: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, full width) float32 of n texts, none of them empty; rows of unit length."""
        return self._encoders[system].encode(texts)

    def tokens(self, system: str, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text; 0 where its tokenizer cannot be asked."""
        tokenizer = self._tokenizers[system]
        if tokenizer is None:
            return [0] * len(texts)
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]


def _find_tokenizer(folder: ModelFolder) -> Tokenizer | None:
    """Find a model's fast tokenizer, which cuts texts where the model does; None where it has none."""
    from nestvec.models.batches import load_tokenizer

    try:
        _, limit = count_tokens(folder.path, [])
        return load_tokenizer(folder.path / "tokenizer.json", limit)
    except InputError:  # it has none of its own
        return None
