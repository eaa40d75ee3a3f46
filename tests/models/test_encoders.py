"""Every backend against `SentenceTransformer.encode` on the same folder: one call, its own order and batches."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, StaticEmbedding
from tokenizers import Tokenizer

from nestvec.errors import InputError, MissingExtraError
from nestvec.models import graph_encoder
from nestvec.models.encoder import open_encoder
from nestvec.models.graph_runtime import Runtime
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.vectors.cut import prefix

TEXTS = [
    "deck screw 3 in",
    "a",
    "cordless hammer drill 18 v with two batteries, charger and case, for masonry, wood and steel",
    "Écrou M8 inox \U0001f529",
    "deck screw 3 in",
    "word " * 400,  # longer than either model reads
    "!",
    "wall paint white 10 l",
    *(f"hex bolt m{size} x {length} mm" for size in (4, 5, 6, 8, 10) for length in (16, 25, 40, 60)),
]
LEAST = {"float32": 0.9999, "bfloat16": 0.999}
WAYS = [
    ("torch", "float32"), ("torch", "bfloat16"), ("onnx", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"),
]  # fmt: skip


@pytest.fixture(scope="module")
def truth(models):
    return {
        name: model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False) for name, model in models.items()
    }


@pytest.fixture(scope="module")
def read(models):
    """Tokens that each model reads of each text."""
    return {
        name: [int(model.preprocess([text])["attention_mask"].sum()) for text in TEXTS]
        for name, model in models.items()
    }


def cosines(a, b):
    return (a.astype(float) * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "mpnet"])
@pytest.mark.parametrize(("backend", "compute"), WAYS)
def test_every_backend_gives_what_sentence_transformers_gives(folders, truth, read, name, backend, compute):
    encoder = open_encoder(folders[name].path, None, backend, compute)
    seen: list[int] = []
    found = encoder.encode(TEXTS, QUERY, seen.append)
    assert encoder.name == f"{backend} {compute}"
    assert (found.shape, found.dtype) == (truth[name].shape, np.float32)
    assert cosines(found, truth[name]).min() >= LEAST[compute]
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert sum(seen) == len(TEXTS)
    token_counts = np.zeros(len(TEXTS), dtype=np.int64)
    assert np.array_equal(encoder.encode(TEXTS, QUERY, token_counts=token_counts), found)  # same texts, same bytes
    assert token_counts.tolist() == read[name]
    assert encoder.encode([], QUERY).shape == (0, truth[name].shape[1])


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_a_dimension_is_the_prefix_scaled_to_unit_length(folders, truth, backend):
    encoder = open_encoder(folders["mpnet"].path, 48, backend, "float32")
    assert encoder.dimension == 48
    assert cosines(encoder.encode(TEXTS, QUERY), prefix(truth["mpnet"], 48)).min() >= 0.9999


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_the_prompt_of_the_role_goes_before_every_text(folders, tmp_path, backend):
    copy = tmp_path / "prompted"
    shutil.copytree(folders["mpnet"].path, copy)
    config = copy / "config_sentence_transformers.json"
    said = json.loads(config.read_text()) | {"prompts": {"query": "ask: ", "document": "an item: "}}
    config.write_text(json.dumps(said))
    library, encoder = SentenceTransformer(str(copy)), open_encoder(copy, None, backend, "float32")
    bare = SentenceTransformer(str(folders["mpnet"].path)).encode(TEXTS, normalize_embeddings=True)
    for role, theirs in ((QUERY, library.encode_query), (DOCUMENT, library.encode_document)):
        wanted = theirs(TEXTS, normalize_embeddings=True, show_progress_bar=False)
        assert cosines(wanted, bare).min() < 0.999  # it matters
        assert cosines(encoder.encode(TEXTS, role), wanted).min() >= 0.9999


@pytest.fixture(scope="module")
def static(folders, tmp_path_factory):
    """A model without a transformer: a vector a token."""
    path = tmp_path_factory.mktemp("models") / "static"
    torch.manual_seed(3)
    words = Tokenizer.from_file(str(folders["mpnet"].path / "tokenizer.json"))
    modules = [StaticEmbedding(words, embedding_dim=64), Dense(64, 32)]  # the second states the vectors' width
    SentenceTransformer(modules=modules).save_pretrained(str(path), create_model_card=False)
    return path


def test_a_model_that_our_batches_are_not_for_is_encoded_by_its_library(static):
    theirs = SentenceTransformer(str(static)).encode(TEXTS[:6], normalize_embeddings=True, show_progress_bar=False)
    for backend in ("torch", "auto"):
        encoder = open_encoder(static, None, backend, "auto")
        assert encoder.name == "torch float32"
        assert cosines(encoder.encode(TEXTS[:6], QUERY), theirs).min() >= 0.9999
    with pytest.raises(InputError, match="float32"):
        open_encoder(static, None, "torch", "bfloat16")


def test_a_graph_that_gives_other_vectors_is_refused_and_auto_takes_pytorch(folders, truth, monkeypatch):
    real = graph_encoder.open_runtime

    def wrong(*given):
        runtime = real(*given)
        return Runtime(runtime.name, lambda inputs: -runtime.run(inputs), 1, 64)

    monkeypatch.setattr(graph_encoder, "open_runtime", wrong)
    with pytest.raises(InputError, match="gives other vectors than the model"):
        open_encoder(folders["mpnet"].path, None, "openvino", "float32")
    encoder = open_encoder(folders["mpnet"].path, None, "auto", "float32")
    assert encoder.name == "torch float32"
    assert cosines(encoder.encode(TEXTS, QUERY), truth["mpnet"]).min() >= 0.9999


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_tokens_that_the_model_has_no_row_for_are_named(minilm_folder, tmp_path, backend):
    path = shutil.copytree(minilm_folder.path, tmp_path / "model")
    tokens = json.loads((path / "tokenizer.json").read_text())
    tokens["model"]["vocab"] |= {"hammer": 500_000}
    (path / "tokenizer.json").write_text(json.dumps(tokens))
    with pytest.raises(InputError, match="tokenizer") as caught:
        open_encoder(path, None, backend, "float32").encode(["a hammer"], QUERY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "tensorflow"}, "--backend is 'tensorflow'; expected one of auto, torch, onnx, openvino"),
        ({"compute": "int8"}, "--compute is 'int8'; expected one of auto, float32, bfloat16"),
        ({"dimension": 769}, "makes no vectors of dimension 769; expected a number from 1 to 768"),
        ({"dimension": 0}, "makes no vectors of dimension 0"),
        ({"backend": "onnx", "compute": "bfloat16"}, "does not compute in bfloat16"),
    ],
)
def test_what_cannot_be_is_said(folders, given, message):
    with pytest.raises(InputError, match=message):
        open_encoder(folders["mpnet"].path, **given)


def test_a_backend_that_is_not_installed_is_named_with_its_extra(folders, monkeypatch):
    monkeypatch.setattr("nestvec.models.encoder._is_installed", lambda backend: backend != "openvino")
    with pytest.raises(
        MissingExtraError,
        match=r"openvino is not installed; .* extra openvino: pip install 'nestvec\[openvino\]'",
    ):
        open_encoder(folders["mpnet"].path, None, "openvino")
    assert open_encoder(folders["mpnet"].path, None, "auto", "float32").name == "torch float32"


def test_a_damaged_graph_is_named(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    for backend in ("onnx", "openvino"):
        with pytest.raises(InputError, match=r"model\.onnx: cannot be loaded"):
            graph_encoder.open_runtime(backend, path, "float32", "float32")


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither config"):
        open_encoder(tmp_path)
