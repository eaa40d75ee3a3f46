"""The settings of `nestvec export`."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.runs.choose_point import PointArguments, PointSettings
from nestvec.settings import option


class ExportArguments(PointArguments, total=False):
    """Keyword arguments of `nestvec.export`: the fields of `ExportSettings`, except `to`."""

    weights: str


@dataclass(frozen=True)
class ExportSettings(PointSettings):
    """What `nestvec export` exports: a measured system, the library that will run it, and the type of its weights."""

    to: str = option(
        "sentence-transformers", "Library that runs the exported model: sentence-transformers, onnx or openvino."
    )
    weights: str = option(
        "float32", "Type of the weights: float32, int8 (calibrated on training documents), or int8-dynamic for onnx."
    )
