"""Oracle: `SentenceTransformer.encode_query` and `encode_document`, given nothing but the folder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompted import DOCUMENT_PROMPT, QUERY_PROMPT, exclude_prompts, save_prompted, state_prompts
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Router, StaticEmbedding
from tokenizers import Tokenizer

from nestvec.errors import InputError
from nestvec.models.encoder import open_encoder
from nestvec.models.find import find_model
from nestvec.models.load import load_model, save_model
from nestvec.models.prompts import (
    DOCUMENT,
    QUERY,
    ROLES,
    Prompts,
    find_unused_prompts,
    has_router,
    model_prompts,
    read_default_prompts,
    read_prompts,
    reads_roles_apart,
)
from nestvec.models.torch_encoder import StockEncoder
from nestvec.training.token_passes import encode_tokens, tokenise_texts

TEXTS = ["claw hammer", "a", "deck screws " * 40, "Écrou M8 inox \U0001f529", "claw hammer", "wall paint, white, 10 l"]
STATED = {  # name to prompts and default prompt
    "none": ({}, None),
    "both": ({"query": QUERY_PROMPT, "document": DOCUMENT_PROMPT}, None),
    "query only": ({"query": QUERY_PROMPT}, None),
    "document only": ({"document": DOCUMENT_PROMPT}, None),
    "passage": ({"query": QUERY_PROMPT, "passage": DOCUMENT_PROMPT}, None),
    "corpus": ({"corpus": DOCUMENT_PROMPT}, None),
    "default": ({"store": "item: "}, "store"),
    "default query": ({"query": QUERY_PROMPT, "document": DOCUMENT_PROMPT}, "query"),
    "alike": ({"query": "x: ", "document": "x: "}, None),
    "null": ({"query": None, "document": DOCUMENT_PROMPT}, None),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, whose prompts each test states anew."""
    return save_prompted(tmp_path_factory.mktemp("prompted") / "model")


@pytest.fixture(scope="module")
def excluding(tmp_path_factory):
    """A tiny model whose pooling leaves the prompt out."""
    return exclude_prompts(save_prompted(tmp_path_factory.mktemp("excluding") / "model"))


def library_vectors(folder, role, texts=TEXTS):
    model = SentenceTransformer(str(folder), device="cpu")
    encode = model.encode_query if role == QUERY else model.encode_document
    return encode(texts, normalize_embeddings=True, show_progress_bar=False)


def least_cosine(found, wanted):
    assert found.shape == wanted.shape
    return (found.astype(float) * wanted).sum(axis=1).min()


@pytest.mark.parametrize("pooling", ["folder", "excluding"])
@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_each_role_is_encoded_as_the_library_encodes_it(stated, pooling, request):
    path = state_prompts(request.getfixturevalue(pooling), *stated)
    encoder = open_encoder(path, None, "torch", "float32")
    assert type(encoder).__name__ == "TorchEncoder"
    for role in ROLES:
        assert least_cosine(encoder.encode(TEXTS, role), library_vectors(path, role)) >= 0.99999
    both = encoder.encode_both(TEXTS[:3], TEXTS[2:])
    assert least_cosine(both[:3], library_vectors(path, QUERY, TEXTS[:3])) >= 0.99999
    assert least_cosine(both[3:], library_vectors(path, DOCUMENT, TEXTS[2:])) >= 0.99999


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_graph_puts_the_prompt_of_the_role_before_texts(backend, folder):
    path = state_prompts(folder, *STATED["both"])
    encoder = open_encoder(path, None, backend, "float32")
    for role in ROLES:
        assert least_cosine(encoder.encode(TEXTS, role), library_vectors(path, role)) >= 0.9999
    assert least_cosine(encoder.encode(TEXTS, QUERY), library_vectors(path, DOCUMENT)) < 0.999  # it matters


def test_a_graph_cannot_leave_out_prompts_of_unlike_length_and_auto_takes_pytorch(excluding):
    path = state_prompts(excluding, *STATED["both"])
    with pytest.raises(InputError, match="leaves out the prompt, whose length differs"):
        open_encoder(path, None, "onnx", "float32")
    encoder = open_encoder(path, None, "auto", "float32")
    assert encoder.name == "torch float32"
    assert least_cosine(encoder.encode(TEXTS, QUERY), library_vectors(path, QUERY)) >= 0.9999


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.dictionaries(st.sampled_from(["query", "document", "passage", "corpus", "other"]), TEXT),
    default=st.booleans(),
)
def test_the_prompts_read_are_those_that_the_library_applies(folder, prompts, default, monkeypatch):
    path = state_prompts(folder, prompts, next(iter(prompts), None) if default else None)
    model = SentenceTransformer(str(path), device="cpu")
    applied: list[str] = []
    monkeypatch.setattr(
        model, "_inference", lambda texts, prompt, **_: applied.append(prompt or "") or torch.ones(1, 2)
    )
    model.encode_query(["x"], show_progress_bar=False)
    model.encode_document(["x"], show_progress_bar=False)
    assert [read_prompts(path).query, read_prompts(path).document] == applied
    model.encode(["x"], show_progress_bar=False)
    assert read_default_prompts(path) == Prompts(applied[2], applied[2])


