"""The model of a finished run, handed over whole: for sentence-transformers, ONNX or OpenVINO."""
