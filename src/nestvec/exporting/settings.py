"""What an export may be told."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.settings import option


@dataclass(frozen=True)
class ExportSettings:
    """Which model to hand over, in which form.

    Attributes:
        to: `sentence-transformers`, `onnx` or `openvino`.
        weights: `float32`; `int8`, calibrated on training documents; for ONNX also `int8-dynamic`.
    """

    to: str = option("sentence-transformers", "sentence-transformers, onnx or openvino.")
    weights: str = option("float32", "float32, int8 (calibrated on training documents) or int8-dynamic (onnx).")
