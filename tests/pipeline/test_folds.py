"""Oracles: the library ranks with a fold's own model, whose training texts are told apart by sets; scipy's t-test on
the folds' means; a run that is killed in a fold and continued, against one that was not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from sentence_transformers import SentenceTransformer
from shared_runs import copy_run, make_once
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.errors import InputError
from nestvec.evaluation.fold_means import FoldMeans
from nestvec.indexing.index import build_index
from nestvec.pipeline.comparing import PointPair, compare_points
from nestvec.progress import ProgressEvent

FOLDS = 3
OPTIONS = {"folds": FOLDS, "systems": "mnr", "dimensions": "32,16", "precisions": "int8,binary", "resamples": 200}
OPTIONS |= {"seed": 3, "batch_size": 64, "bigger": "", "margin": 0.3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a finished run of three folds with a tiny model, and of the table and the model it was made of."""

    def make(folder):
        source = write_csv(folder / "judged.csv", rows(queries=90))
        model = save_tiny_mpnet(folder / "tiny")
        nestvec.run(str(source), folder / "run", model=str(model), **OPTIONS)

    return make_once(tmp_path_factory, "folded", make)


@pytest.fixture
def run(made):
    return nestvec.load_run(made / "run")


def read_json(run, name):
    return json.loads((run.root / name).read_text(encoding="utf-8"))


def read_folds(run):
    """Query id to its fold, text and split."""
    table = pq.read_table(run.root / "data/queries.parquet").to_pylist()
    return {row["query_id"]: (int(row["fold"]), row["query"], row["split"]) for row in table}


def test_every_query_is_measured_by_the_model_of_its_fold(run):
    asked, vectors = read_folds(run), {}
    documents = pq.read_table(run.root / "data/catalogue.parquet").to_pydict()
    for number in range(1, FOLDS + 1):
        model = SentenceTransformer(str(run.root / f"folds/{number}/models/mnr"), device="cpu")
        here = [name for name, (fold, _, split) in asked.items() if fold == number and split == "test"]
        texts = [asked[name][1] for name in here]
        left, right = (model.encode(part, normalize_embeddings=True) for part in (texts, documents["document"]))
        vectors |= dict(zip(here, left @ right.T, strict=True))
    ranking = run.ranking(f"mnr.{run.results.full_dimension}.float32")
    assert set(ranking) == set(vectors)
    for name, scores in vectors.items():
        best = dict(zip(documents["document_id"], scores, strict=True))
        found = np.array([best[document] for document in ranking[name]])
        assert np.sort(scores)[::-1][: len(found)] == pytest.approx(found, abs=1e-5)


def test_all_queries_with_an_answer_count_once_half_to_choose_and_half_to_report_on(run):
    results, asked = read_json(run, "results.json"), read_folds(run)
    sizes = {split: sum(part == split for _, _, part in asked.values()) for split in ("validation", "test")}
    assert sum(sizes.values()) + sum(results["unanswerable"].values()) == 90
    assert results["folds"] == read_json(run, "recommendation.json")["folds"] == FOLDS
    for row in results["surface"]:
        assert row["queries"] == sizes[row["split"]]
    table = pq.read_table(run.root / "per_query.parquet", filters=[("metric", "==", "recall@10")]).to_pylist()
    assert sorted(row["query_id"] for row in table if row["system"] == "bm25") == sorted(asked)
    assert set(read_json(run, "data/audit.json")["leaks"].values()) == {0}


def test_intervals_hold_over_folds_too(run):
    asked, folds = read_folds(run), [f"{number}" for number in range(1, FOLDS + 1)]
    compared = [row for row in read_json(run, "results.json")["comparisons"] if row["metric"] == "recall@10"]
    assert compared
    values = run.per_query("recall@10", {row[side] for row in compared for side in ("a", "b")})
    for row in compared:
        a, b = values[row["a"]], values[row["b"]]
        gap = {name: a[name] - b[name] for name in a}
        sums = [sum(value for name, value in gap.items() if asked[name][0] == int(number)) for number in folds]
        sizes = [sum(asked[name][0] == int(number) for name in gap) for number in folds]
        mean = np.mean(list(gap.values()))
        error = np.sqrt(FOLDS / (FOLDS - 1) * np.sum((np.array(sums) - mean * np.array(sizes)) ** 2)) / len(gap)
        reach = scipy.stats.t(FOLDS - 1).ppf(0.975) * error
        assert row["low"] <= max(-1, mean - reach) + 1e-9
        assert row["high"] >= min(1, mean + reach) - 1e-9
        if error:
            assert row["p"] >= 2 * scipy.stats.t(FOLDS - 1).sf(abs(mean) / error) - 1e-9


