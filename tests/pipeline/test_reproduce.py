"""Oracles: the `datasets` library draws the original's split; a made-up table in Home Depot's form and size tells
which rows are pairs, queries and documents; pytrec_eval re-scores what was run."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import THINGS
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.errors import InputError
from nestvec.pipeline import reproducing
from nestvec.pipeline.inputs import read_task
from nestvec.pipeline.reproducing import PUBLISHED, reproduce, settings_for
from nestvec.report.content import read_content

pytestmark = pytest.mark.slow  # two whole runs

ROWS = 74_067
GRADES = (1.0, 1.33, 1.67, 2.0, 2.33, 2.5, 2.67, 3.0)


def table(count):
    """The schema of the hub's data set: most queries and some products recur."""
    rng = np.random.default_rng(7)
    product = rng.integers(100_000, 100_000 + count * 3 // 4, count)
    query = rng.integers(0, count // 6, count)
    return pa.table(
        {
            "id": np.arange(count) * 3 + 2,
            "entity_id": product,
            "name": [f"{THINGS[number % 10].title()} {number}" for number in product],
            "description": [f"A {THINGS[number % 10]} with the number {number} on it" for number in product],
            "query": [f"{THINGS[number % 10]} {number}" for number in query],
            "relevance": rng.choice(GRADES, count, p=(0.03, 0.04, 0.09, 0.16, 0.2, 0.02, 0.2, 0.26)),
        }
    )


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    path = tmp_path_factory.mktemp("home-depot") / "train.parquet"
    pq.write_table(table(ROWS), path)
    return path


def test_the_published_protocol_takes_exactly_the_originals_rows(full_size):
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    original = Dataset(pq.read_table(full_size)).shuffle(seed=42).select(range(25_000)).train_test_split(0.2, seed=42)
    settings = settings_for(str(full_size), "published", {"document": "description"})
    records, _, task = read_task(settings)
    ids = pq.read_table(full_size)["id"].to_numpy()
    assert len(records) == ROWS
    for name in ("train", "test"):
        assert set(ids[task.labels == name]) == set(original[name]["id"])
    pairs = original["train"].filter(lambda row: row["relevance"] > 2.5)
    assert set(ids[task.pairs]) == set(pairs["id"])
    asked = original["test"].filter(lambda row: row["relevance"] >= 2.5)
    rows = np.array([int(identifier[1:]) for identifier in task.ids])
    assert set(ids[rows]) == set(asked["id"])
    assert dict(zip(ids[rows].tolist(), task.texts, strict=True)) == dict(zip(asked["id"], asked["query"], strict=True))
    documents = [records.document_ids[row] for row in task.catalogue]
    judged = {str(entity) for entity in original["test"]["entity_id"]}
    assert len(documents) == len(set(documents)) == len(judged) + 200
    assert judged < set(documents)
    relevant = {task.ids[topic]: documents[place] for topic, place in zip(task.topic, task.document, strict=True)}
    entities = dict(zip(ids.tolist(), pq.read_table(full_size)["entity_id"].to_pylist(), strict=True))
    assert relevant == {f"r{row}": str(entities[ids[row]]) for row in rows.tolist()}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A small reproduction on a local folder in the hub's form, through the hub's own library.

    The model is a tiny one as wide as MiniLM, and resamples are few: what is tested is which records are trained on and
    asked, and what is made of the two runs.
    """
    root = tmp_path_factory.mktemp("reproduction")
    (root / "hub" / "data").mkdir(parents=True)
    pq.write_table(table(1200), root / "hub" / "data" / "train-00000-of-00001.parquet")
    quick = {"model": str(save_tiny_mpnet(root / "tiny", width=384)), "resamples": 300, "precisions": "float32,int8"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproducing, "settings_for", lambda *given: settings_for(*given[:2], {**given[2], **quick}))
        return reproduce("home-depot", root / "out", data=f"hf:{root / 'hub'}", epochs=1, max_records=900)


def test_a_reproduction_stands_beside_the_published_numbers(reproduced):
    rows = {(row["system"], row["dimension"]): row for row in reproduced.facts["rows"]}
    assert set(rows) == {entry for entry in PUBLISHED if entry[0] != "all-mpnet-base-v2"}
    assert rows["mnr", 48]["published"] == {"recall@10": 0.58745, "mrr@10": 0.31978, "ndcg@10": 0.38344}
    results = json.loads((reproduced.folder / "published" / "results.json").read_text())
    for surface in results["surface"]:
        if (surface["precision"], surface["kind"]) == ("float32", "plain"):
            assert rows[surface["system"], surface["dimension"]]["ours"]["mrr@10"] == surface["metrics"]["mrr@10"]
    assert reproduced.facts["counts"]["records"] == 1200
    assert "all-mpnet-base-v2" in reproduced.facts["missing"]
    assert not reproduced.facts["titles_only"]


def test_each_test_record_is_a_query_with_one_relevant_document(reproduced):
    import pytrec_eval

    folder = reproduced.folder / "published"
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "data" / "qrels.trec").read_text().splitlines():
        query, _, document, gain = line.split()
        qrels.setdefault(query, {})[document] = int(gain)
    assert {len(judged) for judged in qrels.values()} == {1}
    run: dict[str, dict[str, float]] = {}
    for line in (folder / "runs" / "mnr.48.float32.trec").read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        run.setdefault(query, {})[document] = float(score)
    results = json.loads((folder / "results.json").read_text())
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"recall_10"}, relevance_level=results["relevant_from"])
    scored = [entry["recall_10"] for entry in evaluator.evaluate(run).values()]
    [row] = [row for row in results["surface"]
             if (row["system"], row["dimension"], row["precision"]) == ("mnr", 48, "float32")]  # fmt: skip
    assert row["split"] == "test"
    assert np.mean(scored) == pytest.approx(row["metrics"]["recall@10"]["value"], abs=1e-6)


def test_the_leaks_are_told_and_the_gains_set_apart(reproduced):
    audit = json.loads((reproduced.folder / "published" / "data" / "audit.json").read_text())
    assert audit["leaked_share"]["test records whose query is in training"] > 0.5
    clean = json.loads((reproduced.folder / "leak-free" / "data" / "audit.json").read_text())
    assert set(clean["leaks"].values()) == {0}
    queries = {(gain["where"], gain["system"]): gain["queries"] for gain in reproduced.facts["gains"]}
    whole = queries["published protocol", "mnr"]
    assert queries["… where training saw the query", "mnr"] + queries["… where it did not", "mnr"] == whole
    assert ("leak-free protocol", "matryoshka") in queries


def test_the_page_says_what_came_out_and_loads_nothing(reproduced):
    page = (reproduced.folder / "reproduce.html").read_text()
    assert "0.587" in page  # mnr at 48, published
    assert "all-mpnet-base-v2" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert {path.suffix for path in (reproduced.folder / "figures").iterdir()} == {".png", ".svg"}
    recommendation = json.loads((reproduced.folder / "published" / "recommendation.json").read_text())
    assert recommendation["chosen_on"] == "test"


def test_an_unknown_experiment_or_no_hub_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="unknown experiment 'away-depot'"):
        reproduce("away-depot", tmp_path / "out")
    with pytest.raises(InputError, match="huggingface"):
        reproduce("home-depot", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    """Its figures would be replaced."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    with pytest.raises(InputError, match="holds files that no reproduction made"):
        reproduce("home-depot", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["figures", "mine.svg"]


def test_the_published_protocol_s_report_shows_the_queries_texts(reproduced):
    """Every record is a query of its own there, named by its row: r17."""
    run = nestvec.load_run(reproduced.folder / "published")
    texts = set(pq.read_table(run.folder.path("records"))["query"].to_pylist())
    changes = read_content(run).changes
    shown = [change.query for change in (*changes.gained, *changes.lost)]
    assert shown and set(shown) <= texts
