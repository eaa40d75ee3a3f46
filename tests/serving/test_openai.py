"""OpenAI's own client against the server.

Oracle: `SentenceTransformer(path, truncate_dim=48).encode(normalize_embeddings=True)` on the run's saved model, and
the client's own reading of answers and errors.
"""

from __future__ import annotations

import httpx2 as httpx
import numpy as np
import openai
import pyarrow.parquet as pq
import pytest
from running import serving
from sentence_transformers import SentenceTransformer

from nestvec.models.token_batches import load_tokenizer
from nestvec.serving.token_ids import ForeignIdsError, open_decoder

TEXTS = ["a cordless drill", "x", "hammer " * 400, "Schlagbohrmaschine 18 V", "电钻 🛠️", "سكين", "line\nbreak\t\x00"]


ALIASES = ["text-embedding-3-small", "openai/small"]


@pytest.fixture(scope="module")
def named(shop):
    """A server with aliases."""
    with serving(shop, *(word for alias in ALIASES for word in ("--model-alias", f"{alias}=mnr"))) as server:
        yield server


@pytest.fixture(scope="module")
def client(named):
    with openai.OpenAI(base_url=f"{named.url}/v1", api_key="any", max_retries=0, timeout=60) as client:
        yield client


@pytest.mark.parametrize("form", ["float", "base64", None])
@pytest.mark.parametrize("dimensions", [48, None])
def test_vectors_are_those_of_the_saved_model(client, shop, form, dimensions):
    model = SentenceTransformer(str(shop / "models" / "matryoshka"), truncate_dim=dimensions)
    wanted = model.encode(TEXTS, normalize_embeddings=True)
    asked = {"encoding_format": form} if form else {}  # by itself the client asks for base64, and decodes it
    asked |= {"dimensions": dimensions} if dimensions else {}
    answer = client.embeddings.create(model="matryoshka", input=TEXTS, **asked)
    assert [each.index for each in answer.data] == list(range(len(TEXTS)))
    found = [each.embedding for each in answer.data]
    if form == "base64":  # asked for by name, it is the caller's to decode
        import base64

        found = [np.frombuffer(base64.b64decode(each), dtype="<f4") for each in found]
    np.testing.assert_allclose(np.array(found), wanted, atol=1e-5)
    assert answer.model == "matryoshka" and answer.object == "list"
    tokens = sum(
        len(ids) for ids in model.tokenizer(TEXTS, truncation=True, max_length=model.max_seq_length)["input_ids"]
    )
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens


def test_one_text_is_a_list_of_one(client):
    alone = client.embeddings.create(model="mnr", input="hammer", encoding_format="float").data
    listed = client.embeddings.create(model="mnr", input=["hammer"], encoding_format="float").data
    assert len(alone) == 1
    np.testing.assert_allclose(alone[0].embedding, listed[0].embedding, atol=1e-6)


def test_many_texts_come_back_in_order(client, shop):
    texts = [f"hammer number {number} " + "long " * (number % 50) for number in range(300)]
    found = client.embeddings.create(model="pretrained", input=texts, dimensions=96).data
    from nestvec.models.find import find_model
    from nestvec.settings import DEFAULT_MODEL

    wanted = SentenceTransformer(str(find_model(DEFAULT_MODEL).path), truncate_dim=96)
    np.testing.assert_allclose(
        [each.embedding for each in found], wanted.encode(texts, normalize_embeddings=True), atol=1e-5
    )


def test_models(client):
    assert [model.id for model in client.models.list()] == ["pretrained", "mnr", "matryoshka", *ALIASES]
    assert client.models.retrieve("mnr").id == "mnr"
    assert client.models.retrieve("openai/small").dimension == 384


@pytest.mark.parametrize("alias", ["text-embedding-3-small", "openai/small"])
def test_an_alias_answers_as_its_system(client, alias):
    asked, own = (client.embeddings.create(model=name, input="hammer", dimensions=48) for name in (alias, "mnr"))
    assert asked.model == alias
    assert asked.data[0].embedding == own.data[0].embedding


