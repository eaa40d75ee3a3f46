"""A run that nestvec 0.1.0 finished before its reader was rewritten opens everywhere.

Oracle: the files that 0.1.0 wrote, read here without the code under test: `results.json`, `per_query.parquet`,
`runs/*.trec` and `data/*.parquet`.

run_0_1_0.tar.xz was made from the sample (400 records, one epoch of `mnr`, two widths, three precisions, two stages)
and a tiny model of random weights, `tiny`, which the run's config names by a relative path.
"""

from __future__ import annotations

import html
import json
import tarfile
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from running import serving

import nestvec
from nestvec.report import write_report

ARCHIVE = Path(__file__).parent / "run_0_1_0.tar.xz"
METRIC = "recall@10"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The run's folder; the working directory is where its model lies."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder / "old_run"


@pytest.fixture(scope="module")
def results(old):
    return json.loads((old / "results.json").read_text(encoding="utf-8"))


def measured(results, system, dimension, precision):
    """A point's mean on test."""
    point = (system, dimension, precision, "test")
    [row] = [
        row for row in results["surface"] if (row["system"], row["dimension"], row["precision"], row["split"]) == point
    ]
    return row["metrics"][METRIC]["value"]


def read_rankings(path):
    """Query id to document ids, best first."""
    rankings = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, *_ = line.split()
        rankings.setdefault(query, []).append(document)
    return rankings


def read_texts(path, name):
    """Id to text."""
    return {row[f"{name}_id"]: row[name] for row in pq.read_table(path).to_pylist()}


def test_it_loads_with_its_results_and_its_decision(old, results):
    run = nestvec.load_run(old)
    told = json.loads((old / "recommendation.json").read_text(encoding="utf-8"))
    assert run.ships == (told["decision"] == "ship")
    assert results["trained"] == ["mnr"]


def test_the_report_shows_what_was_measured_and_asked(old, results):
    page = write_report(nestvec.load_run(old)).read_text(encoding="utf-8")
    text = html.unescape(page)
    for dimension in (48, 24):
        assert f"{measured(results, 'mnr', dimension, 'float32'):.3f}" in text
    table = pq.read_table(old / "per_query.parquet").to_pylist()
    tested = [row for row in table if (row["split"], row["metric"]) == ("test", METRIC)]
    before, after = (
        {
            row["query_id"]: row["value"]
            for row in tested
            if (row["system"], row["dimension"], row["precision"]) == point
        }
        for point in (("pretrained", 48, "float32"), ("bm25", None, None))
    )
    queries = read_texts(old / "data" / "queries.parquet", "query")
    gained = [queries[query] for query, value in after.items() if value - before[query] == 1]
    shown = [query for query in gained if query in text]
    assert len(shown) >= min(10, len(gained)) > 0  # the page has the ten that gained most from the reference to BM25


def test_beside_itself_nothing_differs(old, results):
    found = nestvec.compare(old, old)
    assert found.queries == len(read_rankings(old / "runs" / "bm25.trec"))
    assert {"bm25", "pretrained.48.float32", "mnr.48.float32"} <= {row.a for row in found.rows}
    for row in found.rows:
        system, dimension, precision = row.a.split(".") if "." in row.a else (row.a, None, None)
        mean = measured(results, system, dimension and int(dimension), precision)
        assert (row.mean_a, row.mean_b) == pytest.approx((mean, mean))
        assert (row.difference, row.p, row.ties) == (0, 1, found.queries)


def test_its_model_is_exported_and_gives_the_vectors_that_were_measured(old, tmp_path):
    from sentence_transformers import SentenceTransformer

    point = {"system": "mnr", "dimension": 24, "precision": "int8"}
    made = nestvec.export(old, tmp_path / "export", "sentence-transformers", **point)
    queries = read_texts(old / "data" / "queries.parquet", "query")
    stored = np.load(old / "embeddings" / "mnr.npy")[: len(queries), :24]
    stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    encoded = SentenceTransformer(str(made.folder), device="cpu").encode(list(queries.values()))
    assert (stored * encoded).sum(axis=1).min() >= 0.9999


def test_its_index_finds_what_was_measured(old, results):
    queries = read_texts(old / "data" / "queries.parquet", "query")
    rankings = read_rankings(old / "runs" / "mnr.48.int8.trec")
    with nestvec.build_index(old, system="mnr", dimension=48, precision="int8") as index:
        found = index.verify()
        assert found.measured == pytest.approx(measured(results, "mnr", 48, "int8"), abs=1e-12)
        assert found.found == pytest.approx(found.measured, abs=1e-12)
        assert (found.same, found.queries) == (1.0, len(rankings))
    query, ranked = next(iter(rankings.items()))
    hits = nestvec.search(old, queries[query], 10)
    assert {hit.id for hit in hits[:5]} <= set(ranked[:10])


@pytest.mark.slow
def test_it_is_served(old):
    queries = read_texts(old / "data" / "queries.parquet", "query")
    rankings = read_rankings(old / "runs" / "mnr.24.int8.trec")
    asked = {"queries": [queries[query] for query in rankings], "k": 10}
    with serving(old) as server:
        point = {"system": "mnr", "dimension": 24, "precision": "int8"}
        answer = httpx.post(f"{server.url}/v1/search", json={**asked, **point}, timeout=60)
        assert answer.status_code == 200, answer.text
        for result, ranked in zip(answer.json()["results"], rankings.values(), strict=True):
            assert [hit["id"] for hit in result["hits"]] == ranked[:10]
        assert httpx.get(f"{server.url}/v1/run").status_code == 200
