"""Every kind of model that sentence-transformers loads is measured as it encodes.

Oracle: what `SentenceTransformer(path).encode(text, normalize_embeddings=True)` gives for each text alone, at the width
that it gives; its tokenizer for tokens, and its `max_seq_length` for the limit.
"""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from tables import rows, write_csv
from tiny_models import ROUTED, UNTRAINABLE, VARIETIES

import nestvec
from nestvec.errors import InputError
from nestvec.models.encoder import open_encoder
from nestvec.models.find import find_model
from nestvec.models.load import load_model, quiet_libraries, read_width
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.models.token_counts import count_tokens
from nestvec.models.torch_encoder import open_torch
from nestvec.runs.point_files import open_system
from nestvec.training.token_passes import encode_tokens, tokenise_texts
from nestvec.training.trainable import refuse_untrainable

TEXTS = [
    "deck screw 3 in",
    "a",
    "cordless hammer drill 18 v with two batteries, charger and case",
    "deck screw 3 in",
    "hammer " * 90,
    "!",
]
MEASURED = [name for name in VARIETIES if name not in ROUTED]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Gives the folder of a variety, written once."""
    root, folders = tmp_path_factory.mktemp("varieties"), {}

    def folder(name):
        if name not in folders:
            with quiet_libraries():
                folders[name] = VARIETIES[name](root / f"variety {len(folders)}")
        return folders[name]

    return folder


@pytest.fixture(scope="module")
def theirs(made):
    """Gives the library's own model of a variety."""
    models = {}

    def load(name):
        if name not in models:
            with quiet_libraries():
                models[name] = SentenceTransformer(str(made(name)), device="cpu")
        return models[name]

    return load


def encode_alone(model, texts, **options):
    with quiet_libraries():
        return np.stack([model.encode_document(text, normalize_embeddings=True, **options) for text in texts])


def assert_same(vectors, expected):
    assert vectors.shape == expected.shape
    assert np.abs(vectors - expected).max() <= 2e-5


@pytest.mark.parametrize("name", MEASURED)
def test_it_is_measured_as_the_library_encodes(name, made, theirs):
    expected = encode_alone(theirs(name), TEXTS)
    folder = find_model(str(made(name)))
    assert read_width(folder) == expected.shape[1]
    assert_same(open_torch(folder, None, "float32").encode(TEXTS, DOCUMENT), expected)


@pytest.mark.parametrize("name", ["cls and mean", "truncated two poolings", "dense after normalize", "qwen3", "t5"])
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_its_graph_gives_what_the_library_encodes(name, backend, made, theirs):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    vectors = open_encoder(made(name), None, backend, "float32").encode(TEXTS[:3], DOCUMENT)
    expected = encode_alone(theirs(name), TEXTS[:3])
    assert vectors.shape == expected.shape
    assert (vectors * expected).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize("name", [name for name in MEASURED if name not in UNTRAINABLE])
def test_training_sees_what_the_library_encodes(name, made, theirs):
    model = load_model(find_model(str(made(name))))
    refuse_untrainable(model, made(name))
    own = encode_tokens(model, tokenise_texts(model, (), TEXTS), np.arange(len(TEXTS)), "float32")
    assert_same(own, encode_alone(theirs(name), TEXTS))


@pytest.mark.parametrize("name", UNTRAINABLE)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(name, made, tmp_path):
    source = write_csv(tmp_path / "judged.csv", rows(queries=40))
    with pytest.raises(InputError, match=r"cannot be trained: .*; expected .*--epochs 0"):
        nestvec.run(str(source), tmp_path / "run", model=str(made(name)), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ROUTED)
def test_one_way_for_queries_and_another_for_documents_is_measured_as_such(name, made, theirs):
    encoder, model = open_torch(find_model(str(made(name))), None, "float32"), theirs(name)
    for role, encode in ((QUERY, model.encode_query), (DOCUMENT, model.encode_document)):
        with quiet_libraries():
            expected = np.stack([encode(text, normalize_embeddings=True) for text in TEXTS])
        assert_same(encoder.encode(TEXTS, role), expected)


@pytest.mark.parametrize("name", [name for name in MEASURED if name != "word embeddings"])
def test_tokens_are_counted_as_the_library_counts_them(name, made, theirs):
    model = theirs(name)
    with quiet_libraries():
        features = [model.preprocess([text], prompt=None) for text in TEXTS]
    lengths, limit = count_tokens(made(name), TEXTS)
    expected = [int(part["input_ids"].shape[-1]) for part in features]
    assert np.minimum(lengths, limit or 10**9).tolist() == expected
    assert limit == (model.max_seq_length if model.max_seq_length < 10**9 else None)


