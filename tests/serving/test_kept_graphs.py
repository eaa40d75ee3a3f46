"""`serve` with the graphs that are kept beside an index.

Oracles: the vectors that were measured; PyTorch; what a process has mapped into memory, as Linux tells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from running import serving
from shared_runs import copy_run

import nestvec.runs.point_files as point_files
from nestvec.indexing.index import build_index
from nestvec.models.prompts import QUERY
from nestvec.runs.run import load_run
from nestvec.serving.service import Service

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


QUERIES = ["something to drive nails with", "keeps the rain off a shed", "a drill without a cord", "wood glue 250 ml"]
WITHOUT_PYTORCH = 'import sys\n\nsys.modules["torch"] = None  # as where the extra `train` is not installed\n'


def ask(server, system):
    """Ids and scores of the best documents of each query by a system's vectors."""
    asked = {"queries": QUERIES, "k": 5, "system": system, "dimension": 96, "precision": "float32", "mode": "vectors"}
    answer = httpx.post(f"{server.url}/v1/search", json=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    hits = [hit for result in answer.json()["results"] for hit in result["hits"]]
    return [hit["id"] for hit in hits], [hit["score"] for hit in hits]


def test_graphs_and_pytorch_side_by_side_answer_as_pytorch_alone(shop):
    systems = load_run(shop).systems.keys() - {"bm25"}
    with serving(shop) as server:  # mnr's graph is kept; the others are asked for before they are loaded
        found = {system: ask(server, system) for system in sorted(systems, reverse=True)}
    with serving(shop, "--backend", "torch") as server:
        for system, (ids, scores) in found.items():
            expected, wanted = ask(server, system)
            assert ids == expected
            np.testing.assert_allclose(scores, wanted, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")
def test_a_server_of_kept_graphs_never_loads_pytorch(two_models):
    with serving(two_models) as server:
        for system in ("tiny", "pretrained"):
            asked = {"model": system, "input": QUERIES}
            assert httpx.post(f"{server.url}/v1/embeddings", json=asked, timeout=60).status_code == 200
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped and "libtorch" not in mapped


def test_without_pytorch_kept_graphs_are_served_and_others_say_what_is_missing(shop, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PYTORCH)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with serving(shop, env={"PYTHONPATH": paths}) as server:
        ids, _ = ask(server, "mnr")
        assert len(ids) == 5 * len(QUERIES)
        refused = httpx.post(f"{server.url}/v1/embeddings", json={"model": "pretrained", "input": "nails"}, timeout=60)
        assert refused.status_code == 503 and "pretrained cannot be loaded" in refused.text
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        log = server.log.read_text()
    assert "torch is not installed" in log and "nestvec[train]" in log and "Traceback" not in log


def test_an_index_and_its_server_hash_a_model_once(shop, tmp_path, monkeypatch):
    run, found = copy_run(shop, tmp_path / "run"), []
    build_index(run, system="mnr").close()
    find_model = point_files.find_model
    monkeypatch.setattr(
        point_files,
        "find_model",
        lambda name, *rest, **more: found.append(Path(name).name) or find_model(name, *rest, **more),
    )
    service = Service.open(run)
    try:
        assert found.count("mnr") == 1
        vector = service.encode("mnr", service.run.queries.texts[:1], QUERY)
        np.testing.assert_allclose(vector, service.run.vectors("mnr", vector.shape[1])[:1], atol=1e-5)
    finally:
        service.close()
