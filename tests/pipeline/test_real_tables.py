"""Whole runs on inputs that once went wrong. Oracles: pytrec_eval over the source's own qrels and the run's TREC files;
the ids and texts as the source writes them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import pytrec_eval
from tables import CASES, load

import nestvec
from nestvec.data.grades import read_grades
from nestvec.data.split import split_records
from nestvec.data.task import make_task
from nestvec.settings import DataSettings, SplitSettings

QUICK = {"epochs": 0, "bigger": "", "dimensions": "16", "precisions": "int8", "resamples": 100, "test": 0.4, "seed": 3}
HALF = {"validation": 0.2}


@pytest.fixture
def run_case(tiny, tmp_path):
    """Gives a function that runs nestvec on a source with the tiny model and returns the finished run."""

    def run(source, **options):
        return nestvec.run(
            str(source), tmp_path / "run", model=str(tiny), progress=False, **{**QUICK, **HALF, **options}
        )

    return run


def read_run(path, names=None):
    """A TREC run file, its ids translated back."""
    names = names or {"queries": {}, "documents": {}}
    runs: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score, _ = line.split(" ")
        query, document = names["queries"].get(query, query), names["documents"].get(document, document)
        runs.setdefault(query, {})[document] = float(score)
    return runs


def test_run_files_carry_odd_ids_and_the_map_gives_the_rest(run_case):
    run = run_case(CASES / "oddids.csv")
    names = json.loads((run.root / "data" / "trec_ids.json").read_text(encoding="utf-8"))
    with (CASES / "oddids.csv").open(newline="", encoding="utf-8") as stream:
        ids = {row["document_id"] for row in csv.DictReader(stream)}
    assert set(names["documents"].values()) == {name for name in ids if any(letter.isspace() for letter in name)}
    assert not set(names["documents"]) & ids  # no form is an id of another document
    ranked = read_run(run.root / "runs" / "bm25.trec", names)
    assert set().union(*ranked.values()) <= ids
    assert {"a b", "a  b", "a%20b", "007", "7", "A&amp;B", "A&B"} <= set(run.catalogue.ids)
    assert {query: list(documents) for query, documents in ranked.items()} == run.ranking("bm25")
    assert set().union(*run.judgements.values()) <= ids


def test_a_query_that_is_a_document_does_not_find_itself(run_case):
    run = run_case(CASES / "beir_selfid")
    ranked = read_run(run.root / "runs" / "bm25.trec")
    assert ranked
    assert all(name.startswith("q") for name in ranked)
    assert all(query in run.catalogue.ids and query not in documents for query, documents in ranked.items())
    assert {len(documents) for documents in ranked.values()} == {100}
    for path in (run.root / "runs").glob("*.trec"):  # two stages, principal axes and fusions too
        assert all(query not in documents for query, documents in read_run(path).items()), path.name
    (finding,) = (entry for entry in run.findings if entry.name == "queries that are documents under the same id")
    assert finding.count == 40
    others = nestvec.build_index(run.root, system="pretrained").verify(exact=True)
    assert others.found == pytest.approx(others.measured)


def test_ids_alike_by_chance_leave_nothing_out(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{n},red saw size {n},{n},blue drill number {n},{n % 3}" for n in range(30)]
    path.write_text("query_id,query,document_id,title,grade\n" + "\n".join(lines))
    records = load(path)
    parts = split_records(records, DataSettings(), SplitSettings(), 42)
    assert make_task(records, read_grades(records.grade, 1), parts, "leak-free").own is None
    assert not any("documents under" in finding.name for finding in records.findings)


@pytest.mark.parametrize("qrels", ["mixed", "trailing", "spaces"])
def test_the_users_own_qrels_score_our_rankings(run_case, qrels):
    folder = CASES / "trec"
    parts = {"queries": str(folder / "topics.tsv"), "corpus": str(folder / "corpus.tsv")}
    run = run_case("", **parts, qrels=str(folder / f"{qrels}.qrels"), threshold=3)
    assert len(load("", **parts, qrels=str(folder / f"{qrels}.qrels")).grade) == 200
    judged: dict[str, dict[str, int]] = {}
    for line in (folder / "spaces.qrels").read_text().splitlines():
        query, _, document, grade = line.split()
        judged.setdefault(query, {})[document] = int(grade)
    ranked = read_run(run.root / "runs" / "bm25.trec")
    assert "000" in judged
    scores = pytrec_eval.RelevanceEvaluator(judged, {"recall.10", "ndcg_cut.10"}, relevance_level=3).evaluate(ranked)
    assert len(scores) == len(ranked)
    measured = run.points["bm25"].metrics
    assert np.mean([score["recall_10"] for score in scores.values()]) == pytest.approx(measured["recall@10"].value)
    assert np.mean([score["ndcg_cut_10"] for score in scores.values()]) == pytest.approx(measured["ndcg@10"].value)


def test_a_collection_in_parts_goes_by_the_name_of_its_judgements(run_case, typed, tiny):
    parts = {"queries": CASES / "trec" / "topics.tsv", "corpus": CASES / "trec" / "corpus.tsv"}
    qrels = str(CASES / "trec" / "mixed.qrels")
    options = {**{name: str(path) for name, path in parts.items()}, "qrels": qrels}
    run = run_case("sample", **options, threshold=3)  # the default, as where no source is named
    assert run.results.source == qrels
    assert f"nestvec report on {qrels}</title>" in (run.root / "report.html").read_text()
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    code, printed, said = typed("check", *words, "--model", tiny)
    assert code == 0, said
    assert "".join(printed.split()).startswith("".join(qrels.split()))
    code, _, said = typed("check", *words, "--model", tiny, "--threshold", "99")
    assert code == 2 and said.startswith(f"nestvec: {qrels}: --threshold 99"), said
    code, _, said = typed("run", "--config", run.root / "config.toml", "--out", run.root)  # resolved: source = "sample"
    assert code == 0, said
    source = CASES / "oddids.csv"
    code, _, said = typed("check", source, *words, "--model", tiny)
    assert code == 2
    expected = "expected either a source or --qrels, not both"
    assert said == f"nestvec: {qrels}: --qrels is given together with the source {source}; {expected}\n"
