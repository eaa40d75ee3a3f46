"""Run a model with whatever is installed: PyTorch, ONNX Runtime, OpenVINO."""