def test_a_run_measures_the_width_that_the_library_gives(made, theirs, tmp_path):
    """Of the pretrained model, and of others measured beside it."""
    names = ["bert", "truncated", "dense, larger", "in subfolder", "old names", "static", "gpt2"]
    source = write_csv(tmp_path / "judged.csv", rows(queries=40))
    others = [str(made(name)) for name in names]
    run = nestvec.evaluate(
        others, str(source), tmp_path / "run", model=str(made("cls and mean")), dimensions="16", precisions="int8",
        resamples=100, test=0.4, progress=False,
    )  # fmt: skip
    assert run.results.full_dimension == 64
    texts = [*run.queries.texts, *run.catalogue.texts]
    systems = {made(name).name.replace(" ", "_"): name for name in names} | {"pretrained": "cls and mean"}
    for system, name in systems.items():
        stored = np.load(run.folder.embeddings(system))
        assert stored.shape[1] == theirs(name).encode("a").shape[0]
        assert max(point.dimension for point in run.systems[system]) == stored.shape[1]
        assert_same(stored[:5], encode_alone(theirs(name), texts[:5]))
        assert open_system(run, system).model.path == made(name)


@pytest.mark.parametrize("name", ["bert", "t5", "static", "in subfolder", "norm layer", "sharded", "two dense"])
def test_each_weight_that_is_left_out_is_named(name, made, tmp_path):
    """One of each file, whichever module it belongs to."""
    rng = np.random.default_rng(1)
    for number, file in enumerate(sorted(path.relative_to(made(name)) for path in made(name).rglob("*.safetensors"))):
        tensors = load_file(made(name) / file)
        needed = sorted(key for key in tensors if not key.startswith("pooler."))
        if not needed:
            continue
        left_out = needed[rng.integers(len(needed))]
        copy = shutil.copytree(made(name), tmp_path / f"copy {number}")
        kept = {key: values for key, values in tensors.items() if key != left_out}
        save_file(kept or {"other": np.zeros(1)}, copy / file, metadata={"format": "pt"})
        with pytest.raises(InputError) as caught:
            load_model(find_model(str(copy)))
        assert left_out in str(caught.value) or name == "static"  # whose loader says what it looked for last
        assert "\n" not in str(caught.value)


def test_a_weight_of_another_shape_is_named(made, tmp_path):
    copy = shutil.copytree(made("bert"), tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    save_file(tensors | {name: tensors[name][:, :-1].copy()}, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=rf"the weight {name} has the shape \(32, 47\); config\.json calls for \(32, 48\)"
    ):
        load_model(find_model(str(copy)))


def test_a_pooler_that_vectors_come_from_may_not_be_missing(made, tmp_path):
    copy = shutil.copytree(made("no pooler"), tmp_path / "copy")
    path = copy / "sentence_bert_config.json"
    way = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    told = {**json.loads(path.read_text()), "modality_config": way, "module_output_name": "sentence_embedding"}
    path.write_text(json.dumps(told))
    (copy / "modules.json").write_text(json.dumps(json.loads((copy / "modules.json").read_text())[:1]))
    with pytest.raises(InputError, match=r"lacks 2 weights, such as pooler\.dense\.bias"):
        load_model(find_model(str(copy)))


@pytest.mark.parametrize("name", ["two dense", "sharded", "in subfolder", "static in subfolder", "word embeddings"])
def test_a_changed_number_in_any_file_of_weights_is_another_model(name, made, tmp_path):
    known = find_model(str(made(name))).sha256
    for number, file in enumerate(sorted(path.relative_to(made(name)) for path in made(name).rglob("*.safetensors"))):
        copy = shutil.copytree(made(name), tmp_path / f"copy {number}")
        content = bytearray((copy / file).read_bytes())
        content[-1] ^= 1
        (copy / file).write_bytes(content)
        assert find_model(str(copy)).sha256 != known
        with pytest.raises(InputError, match="checksum mismatch: the weights have sha256"):
            find_model(str(copy), expected_sha256=known)


def test_the_hash_of_earlier_runs_is_still_taken(made):
    """Of a Dense model it was that of the first file, of shards that of their list."""
    for name, file in (("two dense", "model.safetensors"), ("sharded", "model.safetensors.index.json")):
        earlier = hashlib.sha256((made(name) / file).read_bytes()).hexdigest()
        assert find_model(str(made(name))).sha256 != earlier
        assert find_model(str(made(name)), expected_sha256=earlier).sha256 == earlier


def test_models_of_the_same_weights_are_told_apart(made, tmp_path):
    """A pooling is a part of a model; a copy of a model is not another."""
    source = write_csv(tmp_path / "judged.csv", rows(queries=40))
    models = [made("bert"), made("cls and mean"), shutil.copytree(made("bert"), tmp_path / "copy")]
    run = nestvec.evaluate(
        [str(model) for model in models], str(source), tmp_path / "run", model=str(made("two dense")), dimensions="8",
        precisions="int8", resamples=100, test=0.4, progress=False,
    )  # fmt: skip
    widths = {name: max(point.dimension or 0 for point in points) for name, points in run.systems.items()}
    names = [path.name.replace(" ", "_") for path in models[:2]]
    assert widths == {"pretrained": 8, names[0]: 32, names[1]: 64, "bm25": 0}
    assert [open_system(run, name).model.path for name in names] == models[:2]
