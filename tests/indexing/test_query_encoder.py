"""Queries encoded by the graph beside an index, without PyTorch.

Oracle: the same model asked through PyTorch, and what was done to the graph's files, which is known.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from shared_runs import copy_run
from tiny_models import VARIETIES

from nestvec.indexing.index import build_index, open_index
from nestvec.indexing.query_encoder import keep_graph, open_query_encoder
from nestvec.models.export_card import read_card, write_card
from nestvec.models.find import find_model
from nestvec.models.load import quiet_libraries, read_width
from nestvec.models.model_files import CARD
from nestvec.models.prompts import QUERY
from nestvec.models.torch_encoder import open_torch
from nestvec.progress import Silent
from nestvec.runs.point_files import SystemFiles, open_system
from nestvec.runs.run import load_run

TYPED = """
import sys
from nestvec.cli import main
try:
    main()
finally:
    print(*sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
HEAVY = {"torch", "transformers", "sentence_transformers", "pandas", "sklearn", "scipy", "pyarrow", "matplotlib"}
RUNTIMES = {"onnxruntime", "openvino", "tokenizers"}


@pytest.fixture
def run(two_models, tmp_path):
    """A copy of a run of MiniLM and a tiny MPNet, with the graphs of both."""
    return copy_run(two_models, tmp_path / "run")


@pytest.fixture
def indexed(run):
    """The same, with an index of the tiny model."""
    build_index(run, system="tiny", dimension=96, precision="int8").close()
    return run


def graph_of(run, system="tiny"):
    return run / "index/graphs" / system


def files_of(run, system="tiny"):
    return open_system(load_run(run), system)


def encode_by_torch(files, queries):
    """(q, width) float32 of queries, encoded one by one as searches do."""
    encoder = open_torch(files.model, files.width, "float32")
    return np.concatenate([encoder.encode([query], QUERY) for query in queries])


@pytest.mark.parametrize(
    ("mode", "without"), [("vectors", HEAVY), ("fused", HEAVY), ("words", HEAVY | RUNTIMES | {"safetensors.torch"})]
)
def test_a_search_from_the_shell_loads_no_pytorch(indexed, mode, without):
    words = ["search", str(indexed), "claw hammer", "--json", "--mode", mode]
    ended = subprocess.run([sys.executable, "-c", TYPED, *words], capture_output=True, text=True, check=True)
    assert set(ended.stderr.split()) & without == set()
    shutil.rmtree(graph_of(indexed))
    with open_index(indexed) as index:
        expected = [hit.id for hit in index.search("claw hammer", mode=mode)]
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == expected


@pytest.mark.parametrize("system", ["tiny", "pretrained"])
def test_the_graph_gives_the_models_vectors(run, system):
    files = files_of(run, system)
    encoder, queries = open_query_encoder(files), files.run.queries.texts
    assert encoder.name == "onnx float32"
    found = np.concatenate([encoder.encode([query], QUERY) for query in queries])
    np.testing.assert_allclose(found, encode_by_torch(files, queries), atol=1e-6)
    np.testing.assert_allclose(found, files.query_vectors, atol=1e-5)


def test_both_find_the_same_for_every_query(indexed):
    with open_index(indexed) as index:
        queries = index.selection.run.queries.texts
        found = [[hit.id for hit in index.search(query)] for query in queries]
    shutil.rmtree(graph_of(indexed))
    with open_index(indexed) as index:
        assert [[hit.id for hit in index.search(query)] for query in queries] == found


def edit_card(graph, **values):
    """Change a card, which is no longer what its hash says."""
    card = json.loads((graph / CARD).read_text())
    (graph / CARD).write_text(json.dumps(card | values))


def rewrite_card(graph, **values):
    """Write another card as if an export had: its hash is right."""
    write_card(graph, replace(read_card(graph), **values))


def cut_short(graph):
    content = (graph / "model.onnx").read_bytes()
    (graph / "model.onnx").unlink()  # it may be a link to the session's
    (graph / "model.onnx").write_bytes(content[:-1])


def take_other_model(graph):
    shutil.rmtree(graph)
    shutil.copytree(graph.with_name("pretrained"), graph)


HARM = {
    "missing": shutil.rmtree,
    "without weights": lambda graph: (graph / "model.onnx").unlink(),
    "cut short": cut_short,
    "another tokenizer": lambda graph: shutil.copy(graph.with_name("pretrained") / "tokenizer.json", graph),
    "another model's": take_other_model,
    "its card edited": lambda graph: edit_card(graph, query_prompt="query: ", document_prompt="passage: "),
    "measured with other files": lambda graph: rewrite_card(graph, model={"tokenizer.json": "0" * 64}),
    "another width": lambda graph: rewrite_card(graph, dimension=48),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_graph_that_is_not_the_measured_models_is_passed_over_and_made_again(run, harm):
    files = files_of(run)
    HARM[harm](graph_of(run))
    encoder = open_query_encoder(files)
    assert encoder.name == "torch float32"
    np.testing.assert_allclose(encoder.encode(["claw hammer"], QUERY), encode_by_torch(files, ["claw hammer"]))
    keep_graph(files, Silent())
    assert open_query_encoder(files).name == "onnx float32"


def test_a_graph_that_is_there_stays(indexed):
    before = (graph_of(indexed) / CARD).stat()
    build_index(indexed, system="tiny", dimension=48, precision="int8").close()
    assert (graph_of(indexed) / CARD).stat().st_ino == before.st_ino


def test_where_nothing_can_be_written_an_index_is_built_all_the_same(run):
    shutil.rmtree(run / "index/graphs")
    (run / "index/graphs").write_text("a file where the graphs would lie")
    with build_index(run, system="tiny", dimension=96, precision="int8") as index:
        assert len(index.search("claw hammer", 3)) == 3
        assert index.verify().holds


@dataclass(frozen=True)
class AnyModel(SystemFiles):
    """A system of a run with a model that nobody measured, at the width that the model has."""

    @property
    def width(self):
        """How many numbers the model's vectors have."""
        return read_width(self.model)


@pytest.mark.slow  # loads and traces every kind of model
@pytest.mark.parametrize("variety", VARIETIES)
def test_of_any_kind_of_model_there_is_its_graph_or_none(run, tmp_path, variety):
    with quiet_libraries():
        folder = VARIETIES[variety](tmp_path / "model")
    files = AnyModel(load_run(run), "any", find_model(str(folder)), {})
    keep_graph(files, Silent())
    encoder = open_query_encoder(files)
    assert (encoder.name == "onnx float32") == graph_of(run, "any").is_dir()
    for query in ("claw hammer", "hammer " * 90, "!"):
        expected = encode_by_torch(files, [query])
        np.testing.assert_allclose(encoder.encode([query], QUERY), expected, atol=1e-5)
