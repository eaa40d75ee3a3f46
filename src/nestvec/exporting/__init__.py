"""Exports the model of a finished run for sentence-transformers, ONNX or OpenVINO."""
