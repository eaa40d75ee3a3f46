"""Quantise a graph to int8: a quarter of the file size, and faster on processors with int8 instructions.

Static quantisation fixes the scales of weights and activations beforehand, by calibration texts. Dynamic quantisation
computes the activations' scales for each batch and needs no texts.
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

TEXTS = 160  # calibration texts; more texts change the scales only in the third digit


def quantise_onnx(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write an ONNX graph with int8 weights and activations, calibrated on `feeds`, the inputs of one text each.

    Activations are smoothed into the weights first (SmoothQuant, Xiao et al. 2022), and the matrix products of
    attention stay in float32. Otherwise a few large activations would take the whole range, and recall would fall by
    several points.
    """
    with _import_nncf() as nncf:
        import onnx

        onnx.save(_quantise_calibrated(nncf, onnx.load(source), feeds), target)


def quantise_onnx_dynamic(source: Path, target: Path) -> None:
    """Write an ONNX graph with int8 weights; the activations' scales are computed for each batch."""
    try:
        import onnx  # noqa: F401 - onnxruntime's quantisation uses it
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError(error.name or "onnxruntime", "onnx") from error
    with quiet_loggers(""), tempfile.TemporaryDirectory(dir=source.parent) as folder:  # it logs to the root logger
        prepared = Path(folder) / "prepared.onnx"  # with all shapes inferred
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_dynamic(
            prepared, target, per_channel=True, weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )  # fmt: skip


def quantise_openvino(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write a graph as an OpenVINO model with int8 weights and activations, calibrated on `feeds`, one text each."""
    with _import_nncf() as nncf:
        import openvino as ov

        ov.save_model(_quantise_calibrated(nncf, _read_graph(source), feeds), target, compress_to_fp16=False)


def write_openvino(source: Path, target: Path) -> None:
    """Convert an ONNX graph to OpenVINO's format in float32: an .xml file, with a .bin file beside it."""
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
    """Read a graph from a file and close the file."""
    import openvino as ov

    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})
    return core.read_model(source)


@contextlib.contextmanager
def _import_nncf() -> Iterator[Any]:
    """Import NNCF without its telemetry, log and progress bars."""
    hidden = sys.modules.get("openvino_telemetry")
    first = "nncf" not in sys.modules
    if first:  # NNCF connects during its import, unless this module is missing
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
