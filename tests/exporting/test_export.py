"""Oracle: the vectors that the run's evaluation stored; every export is opened with its own library alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from full_disk import full_from
from sentence_transformers import SentenceTransformer
from shared_runs import copy_run

from nestvec.errors import ChangedError, InputError, NestvecError
from nestvec.exporting.export_model import export
from nestvec.exporting.targets import calibration_texts
from nestvec.files import sha256
from nestvec.models.encoder import open_encoder
from nestvec.models.export_card import read_card
from nestvec.models.find import find_model
from nestvec.models.load import read_width
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.vectors.stored import load_codecs

ALONE = """
import json, sys
for name in ("torch", "transformers", "sentence_transformers", "nestvec"):
    sys.modules[name] = None  # importing it fails from here on
import numpy
with open(sys.argv[1]) as stream:
    given = json.load(stream)
exec(given["code"])
parts = [encode(given["texts"][first : first + 50]) for first in range(0, len(given["texts"]), 50)]
assert vectors.shape == parts[0][:2].shape
numpy.save(sys.argv[2], numpy.concatenate(parts))
"""


def snippet(folder):
    """The code that the export's README shows, for where the export lies."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return code.group(1).replace("PATH", str(folder))


def alone(folder, texts, scratch):
    """Vectors of the README's code in a process that cannot import PyTorch."""
    (scratch / "given.json").write_text(json.dumps({"code": snippet(folder), "texts": texts}), encoding="utf-8")
    script = [sys.executable, "-c", ALONE, str(scratch / "given.json"), str(scratch / "vectors.npy")]
    subprocess.run(script, check=True, timeout=300)
    return np.load(scratch / "vectors.npy")


def cosines(found, wanted):
    assert found.shape == wanted.shape
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(found)), abs=1e-5)
    return (found * wanted).sum(axis=1)


@pytest.mark.parametrize("system", ["pretrained", "tiny"])
def test_sentence_transformers_gives_unit_vectors_without_being_asked(system, exported, evaluated):
    made = exported(system, "sentence-transformers")
    texts, wanted = evaluated(system)
    model = SentenceTransformer(str(made.folder), device="cpu")
    assert cosines(model.encode(texts), wanted).min() >= 0.9999
    assert model.truncate_dim == model.get_embedding_dimension() == wanted.shape[1]
    assert read_width(find_model(str(made.folder))) == wanted.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("system", ["pretrained", "tiny"])
def test_the_readmes_code_gives_the_evaluated_vectors_without_pytorch(system, to, exported, evaluated, tmp_path):
    made = exported(system, to)
    texts, wanted = evaluated(system)
    assert cosines(alone(made.folder, texts, tmp_path), wanted).min() >= 0.9999
    assert made.parity.cosine_least >= 0.9999 and made.parity.texts == 500
    assert made.parity.recall == pytest.approx(made.parity.recall_before, abs=1e-9)


@pytest.mark.parametrize("to", ["sentence-transformers", "onnx", "openvino"])
def test_a_model_whose_vectors_are_on_axes_turns_them_by_itself(to, run, tmp_path):
    made = export(run, tmp_path / "out", to, system="tiny", dimension=48, precision="binary", axes=True)
    chosen = select(load_run(run), "tiny", 48, "binary", axes=True)
    axes, texts = chosen.codec.axes, [*chosen.run.queries.texts, *chosen.run.catalogue.texts][:60]
    whole = np.load(run / "embeddings" / "tiny.npy")[:60].astype(np.float64)
    turned = whole @ axes.matrix - axes.shift
    wanted = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    if to == "sentence-transformers":
        found = SentenceTransformer(str(made.folder), device="cpu").encode(texts)
    else:
        found = open_encoder(made.folder, backend=to, compute="float32").encode(texts, "query")
    assert cosines(found, wanted).min() > 0.9999
    assert made.parity.cosine_least >= 0.9999
    assert made.parity.recall == pytest.approx(made.parity.recall_before, abs=1e-9)
    card = read_card(made.folder)
    assert (card.axes, card.dimension, card.point) == (True, 48, "48.binary")
    codec = load_codecs(made.folder / "codec.safetensors")["48.binary"]
    cut = chosen.codec.cut(whole.astype(np.float32))
    assert np.array_equal(codec.encode(cut), chosen.codec.encode(cut))
    assert "principal axes" in (made.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "to", "weights"),
    [
        ("pretrained", "onnx", "int8-dynamic"),
        # quantising all of MiniLM's layers by what they give for texts takes half a minute
        pytest.param("pretrained", "onnx", "int8", marks=pytest.mark.slow),
        pytest.param("pretrained", "openvino", "int8", marks=pytest.mark.slow),
        ("tiny", "onnx", "int8"), ("tiny", "onnx", "int8-dynamic"), ("tiny", "openvino", "int8"),
    ],
)  # fmt: skip
def test_int8_is_a_third_of_the_size_and_near(system, to, weights, exported, evaluated, tmp_path):
    made, whole = exported(system, to, weights), exported(system, to)
    assert made.bytes < whole.bytes / 3
    texts, wanted = evaluated(system)
    near = cosines(alone(made.folder, texts, tmp_path), wanted)
    assert near.mean() >= 0.98 and near.min() < 0.99999  # the latter: it is not the float32 graph again
    assert made.card.weights == weights and str(weights) in made.summary


