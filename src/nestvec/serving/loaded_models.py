"""The models of a run's systems; each model is loaded at the first use."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nestvec.errors import MissingExtraError
from nestvec.indexing.query_encoder import RUNTIME, open_kept_graph
from nestvec.models.encoder import open_model
from nestvec.models.graph_encoder import GraphEncoder
from nestvec.serving.lazy_value import LazyValue
from nestvec.serving.serving_options import KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.prompts import Role
    from nestvec.runs.point_files import SystemFiles


class LoadedModels:
    """Loads a run's models at first use and encodes texts with them.

    Any thread may load a model. `parallel` tells whether several threads may encode with a model at once.

    Args:
        systems: the files of each system, by its name.
        backend: `kept`, `torch`, `onnx`, `openvino` or `auto`. `kept` and `onnx` use the ONNX graph beside the index,
            if there is one, without loading PyTorch; `kept` otherwise uses PyTorch.
        compute: the number format in which models compute: `float32`, `bfloat16` or `auto`.
    """

    def __init__(self, systems: Mapping[str, SystemFiles], backend: str, compute: str) -> None:
        self._takes_kept = backend in (KEPT, RUNTIME) and compute != "bfloat16"
        others = partial(_load_model, backend="torch" if backend == KEPT else backend, compute=compute)
        self._kept = {system: LazyValue(partial(open_kept_graph, files)) for system, files in systems.items()}
        self._others = {system: LazyValue(partial(others, files)) for system, files in systems.items()}

    def load(self, system: str) -> None:
        """Load a system's model if it is not yet loaded; raises InputError if the backend cannot load the model."""
        self._open(system)

    def is_kept(self, system: str) -> bool:
        """Whether a system's texts are encoded by the ONNX graph beside the index."""
        return self._takes_kept and self._kept[system]() is not None

    def parallel(self, system: str) -> bool:
        """Whether several threads may encode with a system's model at once: only with PyTorch on a CPU."""
        encoder = self._open(system)
        if isinstance(encoder, GraphEncoder):
            return False
        import torch

        from nestvec.models.torch_encoder import TorchEncoder

        return isinstance(encoder, TorchEncoder) and not torch.cuda.is_available()

    def one_for_both(self, system: str) -> bool:
        """Whether the system's model gives a text the same vector as a query and as a document."""
        return self._open(system).one_for_both

    def encode(
        self, system: str, texts: Sequence[str], role: Role, token_counts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Encode n texts, none empty, with a system's model to (n, full width) float32 vectors of unit length."""
        return self._open(system).encode(texts, role, token_counts=token_counts)

    def _open(self, system: str) -> Encoder:
        kept = self._kept[system]() if self._takes_kept else None
        return kept or self._others[system]()


def _load_model(files: SystemFiles, backend: str, compute: str) -> Encoder:
    """Load a model with a single PyTorch thread, because requests may need the other processors."""
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train")
    import torch

    torch.set_num_threads(1)
    return open_model(files.model, None, backend, compute)
