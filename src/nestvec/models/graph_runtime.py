"""The common form of a model's graph that ONNX Runtime or OpenVINO can run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Run = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]


@dataclass(frozen=True)
class Runtime:
    """A graph that is ready to run.

    Attributes:
        name: backend and number format, such as `onnx float32`.
        run: computes (n, width) float32 vectors from inputs by name; may be called from `lanes` threads at once.
        lanes: number of threads that may call `run` at the same time.
        tokens: most tokens of a batch.
    """

    name: str
    run: Run
    lanes: int
    tokens: int
