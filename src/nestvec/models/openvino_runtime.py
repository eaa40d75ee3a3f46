"""Run a graph with OpenVINO on the CPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError, MissingExtraError
from nestvec.models.graph_runtime import Runtime
from nestvec.processors import count_processors

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_TOKENS = 1024  # most tokens of a batch, so that its numbers fit into the caches of a processor
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def open_openvino(graph: Path, compute: str, weights: str) -> Runtime:
    """Compile a model's graph: openvino_model.xml, whose weights lie in the same folder, or model.onnx.

    `auto` computes in bfloat16 if the processor has instructions for it. int8 weights stay int8 whatever `compute` is.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino") from error
    core: Any = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file may be removed while the graph is in use
    if compute == "auto":
        compute = "bfloat16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "float32"
    lanes = count_processors()
    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": _HINTS[compute],
        "INFERENCE_NUM_THREADS": lanes,
        "NUM_STREAMS": lanes,
    }
    try:
        compiled: Any = core.compile_model(core.read_model(str(graph)), "CPU", settings)
    except RuntimeError as error:
        raise InputError(f"cannot be loaded ({str(error).strip()[:200]})", "an OpenVINO model", file=graph) from error
    own = threading.local()

    def run(inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer(inputs)
        vectors: NDArray[np.float32] = own.request.get_output_tensor(0).data.copy()
        return vectors

    return Runtime(f"openvino {compute if weights == 'float32' else weights}", run, lanes, _TOKENS)
