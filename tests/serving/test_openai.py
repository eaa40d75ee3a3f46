"""OpenAI's own client against the server.

Oracle: `SentenceTransformer(path, truncate_dim=48).encode(normalize_embeddings=True)` on the run's saved model, and
the client's own reading of answers and errors.
"""

from __future__ import annotations

import numpy as np
import openai
import pytest
from sentence_transformers import SentenceTransformer

TEXTS = ["a cordless drill", "x", "hammer " * 400, "Schlagbohrmaschine 18 V", "电钻 🛠️", "سكين", "line\nbreak\t\x00"]


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0, timeout=60) as client:
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
    assert [model.id for model in client.models.list()] == ["pretrained", "mnr", "matryoshka"]
    assert client.models.retrieve("mnr").id == "mnr"


def test_errors_are_the_clients_own(client):
    with pytest.raises(openai.UnprocessableEntityError) as told:
        client.embeddings.create(model="nobody", input="x")
    assert told.value.param == "model" and told.value.type == "invalid_request_error" and "mnr" in told.value.message
    with pytest.raises(openai.UnprocessableEntityError, match="tokens"):
        client.embeddings.create(model="mnr", input=[[1, 2, 3]])
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")
