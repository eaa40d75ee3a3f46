"""What runs a graph: the form that every runtime is brought into."""

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
        name: what runs it and in which numbers.
        run: inputs by name to (n, width) float32; may be called from `lanes` threads at once.
        lanes: how many.
        tokens: the most of a batch.
    """

    name: str
    run: Run
    lanes: int
    tokens: int
