"""The systems of a run that have vectors: what was measured of each, and its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.encoder import open_encoder
from nestvec.runs.delivered import of_point
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.models.encoder import Encoder
    from nestvec.models.find import ModelFolder
    from nestvec.point import Point
    from nestvec.runs.finished import Finished
    from nestvec.vectors.codecs import Codec


@dataclass(frozen=True)
class System:
    """What was measured of a system.

    Attributes:
        model: checked.
        codecs: by dimension and precision, such as `48.int8`.
        queries: (q, width) float32 of the run's queries, rows of unit length, mapped.
        documents: (d, width) float32 of its documents, likewise.
    """

    model: ModelFolder
    codecs: Mapping[str, Codec]
    queries: NDArray[np.float32]
    documents: NDArray[np.float32]

    @classmethod
    def read(cls, finished: Finished, points: Sequence[Point]) -> System:
        """Read one, and check that nothing of it is missing.

        Args:
            finished: the run.
            points: all of the system that were measured.

        Returns:
            The system.

        Raises:
            InputError: a file is missing or damaged, or the model is another than the one measured.
        """
        delivered, path = of_point(finished, points[0]), finished.folder.codecs(points[0].system)
        codecs = load_codecs(path)
        for name in (f"{point.dimension}.{point.precision}" for point in points):
            if name not in codecs:
                raise InputError(f"is damaged: it lacks {name}", "the codecs of every point", file=path)
        return cls(delivered.model, codecs, delivered.query_vectors(), delivered.vectors())


class Models:
    """The models of several systems, loaded. Where they are not `parallel`, one thread at a time may encode.

    Args:
        folders: system to its model.
        runs: the backend and the numbers to compute in, as for `open_encoder`.
        say: is told of each before it is loaded.

    Raises:
        InputError: a model cannot be loaded so.
    """

    def __init__(self, folders: Mapping[str, ModelFolder], runs: tuple[str, str], say: Callable[[str], None]) -> None:
        self._encoders: dict[str, Encoder] = {}
        for system, folder in folders.items():
            say(f"loading {system}")
            self._encoders[system] = open_encoder(folder.path, None, *runs)

    @property
    def parallel(self) -> bool:
        """Whether several threads may encode at once: with PyTorch's modules over our own batches, on a processor."""
        import torch

        from nestvec.models.torch_encoder import TorchEncoder

        own = all(isinstance(encoder, TorchEncoder) for encoder in self._encoders.values())
        return own and not torch.cuda.is_available()

    def encode(
        self, system: str, texts: Sequence[str], token_counts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """(n, full width) float32 of n texts, none of them empty, rows of unit length; see `Encoder.encode`."""
        return self._encoders[system].encode(texts, token_counts=token_counts)
