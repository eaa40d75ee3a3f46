"""Encode with a model's graph, several batches at a time: a processor each, which beats sharing out every product."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.models.find import ModelFolder
    from nestvec.models.graph_runtime import Runtime
    from nestvec.models.token_batches import TokenReader


class GraphEncoder:
    """A graph over our own batches.

    Args:
        runtime: runs it.
        reader: reads texts as the model does.
        dimension: of the vectors, at most what the graph gives.
    """

    def __init__(self, runtime: Runtime, reader: TokenReader, dimension: int) -> None:
        self.name = runtime.name
        self.dimension = dimension
        self._runtime, self._reader = runtime, reader

    def encode(
        self,
        texts: Sequence[str],
        advance: Callable[[int], None] = lambda _: None,
        token_counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        batches = list(self._reader.make_batches(texts, self._runtime.tokens))
        with ThreadPoolExecutor(self._runtime.lanes, thread_name_prefix="nestvec-encode") as pool:
            try:
                outputs = pool.map(self._runtime.run, (batch.inputs for batch in batches))
                for batch, output in zip(batches, outputs, strict=True):
                    vectors[batch.rows] = prefix(output, self.dimension)
                    if token_counts is not None:
                        token_counts[batch.rows] = batch.lengths
                    advance(len(batch.rows))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for no more than what is running
                raise
        return vectors


def open_runtime(backend: str, graph: Path, compute: str, weights: str) -> Runtime:
    """Load and compile a graph; its file is not needed any more when this returns.

    Args:
        backend: `onnx` or `openvino`.
        graph: the file.
        compute: `auto`, `float32` or `bfloat16`.
        weights: of the graph: `float32`, `int8` or `int8-dynamic`.

    Returns:
        The graph, ready.
    """
    if backend == "onnx":
        from nestvec.models.onnx_runtime import open_onnx

        return open_onnx(graph, compute, weights)
    from nestvec.models.openvino_runtime import open_openvino

    return open_openvino(graph, compute, weights)


def open_graph(folder: ModelFolder, dimension: int, backend: str, compute: str) -> GraphEncoder:
    """Write a sentence-transformers model's graph for a moment and get it ready.

    Args:
        folder: the checked model.
        dimension: of the vectors.
        backend: `onnx` or `openvino`.
        compute: `auto`, `float32` or `bfloat16`.

    Returns:
        The encoder.

    Raises:
        InputError: the model cannot be written as a graph, or the graph gives other vectors than the model.
    """
    from nestvec.models.agreement import LEAST, agrees_with_model
    from nestvec.models.load import load_model
    from nestvec.models.onnx_graph import default_prompt, input_names, write_onnx
    from nestvec.models.token_batches import make_reader

    model = load_model(folder).to("cpu").eval()
    reader = make_reader(model, input_names(model), default_prompt(model))
    wanted = "--backend torch, which runs every model"
    if reader is None:
        raise InputError(f"its tokenizer is none that {backend} can do without PyTorch", wanted, file=folder.path)
    with tempfile.TemporaryDirectory(prefix="nestvec-graph-") as temporary:
        graph = Path(temporary) / "model.onnx"
        write_onnx(model, dimension, graph)
        runtime = open_runtime(backend, graph, compute, "float32")
    encoder = GraphEncoder(runtime, reader, dimension)
    if not agrees_with_model(encoder.encode, model, dimension, LEAST[runtime.name.rsplit(" ", 1)[-1]]):
        raise InputError(f"its graph gives other vectors than the model in {backend}", wanted, file=folder.path)
    return encoder
