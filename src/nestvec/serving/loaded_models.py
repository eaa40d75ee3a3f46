"""The models of a run's systems, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.models.encoder import open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Role


class LoadedModels:
    """The models of several systems, loaded. Where they are not `parallel`, one thread at a time may encode.

    Args:
        folders: system to its model.
        backend: as for `models.encoder.open_encoder`.
        compute: the number format, as for `models.encoder.open_encoder`.
        say: is told of each model before it is loaded.

    Raises:
        InputError: a model cannot be loaded so.
    """

    def __init__(
        self, folders: Mapping[str, ModelFolder], backend: str, compute: str, say: Callable[[str], None]
    ) -> None:
        self._encoders: dict[str, Encoder] = {}
        for system, folder in folders.items():
            say(f"loading {system}")
            self._encoders[system] = open_model(folder, None, backend, compute)

    @property
    def parallel(self) -> bool:
        """Whether several threads may encode at once: with PyTorch's modules over our own batches, on a processor."""
        import torch

        from nestvec.models.torch_encoder import TorchEncoder

        in_torch = all(isinstance(encoder, TorchEncoder) for encoder in self._encoders.values())
        return in_torch and not torch.cuda.is_available()

    def one_for_both(self, system: str) -> bool:
        """Whether a text gives the same vector as a query and as a document."""
        return self._encoders[system].one_for_both

    def encode(
        self, system: str, texts: Sequence[str], role: Role, token_counts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """(n, full width) float32 of n texts, none of them empty, rows of unit length; see `Encoder.encode`."""
        return self._encoders[system].encode(texts, role, token_counts=token_counts)
