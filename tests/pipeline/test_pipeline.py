"""Oracles: pytrec_eval and ir_measures re-score the run files; sentence-transformers' own evaluator re-runs the saved
models; a second run, interrupted and continued, must give the same bytes."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pyarrow.parquet as pq
import pytest
from shared_runs import copy_run
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.errors import InputError
from nestvec.pipeline.run_stages import run_settings
from nestvec.point import PRECISIONS
from nestvec.runs.config import read_config
from nestvec.runs.folder import RunFolder
from nestvec.settings import Settings


def results(run, *, timed=False):
    found = dict(run.results)
    if not timed:
        del found["timings"]
    return found


def points(run, split="test"):
    return [row for row in run.results["surface"] if row["split"] == split]


def name(row):
    cut = f"{row['dimension']}{'a' if row['axes'] else ''}"
    return row["system"] if row["dimension"] is None else f"{row['system']}.{cut}.{row['precision']}"


def read_trec(path):
    runs: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        runs.setdefault(query, {})[document] = float(score)
    return runs


def read_qrels(path):
    judged: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines():
        query, _, document, gain = line.split()
        judged.setdefault(query, {})[document] = int(gain)
    return judged


CUTS = [(str(width), precision) for width in (384, 192, 96, 48) for precision in PRECISIONS]
CUTS += [(f"{width} axes", precision) for width in (192, 96, 48) for precision in PRECISIONS if precision != "float16"]


def test_the_folder_holds_what_the_design_says(finished):
    folder = finished.folder
    files = (
        "config",
        "records",
        "grades",
        "audit",
        "qrels",
        "hybrid",
        "results",
        "per_query",
        "training",
        "recommendation",
    )
    for file in (*files, "report"):
        assert folder.path(file).stat().st_size > 0, file
    assert not list(folder.root.rglob("*.tmp"))
    assert {path.suffix for path in folder.path("figures").iterdir()} == {".png", ".svg"}
    surface = {(row.system, row.cut or None, row.precision, row.split) for row in finished.results.surface}
    expected = {
        (system, cut, precision, split)
        for system in ("pretrained", "mnr", "matryoshka")
        for cut, precision in CUTS
        for split in ("validation", "test")
    }
    dense = ("pretrained", "mnr", "matryoshka")
    made = {("bm25", None, None), ("bm25-default", None, None)}
    made |= {(f"{system}+bm25", cut, precision) for system in dense for cut, precision in CUTS}
    made |= {(f"{system}-via-{first}", "384", "int8") for system in dense for first in ("48-int8", "384-binary")}
    assert surface == expected | {(*point, split) for point in made for split in ("validation", "test")}
    assert all(folder.run(name(row)).stat().st_size > 0 for row in finished.results["surface"])
    sizes = {
        (row["dimension"], row["precision"]): row["bytes_per_vector"]
        for row in points(finished)
        if row["kind"] in ("plain", "bm25")
    }
    assert (sizes[384, "float32"], sizes[192, "int8"], sizes[48, "int8"], sizes[None, None]) == (1536, 192, 48, None)


def test_trainings_are_told_as_their_stages_recorded_them(finished):
    told = json.loads(finished.folder.path("training").read_text(encoding="utf-8"))["systems"]
    assert [entry["system"] for entry in told] == list(finished.results["trained"]) == ["mnr", "matryoshka"]
    for entry in told:
        marker = finished.folder.facts(f"train {entry['system']}")
        assert len(entry["losses"]) == entry["steps"] and entry["curve"]
        flat = [
            {"step": step["step"], "recall": step["recall"]}
            | {
                f"{metric}.{point['dimension']}.{point['precision']}": value
                for point in step["points"]
                for metric, value in point["metrics"].items()
            }
            for step in entry["curve"]
        ]
        for step in marker["curve"]:
            assert 0 <= step.pop("recall_error") < 1  # decides which state is kept; the report does not show it
        assert {**entry, "curve": flat} == {"system": entry["system"], **marker}


def test_run_files_re_score_to_the_surface(finished):
    import pytrec_eval

    qrels = read_qrels(finished.folder.path("qrels"))
    relevant_from = finished.results["relevant_from"]
    for row in points(finished):
        run = read_trec(finished.folder.run(name(row)))
        measures = {"recall_10", "ndcg_cut_10"}
        scored = pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=relevant_from).evaluate(run)
        assert len(scored) == row["queries"]
        assert np.mean([entry["recall_10"] for entry in scored.values()]) == pytest.approx(
            row["metrics"]["recall@10"]["value"], abs=1e-6
        )
        assert np.mean([entry["ndcg_cut_10"] for entry in scored.values()]) == pytest.approx(
            row["metrics"]["ndcg@10"]["value"], abs=1e-6
        )


def test_ir_measures_agrees_on_the_rest(finished):
    import ir_measures
    from ir_measures import RR, Judged

    qrels = list(ir_measures.read_trec_qrels(str(finished.folder.path("qrels"))))
    reciprocal = RR(rel=finished.results["relevant_from"]) @ 10
    for row in points(finished):
        run = list(ir_measures.read_trec_run(str(finished.folder.run(name(row)))))
        assert {entry.query_id for entry in run} == {entry.query_id for entry in qrels}  # the test split's
        assert ir_measures.calc_aggregate([reciprocal], qrels, run)[reciprocal] == pytest.approx(
            row["metrics"]["mrr@10"]["value"], abs=1e-6
        )
        assert ir_measures.calc_aggregate([Judged @ 10], qrels, run)[Judged @ 10] == pytest.approx(
            row["metrics"]["judged@10"]["value"], abs=1e-6
        )


def test_per_query_values_average_to_the_surface(finished):
    table = pq.read_table(finished.folder.path("per_query")).to_pylist()
    means: dict[tuple, list[float]] = {}
    for entry in table:
        key = *(entry[name] for name in ("split", "system", "dimension", "precision", "axes")), entry["metric"]
        means.setdefault(key, []).append(entry["value"])
    for row in finished.results["surface"]:
        for metric, measure in row["metrics"].items():
            values = means[row["split"], row["system"], row["dimension"], row["precision"], row["axes"], metric]
            assert len(values) == row["queries"]
            assert np.mean(values) == pytest.approx(measure["value"], abs=1e-12)
            assert measure["low"] <= measure["value"] <= measure["high"]


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [384, 48])
@pytest.mark.parametrize("system", ["mnr", "matryoshka"])
def test_saved_models_score_alike_in_sentence_transformers_own_evaluator(finished, system, dimension):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    records = pq.read_table(finished.folder.path("records")).to_pylist()
    qrels = read_qrels(finished.folder.path("qrels"))
    relevant_from = finished.results["relevant_from"]
    evaluator = InformationRetrievalEvaluator(
        {row["query_id"]: row["query"] for row in records if row["query_id"] in qrels},
        {row["document_id"]: row["document"] for row in records},
        {
            query: {document for document, gain in judged.items() if gain >= relevant_from}
            for query, judged in qrels.items()
        },
        truncate_dim=dimension,
        precision_recall_at_k=[10],
        mrr_at_k=[10],
        show_progress_bar=False,
        write_csv=False,
    )
    found = evaluator(SentenceTransformer(str(finished.folder.model(system))))
    [row] = [row for row in points(finished) if name(row) == f"{system}.{dimension}.float32"]
    assert found["cosine_recall@10"] == pytest.approx(row["metrics"]["recall@10"]["value"], abs=1e-6)
    assert found["cosine_mrr@10"] == pytest.approx(row["metrics"]["mrr@10"]["value"], abs=1e-6)


@pytest.mark.parametrize("system", ["mnr", "matryoshka"])
def test_saved_models_encode_as_evaluated(finished, system):
    from sentence_transformers import SentenceTransformer

    documents = list(
        dict.fromkeys(row["document"] for row in pq.read_table(finished.folder.path("records")).to_pylist())
    )
    evaluated = np.load(finished.folder.embeddings(system))[-len(documents) :]
    encoded = SentenceTransformer(str(finished.folder.model(system))).encode(documents[::17], normalize_embeddings=True)
    assert (evaluated[::17] * encoded).sum(axis=1).min() >= 0.99999


def test_nothing_of_the_test_split_was_trained_on(finished):
    table = pq.read_table(finished.folder.path("records")).to_pylist()
    split = {label: [row for row in table if row["split"] == label] for label in ("train", "test")}
    for text in ("query", "document"):
        assert {row[text] for row in split["train"]}.isdisjoint({row[text] for row in split["test"]})
    audit = json.loads(finished.folder.path("audit").read_text())
    assert set(audit["leaks"].values()) == {0}
    assert audit["withheld_pairs"] > 0


class Interrupting:
    """A reporter that stops the run as Ctrl-C would, in the middle of a step."""

    def __init__(self, label: str, after: int) -> None:
        self.label, self.left = label, after

    def say(self, text: str) -> None:
        del text

    @contextmanager
    def step(self, label: str, total: int):
        def advance(done: int) -> None:
            if label == self.label:
                self.left -= done
                if self.left <= 0:
                    raise KeyboardInterrupt

        yield advance


@pytest.fixture(params=["tiny", pytest.param("MiniLM", marks=pytest.mark.slow)])  # a second training of MiniLM
def undisturbed(request, options, tmp_path):
    """The settings of a run, and the run that nothing interrupted."""
    if request.param == "MiniLM":
        table = request.getfixturevalue("source")
        return Settings.from_flat({"source": str(table), **options}), request.getfixturevalue("finished")
    table = write_csv(tmp_path / "judged.csv", rows(queries=100))
    model = save_tiny_mpnet(tmp_path / "tiny", dropout=0.1)
    quick = {"model": str(model), "dimensions": "96", "precisions": "int8", "compute": "float32", "resamples": 100}
    settings = Settings.from_flat({"source": str(table), **options, **quick})
    return settings, run_settings(settings, tmp_path / "whole")


@pytest.mark.slow
def test_an_interrupted_run_continues_to_the_same_numbers_and_weights(undisturbed, tmp_path):
    settings, whole = undisturbed
    for label, after in (("train mnr", 3), ("train matryoshka", 5), ("encode with mnr", 300), ("evaluate", 7)):
        with pytest.raises(KeyboardInterrupt):
            run_settings(settings, tmp_path / "run", Interrupting(label, after))
    continued = run_settings(settings, tmp_path / "run")
    assert results(continued) == results(whole)
    assert not list(continued.folder.root.rglob("*.tmp"))
    for file in ("qrels", "per_query", "recommendation", "records"):
        assert continued.folder.path(file).read_bytes() == whole.folder.path(file).read_bytes(), file
    for system in ("mnr", "matryoshka"):
        weights = [run.folder.model(system) / "model.safetensors" for run in (continued, whole)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_finished_run_is_opened_and_not_made_again(finished, source, options):
    before = finished.folder.path("results").stat().st_mtime_ns
    again = nestvec.run(str(source), finished.folder.root, **options)
    assert again.folder.path("results").stat().st_mtime_ns == before
    assert results(nestvec.load_run(finished.folder.root), timed=True) == results(finished, timed=True)


def test_the_config_reproduces_the_settings(finished, source, options):
    settings = Settings.from_flat(read_config(finished.folder.path("config")))
    assert settings.flat() == {**settings.flat(), **options, "source": str(source), "dimensions": [384, 192, 96, 48]}
    assert run_settings(settings, finished.folder.root).folder == finished.folder


def test_other_settings_are_refused_with_the_difference(finished, source, options):
    with pytest.raises(InputError, match="epochs was 1, now 2"):
        nestvec.run(str(source), finished.folder.root, **{**options, "epochs": 2})


def test_a_changed_file_is_refused(measured, tmp_path):
    """A copy of a finished run that was made of a copy of its table."""
    table, run = tmp_path / "judged.csv", copy_run(measured, tmp_path / "run")
    table.write_bytes((measured.parent / "judged.csv").read_bytes())
    config = (run / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(config.replace(str(measured.parent), str(tmp_path)), encoding="utf-8")
    settings = Settings.from_flat(read_config(run / "config.toml"))
    assert run_settings(settings, run).folder.root == run
    table.write_text(table.read_text().replace(",3", ",2", 1))
    with pytest.raises(InputError, match="source's sha256 was"):
        run_settings(settings, run)


def test_no_epochs_measures_without_training(measured):
    run = nestvec.load_run(measured)
    precisions = ("float32", "int8", "binary")
    assert [name(row) for row in points(run)] == [
        *(f"{system}.{cut}.{precision}" for cut in ("384", "96", "96a", "48", "48a") for precision in precisions
          for system in ("pretrained", "pretrained+bm25")),
        "pretrained-via-48-int8.384.int8", "pretrained-via-384-binary.384.int8",
        "bm25", "bm25-default",
    ]  # fmt: skip
    assert run.recommendation["decision"] == "do not ship"
    assert not run.folder.path("models").exists()
    assert not run.folder.path("training").exists() and list(run.results["trained"]) == []


def test_load_run_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not the folder of a finished run"):
        nestvec.load_run(tmp_path)


def test_run_folder_names_stay_as_designed():
    folder = RunFolder(__import__("pathlib").Path("x"))
    assert str(folder.run("mnr.48.int8")) == "x/runs/mnr.48.int8.trec"
    assert str(folder.model("mnr")) == "x/models/mnr"
