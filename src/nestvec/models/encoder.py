"""One way to encode texts, whatever runs the model: PyTorch, ONNX Runtime or OpenVINO.

In float32 all of them return what `SentenceTransformer.encode` does, to a cosine of .9999; bfloat16 to about .999.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
from typing import TYPE_CHECKING, Protocol

from nestvec.errors import InputError, MissingExtraError
from nestvec.models.card import read_card
from nestvec.models.find import find_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.models.card import Card
    from nestvec.models.find import ModelFolder

_LOG = logging.getLogger(__name__)
BACKENDS = ("auto", "torch", "onnx", "openvino")
COMPUTES = ("auto", "float32", "bfloat16")
_RUNS = {  # what a folder was exported for to what runs it, the first by itself
    "sentence-transformers": ("openvino", "torch", "onnx"),
    "onnx": ("onnx", "openvino"),
    "openvino": ("openvino",),
}
_LIBRARIES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_EXTRAS = {"torch": "train", "onnx": "onnx", "openvino": "openvino"}


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """What runs and in which numbers, such as `openvino bfloat16`."""

    @property
    def dimension(self) -> int:
        """Of the vectors."""

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] = ...) -> NDArray[np.float32]:
        """Encode texts; the same texts always share a batch, so they always give the same bytes.

        Args:
            texts: n texts, none of them empty.
            advance: called with the number of texts done since the last call.

        Returns:
            (n, dimension) float32, rows of unit length in the order of the texts.
        """


def open_encoder(folder: Path, dimension: int | None = None, backend: str = "auto", compute: str = "auto") -> Encoder:
    """Make a model ready to encode.

    `auto` takes, for a sentence-transformers folder, PyTorch where there is a GPU; else OpenVINO where it is installed,
    the processor is one that it is made for (x86-64) and the model can be written as a graph; else PyTorch. An export
    for a runtime is run by that runtime.

    Args:
        folder: a sentence-transformers model, or what `nestvec export` wrote.
        dimension: of the vectors, a prefix scaled to unit length; None for all that the folder's model makes.
        backend: `auto`, `torch`, `onnx` or `openvino`.
        compute: `float32`, `bfloat16`, or `auto`: bfloat16 exactly where the hardware has instructions for it.

    Returns:
        The encoder.

    Raises:
        InputError: the folder is damaged, has no such dimension, or is not for that backend.
        MissingExtraError: the backend's library is not installed.
    """
    _refuse_unknown(backend, compute)
    card = read_card(folder)
    runs = _RUNS[card.to if card else "sentence-transformers"]
    if backend != "auto" and backend not in runs:
        made = f"was exported for {card.to}" if card else "is a sentence-transformers model"
        raise InputError(f"{made}, which {backend} cannot run", f"--backend {' or '.join(runs)}", file=folder)
    if card and card.to != "sentence-transformers":
        return _of_export(folder, card, width_of(folder, card.dimension, dimension), _installed(runs, backend), compute)
    model = find_model(str(folder))
    width = width_of(folder, card.dimension if card else model.width, dimension)
    return _of_model(model, width, backend, compute)


def _refuse_unknown(backend: str, compute: str) -> None:
    """Raise for words that mean nothing."""
    for option, given, known in (("--backend", backend, BACKENDS), ("--compute", compute, COMPUTES)):
        if given not in known:
            raise InputError(f"{option} is {given!r}", f"one of {', '.join(known)}")


def width_of(folder: Path | str, most: int, wanted: int | None) -> int:
    """The dimension of the vectors that are made.

    Args:
        folder: of the model, for the message.
        most: that it makes.
        wanted: None takes all.

    Returns:
        1 … most.

    Raises:
        InputError: it makes no such vectors.
    """
    if wanted is not None and not 1 <= wanted <= most:
        raise InputError(f"makes no vectors of dimension {wanted}", f"a number from 1 to {most}", file=folder)
    return wanted or most


def _has(backend: str) -> bool:
    """Whether a backend's library is installed."""
    return importlib.util.find_spec(_LIBRARIES[backend]) is not None


def _installed(runs: tuple[str, ...], backend: str) -> str:
    """The backend that was named, or the first of those that would do; whichever it is, it is installed."""
    fitting = runs if backend == "auto" else (backend,)
    found = next((name for name in fitting if _has(name)), None)
    if found is None:
        raise MissingExtraError(_LIBRARIES[fitting[0]], _EXTRAS[fitting[0]])
    return found


def _of_export(folder: Path, card: Card, dimension: int, backend: str, compute: str) -> Encoder:
    """A graph on disk; neither PyTorch nor sentence-transformers is needed."""
    from nestvec.models.batches import Reader, load_tokenizer
    from nestvec.models.graph_encoder import GraphEncoder, opening

    reader = Reader(load_tokenizer(folder / "tokenizer.json", card.max_length), card.inputs, card.pad_id, card.prompt)
    graph = folder / ("model.onnx" if card.to == "onnx" else "openvino_model.xml")
    return GraphEncoder(opening(backend)(graph, compute, card.weights), reader, dimension)


def _of_model(model: ModelFolder, dimension: int, backend: str, compute: str) -> Encoder:
    """A sentence-transformers model; the graph that some backends need is made on the spot."""
    from nestvec.models.graph_encoder import open_graph

    if backend == "auto" and _prefers_openvino():
        _LOG.debug("%s: tried with openvino", model.path)
        try:
            return open_graph(model, dimension, "openvino", compute)
        except InputError:  # modules that cannot be written as a graph, or onnx is missing
            backend = "torch"
    backend = "torch" if backend == "auto" else _installed((backend,), backend)
    _LOG.debug("%s: run by %s", model.path, backend)
    if backend != "torch":
        return open_graph(model, dimension, backend, compute)
    from nestvec.models.torch_encoder import open_torch

    return open_torch(model, dimension, compute)


def _prefers_openvino() -> bool:
    """Whether OpenVINO is there and the fastest: it was on every x86-64 tried; a GPU is PyTorch's."""
    if not _has("openvino") or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import torch

    return not torch.cuda.is_available()
