"""Encode texts with a model's graph; each processor runs a batch, which is faster than sharing a matrix product."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.base_encoder import LEAST, Encoder, choose_width

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from nestvec.models.base_encoder import Encoded
    from nestvec.models.find import ModelFolder
    from nestvec.models.graph_runtime import Runtime
    from nestvec.models.prompts import Prompts, Role
    from nestvec.models.token_batches import TokenReader

_WANTED = "--backend torch, which runs every model"


class GraphEncoder(Encoder):
    """Encodes texts with a model's graph, in batches that nestvec makes itself.

    Args:
        runtime: runs the graph.
        reader: tokenises texts as the model does.
        dimension: dimension of the vectors, at most that of the graph's output.
        prompts: texts to put before queries and documents.
    """

    def __init__(self, runtime: Runtime, reader: TokenReader, dimension: int, prompts: Prompts) -> None:
        super().__init__(runtime.name, dimension, prompts)
        self._runtime, self._reader = runtime, reader

    def _encode_batches(self, texts: Sequence[str], role: Role) -> Generator[Encoded]:
        batches = list(self._reader.make_batches(texts, self._runtime.tokens, self.prompts.of(role)))
        with ThreadPoolExecutor(self._runtime.lanes, thread_name_prefix="nestvec-encode") as pool:
            try:
                outputs = pool.map(self._runtime.run, (batch.inputs for batch in batches))
                for batch, output in zip(batches, outputs, strict=True):
                    yield batch.rows, batch.lengths, output
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits only for the running batches
                raise


def open_runtime(backend: str, graph: Path, compute: str, weights: str) -> Runtime:
    """Load and compile a graph with `onnx` or `openvino`; the file may be deleted afterwards."""
    if backend == "onnx":
        from nestvec.models.onnx_runtime import open_onnx

        return open_onnx(graph, compute, weights)
    from nestvec.models.openvino_runtime import open_openvino

    return open_openvino(graph, compute, weights)


def open_graph(folder: ModelFolder, dimension: int | None, backend: str, compute: str) -> GraphEncoder:
    """Write a sentence-transformers model as a temporary graph, and open it with `onnx` or `openvino`.

    Raises InputError if the model cannot be written as a graph, or if the graph gives other vectors than the model.
    """
    from nestvec.models.load import load_model, measure_width
    from nestvec.models.onnx_graph import input_names, write_onnx
    from nestvec.models.prompts import reads_roles_apart
    from nestvec.models.token_batches import make_reader

    model = load_model(folder).to("cpu").eval()
    dimension = choose_width(folder.path, measure_width(model, folder.path), dimension)
    if reads_roles_apart(model):
        problem = f"processes queries and documents in different ways, which {backend} does not support"
        raise InputError(problem, _WANTED, file=folder.path)
    reader = make_reader(model, input_names(model))
    if reader is None:
        raise InputError(f"has no fast tokenizer, which {backend} needs", _WANTED, file=folder.path)
    with tempfile.TemporaryDirectory(prefix="nestvec-graph-") as temporary:
        graph = Path(temporary) / "model.onnx"
        write_onnx(model, dimension, graph)
        runtime = open_runtime(backend, graph, compute, "float32")
    encoder = GraphEncoder(runtime, reader, dimension, folder.prompts)
    if not encoder.agrees_with(model, LEAST[runtime.name.rsplit(" ", 1)[-1]]):
        raise InputError(f"its graph in {backend} gives other vectors than the model", _WANTED, file=folder.path)
    return encoder
