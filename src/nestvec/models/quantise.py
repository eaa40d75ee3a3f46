"""Weights and activations in int8: a quarter of the file, and faster where the processor has the instructions.

Static quantisation fixes every step beforehand, from what the model computes for calibration texts; dynamic
quantisation finds the activations' steps anew for each batch and needs no texts.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError
from nestvec.models.load import quiet_loggers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.int64]]  # input name to (batch, tokens)

TEXTS = 160  # calibration texts; more change the steps in their third digit only


def quantise_onnx(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write an ONNX graph with int8 weights and activations, calibrated on inputs of a text each.

    Activations are smoothed into the weights first (SmoothQuant, Xiao et al. 2022), and attention's own products stay
    in float32: without either, a few large activations take the whole range, and recall falls by points.
    """
    with _import_nncf() as nncf:
        import onnx

        onnx.save(_quantise_calibrated(nncf, onnx.load(source), feeds), target)


def quantise_onnx_dynamic(source: Path, target: Path) -> None:
    """Write an ONNX graph with int8 weights whose activations find their step in each batch."""
    try:
        import onnx  # noqa: F401 - what it reads with
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError(error.name or "onnxruntime", "onnx") from error
    with quiet_loggers(""), tempfile.TemporaryDirectory(dir=source.parent) as folder:  # advice on the root logger
        prepared = Path(folder) / "prepared.onnx"  # with every shape worked out
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_dynamic(
            prepared, target, per_channel=True, weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )  # fmt: skip


def quantise_openvino(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write a graph as an OpenVINO model with int8 weights and activations, calibrated on inputs of a text each."""
    with _import_nncf() as nncf:
        import openvino as ov

        ov.save_model(_quantise_calibrated(nncf, _read_graph(source), feeds), target, compress_to_fp16=False)


def write_openvino(source: Path, target: Path) -> None:
    """Write an ONNX graph in OpenVINO's form, in float32: an .xml file, with its .bin beside it."""
    try:
        import openvino as ov
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino") from error
    ov.save_model(_read_graph(source), target, compress_to_fp16=False)


def _quantise_calibrated(nncf: Any, model: Any, feeds: Sequence[Feed]) -> Any:  # noqa: ANN401 - of either library
    return nncf.quantize(
        model, nncf.Dataset(list(feeds)), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds)
    )


def _read_graph(source: Path) -> Any:  # noqa: ANN401 - OpenVINO's model
    """A graph that keeps no hold on its file."""
    import openvino as ov

    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})
    return core.read_model(source)


@contextlib.contextmanager
def _import_nncf() -> Iterator[Any]:
    """NNCF without its reports to its makers, its log and its loading bars."""
    hidden = sys.modules.get("openvino_telemetry")
    first = "nncf" not in sys.modules
    if first:  # it opens its connection while it is imported, and does without where there is no such module
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf
    except ImportError as error:
        raise MissingExtraError(error.name or "nncf", "openvino") from error
    finally:
        if first:
            del sys.modules["openvino_telemetry"]
        if hidden is not None:
            sys.modules["openvino_telemetry"] = hidden
    nncf.set_log_level(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield nncf
