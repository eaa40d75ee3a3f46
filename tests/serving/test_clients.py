"""The snippets of docs/serving.md, run against a real server; each is skipped where its package is not installed.

Oracle: `SentenceTransformer.encode` of the same text with the run's saved model. LangChain's default, which sends
OpenAI's token ids, is tried where LlamaIndex is there, too: it brings the table that tiktoken would download.
"""

from __future__ import annotations

import gc
import importlib.util
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

TEXT = "brushed nickel shower head"
SERVING = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", SERVING, re.DOTALL)
PACKAGES = ["openai", "langchain_openai", "llama_index.embeddings.openai_like", "haystack", "qdrant_client"]
pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's libraries


@pytest.fixture(autouse=True)
def sockets_closed():
    """Most of these clients cannot be closed: what they leave open is collected while nobody minds."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def snippet(package):
    """The one whose last import is from the package."""
    lasts = [re.findall(r"^from (\S+) import", text, re.MULTILINE)[-1] for text in SNIPPETS]
    [found] = [text for text, last in zip(SNIPPETS, lasts, strict=True) if last.startswith(package)]
    return found


def run_snippet(package, served):
    pytest.importorskip(package)
    names = {}
    exec(snippet(package).replace("http://127.0.0.1:8321", served.url), names)
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_snippet_gives_the_vectors_of_the_saved_model(served, shop, package):
    names = run_snippet(package, served)
    model = SentenceTransformer(str(shop / "models" / "mnr"), truncate_dim=48)
    wanted = model.encode([TEXT], normalize_embeddings=True)[0]
    np.testing.assert_allclose(np.array(names["vector"]), wanted, atol=1e-5)
    if package == "qdrant_client":
        assert [hit.payload["text"] for hit in names["hits"]] == [TEXT]
        assert names["hits"][0].score == pytest.approx(1, abs=1e-5)


def test_langchain_sends_documents_in_order(served, shop):
    embeddings = run_snippet("langchain_openai", served)["embeddings"]
    texts = [f"hammer number {number}" for number in range(50)]
    model = SentenceTransformer(str(shop / "models" / "mnr"), truncate_dim=48)
    wanted = model.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(np.array(embeddings.embed_documents(texts)), wanted, atol=1e-5)


@pytest.mark.parametrize("text", ["hello world", "red hammer", TEXT, "hammer", "a cordless drill with two batteries"])
def test_langchains_default_is_refused_with_its_own_switch(served, monkeypatch, text):
    langchain_openai = pytest.importorskip("langchain_openai")
    found = importlib.util.find_spec("llama_index.core") if importlib.util.find_spec("llama_index") else None
    tables = Path(found.origin).parent / "_static" / "tiktoken_cache" if found else None
    if tables is None or not tables.is_dir():
        pytest.skip("tiktoken's tables would have to be downloaded")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tables))
    import openai

    embeddings = langchain_openai.OpenAIEmbeddings(
        base_url=f"{served.url}/v1", api_key="unused", model="mnr", max_retries=0
    )
    with pytest.raises(openai.UnprocessableEntityError, match="check_embedding_ctx_length=False"):
        embeddings.embed_query(text)


def test_every_snippet_is_run():
    assert len(SNIPPETS) == len(PACKAGES)