def test_null_is_the_default(named):
    body = {"model": "mnr", "input": "hammer", "encoding_format": None, "dimensions": None, "user": None}
    answer = httpx.post(f"{named.url}/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    plain = httpx.post(f"{named.url}/v1/embeddings", json={"model": "mnr", "input": "hammer"})
    assert answer.json()["data"] == plain.json()["data"]
    assert len(answer.json()["data"][0]["embedding"]) == 384
    assert httpx.post(f"{named.url}/v1/embeddings", json={"model": None, "input": "hammer"}).status_code == 200


def test_an_unknown_model_is_openais_404(client):
    with pytest.raises(openai.NotFoundError) as told:
        client.embeddings.create(model="nobody", input="x")
    assert told.value.code == "model_not_found"
    assert told.value.param == "model" and told.value.type == "invalid_request_error" and "mnr" in told.value.message
    with pytest.raises(openai.NotFoundError) as told:
        client.models.retrieve("nobody")
    assert told.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b", "c", 4], "input[3] must be a string"),
        (["a", None], "input[1] must be a string"),
        (["a", ["b"]], "input[1] must be a string"),
        (["a", ""], "input[1] must not be empty"),
        ("", "input[0] must not be empty"),
        ([[101, 102], "a"], "input[1] must be an array of token ids"),
        ([[101, True]], "input[0] must be an array of token ids"),
        ([[101, 1.5]], "input[0] must be an array of token ids"),
        ([[1], []], "input[1] must not be empty"),
        ([], "input must be a string, or an array of one or more strings"),
        (None, "input must be a string, or an array of one or more strings"),
        ({}, "input must be a string, or an array of one or more strings"),
    ],
)
def test_what_is_wrong_with_an_input_is_said_plainly(named, given, message):
    answer = httpx.post(f"{named.url}/v1/embeddings", json={"model": "mnr", "input": given})
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "message": message, "type": "invalid_request_error", "param": "input", "code": "invalid_value"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        (["small"], "--model-alias is 'small'; expected NAME=SYSTEM"),
        (["=mnr"], "--model-alias is '=mnr'"),
        (["small="], "--model-alias is 'small='"),
        (["a=mnr", "a=pretrained"], "--model-alias gives 'a' to mnr and pretrained"),
        (["a=nobody"], "--model-alias a: there is no system 'nobody'; expected one of pretrained, mnr, matryoshka"),
        (["a=bm25"], "there is no system 'bm25'"),
        (["mnr=pretrained"], "--model-alias mnr: the run has a system of this name"),
    ],
)
def test_an_alias_that_is_none_is_refused(shop, typed, aliases, message):
    words = [word for alias in aliases for word in ("--model-alias", alias)]
    code, _, told = typed("serve", shop, "--port", 0, *words)
    assert (code, message in " ".join(told.split())) == (2, True), told


# Token ids

OURS = ["a cordless drill", "x", "Don't stop!", "Schlagbohrmaschine 18 V [UNK]", "hammer " * 60]
CL100K = {"hello world": [15339, 1917], "red hammer": [1171, 24354], "hammer": [46434],
          "red hammer size 0": [1171, 24354, 1404, 220, 15]}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(shop):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(shop / "models" / "mnr")


def vectors(client, given):
    return [each.embedding for each in client.embeddings.create(model="mnr", input=given).data]


def test_ids_of_the_models_tokenizer_give_the_vectors_of_their_texts(client, tokenizer):
    ids = [tokenizer(text)["input_ids"] for text in OURS]
    np.testing.assert_allclose(vectors(client, ids), vectors(client, OURS), atol=1e-5)
    np.testing.assert_allclose(vectors(client, ids[0]), vectors(client, OURS[:1]), atol=1e-5)
    lengths = sum(map(len, ids))
    assert client.embeddings.create(model="mnr", input=ids).usage.prompt_tokens == lengths


def test_ids_without_special_tokens_are_taken_where_the_run_has_their_words(client, tokenizer, shop):
    texts = pq.read_table(shop / "data" / "queries.parquet")["query"].to_pylist()[:20]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    np.testing.assert_allclose(vectors(client, ids), vectors(client, texts), atol=1e-5)
    np.testing.assert_allclose(vectors(client, ids[:1]), vectors(client, texts[:1]), atol=1e-5)


@pytest.mark.parametrize(
    "given",
    [*CL100K.values(), list(CL100K.values()), [[9906, 1917, 0]], [[100_000]], [[-1]], [15339] * 40, [101, 15339], [7]],
)
def test_ids_that_may_be_another_tokenizers_are_refused_with_the_clients_switch(client, given):
    with pytest.raises(openai.UnprocessableEntityError) as told:
        client.embeddings.create(model="mnr", input=given)
    assert "check_embedding_ctx_length=False" in told.value.message
    assert told.value.param == "input"


def test_an_id_beyond_the_vocabulary_is_named(client):
    with pytest.raises(
        openai.UnprocessableEntityError, match=r"input\[1\] has token id 30522; this model's ids go from"
    ):
        client.embeddings.create(model="mnr", input=[[101, 102], [30522]])


def test_ids_are_trusted_where_the_server_is_told_so(minilm_folder):
    decoder = open_decoder(minilm_folder.path, lambda: (), trusted=True)
    assert decoder.decode([CL100K["hello world"]]) == ["denise 皇"]  # what would be taken in silence
    with pytest.raises(ForeignIdsError):
        open_decoder(minilm_folder.path, lambda: ("some text",)).decode([CL100K["hello world"]])


def test_special_tokens_at_both_ends_prove_whose_ids_they_are(tiny, minilm_folder):
    for folder in (tiny, minilm_folder.path):
        tokenizer, decoder = load_tokenizer(folder / "tokenizer.json", None), open_decoder(folder, lambda: ("x",))
        whole = tokenizer.encode("red saw").ids
        assert decoder.decode([whole]) == ["red saw"]
        for part in (whole[1:], whole[:-1], whole[1:-1]):
            with pytest.raises(ForeignIdsError):
                decoder.decode([part])
