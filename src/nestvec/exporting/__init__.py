"""The model of a finished run, handed over whole: for sentence-transformers, ONNX or OpenVINO."""

from __future__ import annotations

from nestvec.exporting.export_model import Exported, export

__all__ = ["Exported", "export"]
