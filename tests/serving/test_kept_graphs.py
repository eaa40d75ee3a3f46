"""`serve` with the graphs that are kept beside an index. Oracle: the vectors that were measured."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from nestvec.runs.run import load_run

LOADED = """
import json, sys
from pathlib import Path
from nestvec.serving.service import Service
from nestvec.serving.serving_options import ServingOptions

service = Service.open(Path(sys.argv[1]), ServingOptions(backend=sys.argv[2]))
texts = service.run.queries.texts[:20]
vectors = {system: service.encode(system, texts, "query").tolist() for system in ("tiny", "pretrained")}
service.close()
parallel = [service.parallel(system) for system in vectors]
print(json.dumps({"parallel": parallel, "torch": "torch" in sys.modules, "vectors": vectors}))
"""


@pytest.mark.parametrize("backend", ["kept", "onnx"])
def test_they_serve_the_models_vectors_without_pytorch(two_models, backend):
    command = [sys.executable, "-c", LOADED, str(two_models), backend]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    told, run = json.loads(ended.stdout), load_run(two_models)
    assert (told["torch"], told["parallel"]) == (False, [False, False])
    for system, vectors in told["vectors"].items():
        measured = run.vectors(system, np.shape(vectors)[1])[:20]
        np.testing.assert_allclose(vectors, measured, atol=1e-5)
