"""A run whose training queries showed that corrected words help: measured, exported and served so.

Oracles: `runs/*.trec`, which its evaluation wrote; BM25 over the texts of `catalogue.parquet`, asked what was meant.
"""

from __future__ import annotations

import json
from dataclasses import replace

import httpx2 as httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from misspelt import POINT, make_corrected, swap_letters
from page_visit import Visit, search, settled
from running import serving
from shared_runs import copy_run
from test_modes import found, listed

import nestvec
from nestvec.indexing.index import build_index
from nestvec.lexical.bm25 import UNTUNED, Bm25
from nestvec.lexical.corrections import RULES
from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.vectors.topk import tie_order


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """The folder of the run."""
    return make_corrected(tmp_path_factory)


@pytest.fixture(scope="module")
def server(corrected):
    with serving(corrected) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def texts(corrected):
    """Test query's id to its text."""
    table = pq.read_table(corrected / "data" / "queries.parquet").to_pylist()
    return {row["query_id"]: row["query"] for row in table if row["split"] == "test"}


def test_the_files_say_so(corrected):
    assert read_hybrid(corrected / "hybrid.json").lexical.correction == RULES
    held = json.loads((corrected / "hybrid.json").read_text())["correction"]
    assert held == vars(RULES)
    assert json.loads((corrected / "recommendation.json").read_text())["lexical"]["correction"] == held
    tried = json.loads((corrected / "results.json").read_text())["lexical"]["tried"]
    assert tried["with corrected words"] > max(value for name, value in tried.items() if name.startswith("k1"))


def test_the_tuned_leg_was_measured_with_what_was_meant(corrected, texts):
    table = pq.read_table(corrected / "data" / "catalogue.parquet").to_pylist()
    ids = [row["document_id"] for row in table]
    order = tie_order(ids)
    lexical = replace(read_hybrid(corrected / "hybrid.json").lexical, correction=None)
    for name, settings, asked in (
        ("bm25", lexical, [swap_letters(query) for query in texts.values()]),
        ("bm25-default", UNTUNED, list(texts.values())),
    ):
        ranked, _ = Bm25.of([table[row]["document"] for row in order], settings).top_k(asked, 100)
        wanted = listed(corrected / "runs" / f"{name}.trec")
        assert [[ids[row] for row in order[rows]] for rows in ranked] == [wanted[query] for query in texts]


@pytest.mark.parametrize("mode", ["words", "fused"])
def test_the_served_lists_are_the_measured_ones_and_say_what_was_searched(mode, client, corrected, texts):
    name = "bm25" if mode == "words" else "pretrained+bm25.48.binary"
    wanted = listed(corrected / "runs" / f"{name}.trec")
    body = {"queries": list(texts.values()), "k": 100, "mode": mode, **(POINT if mode == "fused" else {})}
    answer = client.post("/v1/search", json=body)
    assert found(answer) == [wanted[query] for query in texts]
    told = [result["searched_for"] for result in answer.json()["results"]]
    meant = map(swap_letters, texts.values())  # swapped once more
    assert told == [None if text == query else text for text, query in zip(meant, texts.values(), strict=True)]
    assert 0 < told.count(None) < len(told)
    assert [result["query"] for result in answer.json()["results"]] == list(texts.values())


def test_vectors_are_asked_the_query_as_it_was_typed(client, corrected, texts):
    wanted = listed(corrected / "runs" / "pretrained.48.binary.trec")
    answer = client.post("/v1/search", json={"queries": list(texts.values()), "k": 100, "mode": "vectors", **POINT})
    assert found(answer) == [wanted[query] for query in texts]
    assert {result["searched_for"] for result in answer.json()["results"]} == {None}


def test_a_system_that_ranks_by_words_says_so_too(client):
    answer = client.post("/v1/search", json={"query": "<b>hmamer</b>", "system": "bm25"}).json()
    assert answer["results"][0]["searched_for"] == "<b>hammer</b>" and answer["results"][0]["hits"][0]["score"] > 0


def test_an_index_answers_and_says_the_same(corrected, client, texts, tmp_path):
    run = copy_run(corrected, tmp_path / "run")
    build_index(run, **POINT).close()
    with serving(run) as indexed, httpx.Client(base_url=indexed.url, timeout=60) as asked:
        for mode in ("words", "fused", "vectors"):
            body = {"queries": list(texts.values()), "k": 10, "mode": mode}
            answer = asked.post("/v1/search", json=body)
            assert answer.json()["source"] == "index"
            point = {} if mode == "words" else POINT
            of_run = client.post("/v1/search", json={**body, **point}).json()
            assert of_run["source"] == "run"
            told = [result["searched_for"] for result in answer.json()["results"]]
            assert told == [result["searched_for"] for result in of_run["results"]]
            assert any(told) == (mode != "vectors")
            if mode != "words":  # there, the run's lists go on with documents that share no word
                assert found(answer) == [[hit["id"] for hit in result["hits"]] for result in of_run["results"]]


@pytest.mark.parametrize("beside", [False, True])
def test_the_page_says_what_was_searched(beside, browser, server, texts):
    query = next(text for text in texts.values() if swap_letters(text) != text)
    with Visit(browser, server, f"/?q={query}&s=pretrained,bm25") as page:
        if beside:
            page.get_by_role("switch", name="Beside keyword search").check()
            settled(page)
        said = page.locator("#corrected").inner_text()
        assert said == f"Searched for: {swap_letters(query)}"
        search(page, swap_letters(query))
        assert not page.locator("#corrected").is_visible()


def test_the_export_says_how_to_get_it(corrected, tmp_path):
    made = nestvec.export(corrected, tmp_path / "out", **POINT)
    assert read_hybrid(made.folder / "hybrid.json").lexical.correction == RULES
    told = (made.folder / "recipes" / "README.md").read_text()
    code = told.partition("```python\n")[2].partition("```")[0]
    documents = ["cordless drill 18 v", "cordless drill"]
    scope = {"texts": documents}
    exec(code.replace("corrector.correct(", "said = corrector.correct("), scope)
    assert scope["said"] == ["cordless drill"]
    assert np.array_equal(list(scope["corrector"].vocabulary.values()), [2, 2, 1])