def test_what_is_handed_over_is_another_model_and_the_answer_says_so(run):
    models = [run.root / f"folds/{number}/models/mnr/model.safetensors" for number in range(1, FOLDS + 1)]
    models.append(run.root / "models/mnr/model.safetensors")
    assert len({path.read_bytes() for path in models}) == FOLDS + 1
    assert f"The figures come from {FOLDS} models" in read_json(run, "recommendation.json")["reason"]
    assert "trained once more, on all queries" in (run.root / "report.html").read_text(encoding="utf-8")
    records = pq.read_table(run.root / "data/records.parquet", columns=["split"])["split"].to_pylist()
    assert set(records) == {"validation", "test"}


def test_an_index_serves_the_model_that_is_handed_over_and_is_verified_against_it(made, tmp_path, typed):
    run = copy_run(made / "run", tmp_path / "run")
    with build_index(run, system="mnr", dimension=16, precision="int8") as index:
        found = index.verify()
    assert (found.same, found.found, found.by_folds) == (1.0, found.measured, True)
    code, out, _ = typed("index", run, "--verify")
    assert code == 0
    assert "an exact search with the same model" in out


def test_a_run_that_is_done_needs_its_folds_no_more(made, tmp_path):
    said, done = [], copy_run(made / "run", tmp_path / "run")
    shutil.rmtree(done / "folds")
    source, model = str(made / "judged.csv"), str(made / "tiny")
    nestvec.run(source, done, model=model, progress=lambda event: said.append(event.message or event.label), **OPTIONS)
    assert "evaluate: already done" in said
    assert not (done / "folds").exists()


class Killed(BaseException):
    """As a signal would end the process."""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["fold 2 of 3: train mnr", "train mnr", "fold 3 of 3: encode with mnr", "evaluate"])
def test_a_run_that_is_killed_in_any_fold_continues_to_the_same_answer(made, tmp_path, at):
    done = []

    def die(event: ProgressEvent):
        done.append(event.message)
        if event.label == at and event.done:
            raise Killed

    source, model = str(made / "judged.csv"), str(made / "tiny")
    with pytest.raises(Killed):
        nestvec.run(source, tmp_path / "run", model=model, progress=die, **OPTIONS)
    assert not (tmp_path / "run/results.json").exists()
    done.clear()
    nestvec.run(source, tmp_path / "run", model=model, progress=lambda event: done.append(event.message), **OPTIONS)
    assert "fold 1 of 3: train mnr: already done" in done
    for name in ("per_query.parquet", "recommendation.json", "models/mnr/model.safetensors", "runs/mnr.32.int8.trec"):
        assert (tmp_path / "run" / name).read_bytes() == (made / "run" / name).read_bytes()


@pytest.mark.slow
def test_folds_without_training_fit_the_keyword_search_where_each_query_is_left_out(made, tmp_path):
    options = {**OPTIONS, "epochs": 0, "model": str(made / "tiny")}
    run = nestvec.run(str(made / "judged.csv"), tmp_path / "run", **options)
    assert not (tmp_path / "run/folds/1/models").exists()
    assert all((tmp_path / f"run/folds/{number}/hybrid.json").is_file() for number in range(1, FOLDS + 1))
    assert "fitted 3 times" in run.recommendation.reason
    compared = compare_points(
        run, nestvec.load_run(made / "run"), "recall@10", [PointPair("bm25", "bm25", "mnr.32.int8")]
    )
    fold = {name: number for name, (number, _, _) in read_folds(run).items()}
    before, after = run.per_query("recall@10", ["bm25"])["bm25"], run_values(made, "mnr.32.int8")
    gap = np.array([after[name] - before[name] for name in sorted(before)])
    reach = FoldMeans(np.array([fold[name] for name in sorted(before)])).reach(gap[:, None], 0.975)[0]
    assert compared[0].low <= max(-1, gap.mean() - reach) + 1e-9
    assert compared[0].high >= min(1, gap.mean() + reach) - 1e-9


def run_values(made, point):
    return nestvec.load_run(made / "run").per_query("recall@10", [point])[point]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 1}, "--folds is 1; expected 2 or more"),
        ({"folds": 40}, "--folds is 40, and there are 90 queries; expected at most 9"),
        ({"folds": 3, "protocol": "published"}, "--folds is given with --protocol published"),
        ({"folds": 3, "split_column": "part"}, "--folds and --split-column are given"),
    ],
)
def test_folds_that_make_no_sense_are_refused_and_nothing_is_written(made, tmp_path, given, message):
    table = [{**row, "part": ("train", "test")[number % 2]} for number, row in enumerate(rows(queries=90))]
    source = write_csv(tmp_path / "judged.csv", table)
    with pytest.raises(InputError, match=message):
        nestvec.run(str(source), tmp_path / "run", model=str(made / "tiny"), **{**OPTIONS, **given})
    assert not (tmp_path / "run").exists()


def test_a_study_takes_no_folds(made, tmp_path):
    with pytest.raises(InputError, match="--folds is 3; expected tune without --folds"):
        nestvec.tune(str(made / "judged.csv"), tmp_path / "study", folds=3, model=str(made / "tiny"))
