"""Open an encoder for a model, run by PyTorch, ONNX Runtime or OpenVINO.

All backends return the vectors of `SentenceTransformer.encode`: in float32 with a cosine of at least .9999, in bfloat16
of about .999.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from nestvec.errors import InputError, MissingExtraError
from nestvec.models.base_encoder import choose_width
from nestvec.models.export_card import read_card
from nestvec.models.find import find_model

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.export_card import Card
    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Prompts

_LOG = logging.getLogger(__name__)
BACKENDS = ("auto", "torch", "onnx", "openvino")
COMPUTES = ("auto", "float32", "bfloat16")
_RUNS = {  # the kind of a folder, and the backends that can run it; `auto` takes the first
    "sentence-transformers": ("openvino", "torch", "onnx"),
    "onnx": ("onnx", "openvino"),
    "openvino": ("openvino",),
}
_LIBRARIES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_EXTRAS = {"torch": "train", "onnx": "onnx", "openvino": "openvino"}


def open_encoder(
    folder: Path,
    dimension: int | None = None,
    backend: str = "auto",
    compute: str = "auto",
    prompts: Prompts | None = None,
) -> Encoder:
    """Open an encoder for a model's folder.

    For a sentence-transformers folder, `auto` takes PyTorch if there is a GPU; else OpenVINO, if OpenVINO is installed,
    the processor is x86-64 and the model can be written as a graph; else PyTorch. An export for a runtime is run by
    that runtime.

    Args:
        folder: a sentence-transformers model, or a folder written by `nestvec export`.
        dimension: dimension of the vectors, a prefix scaled to unit length; None for the full width.
        backend: one of `BACKENDS`.
        compute: one of `COMPUTES`; `auto` takes bfloat16 if the hardware has instructions for it.
        prompts: texts to put before queries and documents; None for the folder's own.

    Returns:
        The encoder, ready to use.

    Raises:
        InputError: the folder is damaged, the dimension is out of range, or the backend cannot run the folder.
        MissingExtraError: the backend's library is not installed.
    """
    _refuse_unknown(backend, compute)
    card = read_card(folder)
    runs = _RUNS[card.to if card else "sentence-transformers"]
    if backend != "auto" and backend not in runs:
        problem = f"was exported for {card.to}" if card else "is a sentence-transformers model"
        raise InputError(f"{problem}, which {backend} cannot run", f"--backend {' or '.join(runs)}", file=folder)
    if card and card.to != "sentence-transformers":
        width, prompts = choose_width(folder, card.dimension, dimension), card.prompts if prompts is None else prompts
        return open_export(folder, card, width, _choose_backend(runs, backend), compute, prompts)
    if card:
        dimension = choose_width(folder, card.dimension, dimension)
    model = find_model(str(folder))
    model = model if prompts is None else replace(model, prompts=prompts)
    return open_model(model, dimension, backend, compute)


def _refuse_unknown(backend: str, compute: str) -> None:
    """Raise InputError if a value is not in `BACKENDS` or `COMPUTES`."""
    for option, given, known in (("--backend", backend, BACKENDS), ("--compute", compute, COMPUTES)):
        if given not in known:
            raise InputError(f"{option} is {given!r}", f"one of {', '.join(known)}")


def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(_LIBRARIES[backend]) is not None


def _choose_backend(runs: tuple[str, ...], backend: str) -> str:
    """Choose the given backend, or for `auto` the first that is installed; MissingExtraError if no backend is."""
    fitting = runs if backend == "auto" else (backend,)
    chosen = next((name for name in fitting if _is_installed(name)), None)
    if chosen is None:
        raise MissingExtraError(_LIBRARIES[fitting[0]], _EXTRAS[fitting[0]])
    return chosen


def open_export(folder: Path, card: Card, dimension: int, backend: str, compute: str, prompts: Prompts) -> Encoder:
    """Open an exported graph as its nestvec.json (`card`) describes; needs no PyTorch and no sentence-transformers."""
    from nestvec.models.graph_encoder import GraphEncoder, open_runtime
    from nestvec.models.token_batches import TokenReader, load_tokenizer

    tokenizer = load_tokenizer(folder / "tokenizer.json", card.max_length)
    graph = folder / ("model.onnx" if card.to == "onnx" else "openvino_model.xml")
    runtime = open_runtime(backend, graph, compute, card.weights)
    return GraphEncoder(runtime, TokenReader(tokenizer, card.inputs, card.pad_id), dimension, prompts)


def open_model(model: ModelFolder, dimension: int | None, backend: str, compute: str) -> Encoder:
    """Open an encoder like `open_encoder`, for a model that was checked before and is not hashed again.

    If the backend needs a graph, the graph is written to a temporary folder.
    """
    _refuse_unknown(backend, compute)
    from nestvec.models.graph_encoder import open_graph

    if backend == "auto" and _prefers_openvino():
        _LOG.debug("%s: tried with openvino", model.path)
        try:
            return open_graph(model, dimension, "openvino", compute)
        except InputError:  # the model cannot be written as a graph, or onnx is missing
            backend = "torch"
    backend = "torch" if backend == "auto" else _choose_backend((backend,), backend)
    _LOG.debug("%s: run by %s", model.path, backend)
    if backend != "torch":
        return open_graph(model, dimension, backend, compute)
    from nestvec.models.torch_encoder import open_torch

    return open_torch(model, dimension, compute)


def _prefers_openvino() -> bool:
    """Whether OpenVINO is installed and probably the fastest backend: on x86-64 processors, unless there is a GPU."""
    if not _is_installed("openvino") or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import torch

    return not torch.cuda.is_available()
