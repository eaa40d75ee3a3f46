"""The models of a run's systems, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.indexing.query_encoder import RUNTIME, open_kept_graph
from nestvec.models.encoder import open_model
from nestvec.models.graph_encoder import GraphEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.prompts import Role
    from nestvec.runs.point_files import SystemFiles


class LoadedModels:
    """The models of several systems, loaded. Where they are not `parallel`, one thread at a time may encode.

    ONNX Runtime takes the graph that is kept beside an index, where there is one: PyTorch is not loaded for it.

    Args:
        systems: system to its files.
        backend: as for `models.encoder.open_encoder`.
        compute: the number format, as for `models.encoder.open_encoder`.
        say: is told of each model before it is loaded.

    Raises:
        InputError: a model cannot be loaded so.
    """

    def __init__(
        self, systems: Mapping[str, SystemFiles], backend: str, compute: str, say: Callable[[str], None]
    ) -> None:
        self._encoders: dict[str, Encoder] = {}
        for system, files in systems.items():
            say(f"loading {system}")
            kept = open_kept_graph(files) if backend == RUNTIME and compute != "bfloat16" else None
            self._encoders[system] = kept or _load_model(files, backend, compute)

    @property
    def parallel(self) -> bool:
        """Whether several threads may encode at once: with PyTorch's modules over our own batches, on a processor."""
        if any(isinstance(encoder, GraphEncoder) for encoder in self._encoders.values()):
            return False
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


def _load_model(files: SystemFiles, backend: str, compute: str) -> Encoder:
    """Load a model with one thread, for clients may be keeping the other processors busy."""
    import torch

    torch.set_num_threads(1)
    return open_model(files.model, None, backend, compute)