def test_an_export_is_told_by_its_card(exported, run):
    made = exported("tiny", "onnx")
    card = read_card(made.folder)
    assert card == made.card
    chosen = select(load_run(run), "tiny", 96, "int8")
    assert (card.system, card.dimension, card.full_dimension, card.precision) == ("tiny", 96, 768, "int8")
    assert card.model_sha256 == chosen.model.sha256 == sha256(chosen.model.path / "model.safetensors")
    there = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    assert set(card.files) | {"nestvec.json", "README.md"} == there
    assert (load_codecs(made.folder / "codec.safetensors")["96.int8"].scale == chosen.codec.scale).all()
    assert made.bytes == sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_the_same_export_again_has_the_same_bytes_and_replaces_it(exported, run, tmp_path):
    card = exported("tiny", "onnx").card
    export(run, tmp_path / "out", "openvino", system="tiny", dimension=96, precision="int8")
    again = export(run, tmp_path / "out", "onnx", system="tiny", dimension=96, precision="int8")
    assert set(again.card.files) == set(card.files)
    for name in card.files:
        assert again.card.files[name] == card.files[name]
    assert not (tmp_path / "out" / "openvino_model.xml").exists()


def test_calibration_reads_training_documents_only(run):
    import pyarrow.parquet as pq

    chosen = select(load_run(run), "tiny", 96, "int8")
    records = pq.read_table(run / "data" / "records.parquet")
    pairs = zip(records["document"].to_pylist(), records["split"].to_pylist(), strict=True)
    elsewhere = {document for document, split in pairs if split != "train"}
    texts = calibration_texts(chosen)
    assert len(texts) == len(set(texts)) == 160
    assert not elsewhere & set(texts)
    assert texts == calibration_texts(chosen)


@pytest.mark.slow
def test_other_vectors_than_measured_leave_nothing(run, tmp_path, tmp_path_factory):
    """The stored vectors are swapped about, as if another model had been measured."""
    run = copy_run(run, tmp_path_factory.mktemp("swapped") / "run")
    path = run / "embeddings" / "tiny.npy"
    earlier = export(run, tmp_path / "earlier", "onnx", system="tiny", dimension=96, precision="int8")
    np.save(path, np.roll(np.load(path), 1, axis=0))
    with pytest.raises(ChangedError, match="has changed since it was measured; expected the vectors of tiny"):
        export(run, tmp_path / "out", "onnx", system="tiny", dimension=96, precision="int8")
    results = json.loads((run / "results.json").read_text())
    del results["measured_with"]  # an earlier nestvec stated no hashes: what the model gives is compared
    (run / "results.json").write_text(json.dumps(results))
    for to in ("sentence-transformers", "onnx", "openvino"):
        with pytest.raises(NestvecError, match=r"least cosine is .*, below 0\.9999.*Nothing was written") as told:
            export(run, tmp_path / "out", to, system="tiny", dimension=96, precision="int8")
        assert told.value.exit_code == 1
    with pytest.raises(NestvecError, match=r"mean cosine is .*, below 0\.98.*--weights float32 loses nothing"):
        export(run, tmp_path / "earlier", "onnx", system="tiny", dimension=96, precision="int8", weights="int8-dynamic")
    assert [entry.name for entry in tmp_path.iterdir()] == ["earlier"]
    assert read_card(tmp_path / "earlier") == earlier.card


@pytest.mark.parametrize(
    ("to", "weights"),
    [("sentence-transformers", "float32"), ("onnx", "float32"), ("onnx", "int8-dynamic"), ("openvino", "float32")],
)
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_full_disk_is_one_message(to, weights, size, run, tmp_path):
    with full_from(size), pytest.raises(NestvecError, match="cannot be written"):
        export(run, tmp_path / "out", to, system="tiny", dimension=96, precision="int8", weights=weights)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "do not ship.*--system, one of pretrained, tiny"),
        ({"system": "bm25"}, "no system 'bm25'"),
        ({"system": "tiny", "dimension": 7}, r"did not measure tiny at 7\.float32"),
        ({"system": "tiny", "to": "tflite"}, "--to is 'tflite'; expected one of sentence-transformers, onnx, openvino"),
        ({"system": "tiny", "weights": "int4"}, "--weights is 'int4'; expected one of float32"),
        (
            {"system": "tiny", "weights": "int8"},
            "sentence-transformers does not support --weights int8; expected --weights float32",
        ),
        ({"system": "tiny", "to": "openvino", "weights": "int8-dynamic"}, "expected --weights float32 or int8"),
    ],
)
def test_words_that_mean_nothing_are_refused(words, message, run, tmp_path):
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "out", **words)
    assert not list(tmp_path.iterdir())


def test_what_no_export_made_is_not_replaced(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for name, message in (("file", "is a file"), ("folder", "no export made"), ("file/below", "cannot be written")):
        with pytest.raises(InputError, match=message):
            export(run, tmp_path / name, "onnx", system="tiny", dimension=96)
    with pytest.raises(InputError, match="no export made"):
        export(run, run, "onnx", system="tiny", dimension=96)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_nothing_is_reported_to_a_librarys_makers():
    """In a process of its own: under pytest the library is silent anyway."""
    code = (
        "from nestvec.models import quantise\n"
        "with quantise._import_nncf() as nncf:\n"
        "    import sys, nncf.telemetry.decorator as used\n"
        "assert type(used.telemetry).__name__ == 'MagicMock', used.telemetry\n"
        "assert sys.modules.get('openvino_telemetry', 1) is not None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