@pytest.mark.parametrize("given", [Prompts("q ", "d "), Prompts("", "d "), Prompts()])
def test_prompts_that_override_the_models_are_saved_with_it(given, folder, tmp_path):
    path = state_prompts(folder, *STATED["default query"])
    model = load_model(replace(find_model(str(path)), prompts=given))
    save_model(model, tmp_path / "saved", {"system": "mnr"})
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert model_prompts(saved) == read_prompts(tmp_path / "saved") == given
    encoder = open_encoder(path, None, "torch", "float32", given)
    for role in ROLES:
        assert least_cosine(library_vectors(tmp_path / "saved", role), encoder.encode(TEXTS, role)) >= 0.99999
    plain = saved.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)  # one of the two, never a third
    assert max(least_cosine(plain, encoder.encode(TEXTS, role)) for role in ROLES) >= 0.99999
    card = json.loads((tmp_path / "saved" / "nestvec.json").read_text())
    stated = {"query_prompt": given.query, "document_prompt": given.document} if given else {}
    assert card == {"system": "mnr", **stated, "sha256": card["sha256"]}


@pytest.mark.parametrize("pooling", ["folder", "excluding"])
def test_training_reads_and_pools_each_role_as_the_library_does(pooling, request):
    path = state_prompts(request.getfixturevalue(pooling), *STATED["both"])
    model = load_model(find_model(str(path)))
    tokens = tokenise_texts(model, TEXTS, TEXTS[:3])
    found = encode_tokens(model, tokens, np.arange(9), "float32")
    wanted = np.concatenate([library_vectors(path, QUERY), library_vectors(path, DOCUMENT, TEXTS[:3])])
    assert least_cosine(found, wanted) >= 0.99999
    rows = np.array([8, 0, 3, 7, 1])
    passes = tokens.plan_passes(rows)
    assert sorted(np.concatenate(passes).tolist()) == [0, 1, 2, 3, 4]
    for part in passes:
        with torch.inference_mode():
            output = model(tokens.pad_batch(rows[part]))["sentence_embedding"].numpy()
        assert least_cosine(output / np.linalg.norm(output, axis=1)[:, None], wanted[rows[part]]) >= 0.99999


def save_static(path, folder, modules=lambda static: [static, Dense(16, 8)]):
    torch.manual_seed(3)
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made = SentenceTransformer(modules=modules(StaticEmbedding(words, embedding_dim=16)), device="cpu")
    made.save_pretrained(str(path), create_model_card=False)
    return state_prompts(path, *STATED["both"])


def test_a_model_that_the_library_has_to_batch_gets_its_prompts_too(folder, tmp_path):
    path = save_static(tmp_path / "static", folder)
    encoder = open_encoder(path, None, "torch", "auto")
    assert type(encoder).__name__ == "StockEncoder"
    for role in ROLES:
        assert least_cosine(encoder.encode(TEXTS, role), library_vectors(path, role)) >= 0.99999


def test_a_router_takes_queries_and_documents_through_their_own_modules(folder, tmp_path):
    def modules(static):
        torch.manual_seed(5)
        sides = [static, Dense(16, 8)], [static, Dense(16, 8), Dense(8, 8)]
        return [Router.for_query_document(*sides), Dense(8, 8)]

    path = save_static(tmp_path / "routed", folder, modules)
    assert has_router(path) and not has_router(folder)
    model = SentenceTransformer(str(path), device="cpu").eval()
    assert reads_roles_apart(model)
    encoder = StockEncoder(model, 8)
    assert not encoder.one_for_both
    for role in ROLES:
        assert least_cosine(encoder.encode(TEXTS, role), library_vectors(path, role)) >= 0.99999
    assert least_cosine(encoder.encode(TEXTS, QUERY), library_vectors(path, DOCUMENT)) < 0.99


def test_prompts_that_no_role_applies_are_found(folder):
    for name, unused in (("both", {}), ("passage", {"passage": DOCUMENT_PROMPT}), ("default", {"store": "item: "})):
        path = state_prompts(folder, *STATED[name])
        assert find_unused_prompts(path, read_prompts(path)) == unused
        assert find_unused_prompts(path, Prompts("given ", "too ")) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": ["query: "]}, r"prompts is \['query: '\]; expected names with a text each"),
        ({"prompts": {"query": 7}}, "prompts is {'query': 7}"),
        ({"default_prompt_name": 3}, "default_prompt_name is 3; expected the name of a prompt"),
    ],
)
def test_damaged_prompts_are_named(values, message, tmp_path):
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path)
