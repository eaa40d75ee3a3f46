"""Run a graph with ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError, MissingExtraError
from nestvec.models.graph_runtime import Runtime
from nestvec.processors import count_processors

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_TOKENS = 1024  # most tokens of a batch, so that its numbers fit into the caches of a processor


def open_onnx(graph: Path, compute: str, weights: str) -> Runtime:
    """Load a graph whose weights have the number format `weights`; refuses bfloat16, which is no faster on a CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx") from error
    if compute == "bfloat16":
        raise InputError("ONNX Runtime does not compute in bfloat16 here", "--compute float32, or --backend openvino")
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"cannot be loaded ({str(error)[:200]})", "an ONNX model", file=graph) from error

    def run(inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        try:
            vectors: NDArray[np.float32] = session.run(None, inputs)[0]
        except Exception as error:  # as above
            problem = f"ONNX Runtime cannot encode ({' '.join(str(error).split())[:200]})"
            raise InputError(problem, "a tokenizer and a graph of the same model: export it again") from error
        return vectors

    return Runtime(f"onnx {weights}", run, count_processors(), _TOKENS)
