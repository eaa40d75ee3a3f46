"""What grades gain and count, from the source to the report: zero, what is not listed, positives only, warnings.

Oracle: trec_eval (pytrec_eval) on the source's own qrels; the table in shared/cases/README.md; and for what is refused,
that nothing was written.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import rows, write_csv

import nestvec
from nestvec.data.split import FEWEST_QUERIES
from nestvec.errors import InputError
from nestvec.evaluation.metrics import Judgements
from nestvec.pipeline.inputs import prepare, read_task
from nestvec.runs.tables import read_qrels
from nestvec.settings import NEED_NEGATIVES, TRAINABLE, Settings

CASES = Path(__file__).parents[1] / "data" / "cases"
SMALL = {"resamples": 100, "precisions": "int8", "bigger": "", "test": 0.4, "validation": 0.2, "batch_size": 8}


def write_collection(folder, qrels):
    """A collection in BEIR's form: query number to document number to grade; 30 documents."""
    (folder / "qrels").mkdir(parents=True)
    queries = [json.dumps({"_id": f"q{query}", "text": f"red hammer {query}"}) for query in qrels]
    corpus = [json.dumps({"_id": f"d{number}", "text": f"hammer number {number}"}) for number in range(30)]
    lines = [f"q{query}\td{number}\t{grade}" for query, judged in qrels.items() for number, grade in judged.items()]
    for name, content in {"queries.jsonl": queries, "corpus.jsonl": corpus}.items():
        (folder / name).write_text("\n".join(content) + "\n")
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    return folder


def read_source_qrels(folder):
    """Query text to document id to grade, of all that the file holds."""
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    texts = {query["_id"]: query["text"] for query in queries}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(texts[query], {})[document] = int(grade)
    return qrels


def compare_with_trec_eval(folder, rng, **options):
    """Rank at random, and measure with nestvec and with trec_eval on the source's qrels."""
    import pytrec_eval

    records, grades, task = read_task(Settings.from_flat({"source": str(folder), **options}))
    shape = len(task.ids), len(task.catalogue)
    judgements = Judgements(task.topic, task.document, task.gain, shape, task.relevant_from)
    ranked = np.array([rng.permutation(shape[1])[: min(100, shape[1])] for _ in task.ids])
    found = judgements.measure(np.arange(shape[0]), ranked, (5, 10))
    names = [records.document_ids[row] for row in task.catalogue]
    run = {query: {names[row]: float(-place) for place, row in enumerate(rows)}
           for query, rows in zip(task.texts, ranked.tolist(), strict=True)}  # fmt: skip
    qrels = {query: judged for query, judged in read_source_qrels(folder).items() if query in run}
    level = int(np.ceil(grades.threshold))
    measures = {"ndcg_cut.5,10", "recall.5,10", "P.5,10", "map"}
    scored = pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=level).evaluate(run)
    pairs = {"ndcg@5": "ndcg_cut_5", "ndcg@10": "ndcg_cut_10", "recall@5": "recall_5", "recall@10": "recall_10"}
    for ours, theirs in {**pairs, "precision@10": "P_10", "map": "map"}.items():
        assert found[ours].tolist() == pytest.approx([scored[query][theirs] for query in task.texts], abs=1e-9), ours
    return grades


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("beir_negative", {}),
        ("beir_negative", {"threshold": 1}),
        ("beir_negative", {"threshold": 2}),
        ("beir_nfcorpus", {}),
        ("beir_nfcorpus", {"threshold": 1}),
        ("beir_nfcorpus", {"threshold": 2}),
        ("beir_selfid", {}),
    ],
)
def test_metrics_of_any_run_are_trec_evals_on_the_sources_qrels(case, options):
    for seed in range(5):
        grades = compare_with_trec_eval(CASES / case, np.random.default_rng(seed), **options)
    assert grades.zero == 0


judged = st.dictionaries(st.integers(0, 29), st.integers(-3, 4), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(st.lists(judged, min_size=FEWEST_QUERIES + 10, max_size=45), st.integers(0, 9))
def test_so_they_are_for_any_grades(tmp_path_factory, qrels, seed):
    everything = [grade for judged in qrels for grade in judged.values()]
    assume(max(everything) > 0)
    folder = write_collection(tmp_path_factory.mktemp("any"), dict(enumerate(qrels)))
    try:
        compare_with_trec_eval(folder, np.random.default_rng(seed), protocol="by-query")
    except InputError as error:
        assert "split holds no relevant record" in error.problem
        assert "records of each grade: " in error.problem


@pytest.mark.parametrize("case", ["beir_nfcorpus", "beir_negative"])
def test_a_run_of_grades_that_gain_nothing(case, tiny, tmp_path):
    """The run's own files give trec_eval's figures on the source's qrels; the report shows grades as they stand."""
    import pytrec_eval

    found = nestvec.run(str(CASES / case), tmp_path / "run", model=str(tiny), epochs=0, **SMALL)
    run = nestvec.load_run(tmp_path / "run")
    gains = read_qrels(run.folder.path("qrels"))
    source = read_source_qrels(CASES / case)
    texts = dict(zip(run.queries.ids, run.queries.texts, strict=True))
    source = {query: source[texts[query]] for query in gains}
    assert gains == {
        query: {name: max(0, 1000 * grade) for name, grade in judged.items()} for query, judged in source.items()
    }
    assert run.grades.gain_zero == 0 and json.loads(run.folder.path("grades").read_text())["zero"] == 0
    evaluator = pytrec_eval.RelevanceEvaluator(source, {"ndcg_cut_10"})
    for system, points in run.systems.items():
        for point in points:
            scored = evaluator.evaluate(
                {query: {name: -float(rank) for rank, name in enumerate(ranked)}
                 for query, ranked in run.ranking(point.name, set(gains)).items()}
            )  # fmt: skip
            mean = np.mean([entry["ndcg_cut_10"] for entry in scored.values()])
            assert run.points[point.name].metrics["ndcg@10"].value == pytest.approx(mean, abs=1e-6), system
    from nestvec.report.content import read_content

    content = read_content(run)
    shown = [
        ranked for change in (*content.changes.gained, *content.changes.lost) for top in change.top for ranked in top
    ]
    names = dict(zip(run.catalogue.texts, run.catalogue.ids, strict=True))
    by_query = dict(zip(run.queries.texts, run.queries.ids, strict=True))
    for change in (*content.changes.gained, *content.changes.lost):
        for ranked in change.top[0]:
            assert ranked.grade == source[by_query[change.query]].get(names.get(ranked.text, ranked.text))
    assert shown and found is not None


# --- relevant documents only


@pytest.mark.parametrize("system", TRAINABLE)
def test_systems_that_need_low_grades_say_so_before_anything_is_written(system, tiny, tmp_path):
    flat = {"source": str(CASES / "beir_nfcorpus"), "model": str(tiny), "systems": system, **SMALL}
    if system not in NEED_NEGATIVES:
        prepare(Settings.from_flat(flat))
        return
    with pytest.raises(InputError) as caught:
        nestvec.run(out=tmp_path / "run", **flat)
    assert caught.value.problem == (
        f"system {system} needs documents that were judged not relevant; the data holds relevant ones only"
    )
    assert caught.value.expected == "--systems mnr,matryoshka"
    assert not (tmp_path / "run").exists()
    prepare(Settings.from_flat({**flat, "threshold": 2}))  # then grade 1 is not relevant
    prepare(Settings.from_flat({**flat, "epochs": 0}))
    with pytest.raises(InputError, match="needs documents") as caught:
        prepare(Settings.from_flat({**flat, "systems": f"graded,{system}"}))
    assert caught.value.expected == "--systems graded"


def test_pairs_alone_run_from_end_to_end(tiny, tmp_path):
    table = [{key: row[key] for key in ("query", "document")} for row in rows() if row["grade"] == 3]
    source = write_csv(tmp_path / "pairs.csv", table)
    options = {"model": str(tiny), "systems": "mnr,matryoshka,graded", "positives_only": True, **SMALL}
    nestvec.run(str(source), tmp_path / "run", **options)
    run = nestvec.load_run(tmp_path / "run")
    assert set(run.results.trained) == {"mnr", "matryoshka", "graded"}
    assert (run.grades.threshold, run.grades.threshold_source, run.grades.unlisted) == (1, "listed", 0)
    assert {gain for judged in run.judgements.values() for gain in judged.values()} == {1000}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "whatever is not listed as grade 0" in page
    assert "all listed documents are relevant, as unlisted ones have grade 0" in page
    found = nestvec.check(str(source), tmp_path / "check", positives_only=True)
    assert not any("% of the records are relevant" in warning for warning in found.warnings)


def test_one_grade_alone_says_positives_only(tmp_path):
    table = [row for row in rows() if row["grade"] == 3]
    source = write_csv(tmp_path / "judged.csv", table)
    with pytest.raises(InputError, match="every grade is 3") as caught:
        nestvec.check(str(source))
    assert "--positives-only" in caught.value.expected
    with pytest.raises(InputError, match="every grade is 3"):
        nestvec.check(str(source), threshold=3)
    assert nestvec.check(str(source), positives_only=True).facts["grades"]["unlisted"] == 0


def test_three_listed_grades_may_begin_with_a_bad_one(tmp_path):
    """Home Depot's grades 1 to 3 as a collection: nothing is judged 0, yet 1 means that a document does not fit."""
    folder = write_collection(
        tmp_path / "beir", {query: {query % 30: 1, (query + 1) % 30: 2, (query + 2) % 30: 3} for query in range(40)}
    )
    found = nestvec.check(str(folder))
    assert found.facts["grades"]["threshold_source"] == "listed"
    assert (
        found.warnings[0].startswith("All rows count as relevant (grade 1 or higher)")
        and "--threshold" in found.warnings[0]
    )
    assert not any("count as relevant" in warning for warning in nestvec.check(str(folder), threshold=2).warnings)
    assert not any("count as relevant" in warning for warning in nestvec.check(str(CASES / "beir_nfcorpus")).warnings)


def test_tables_joined_by_id_are_a_table(tmp_path):
    """Home Depot as it comes, its documents in a file of their own: grade 1 gains nothing."""
    table = rows()
    (tmp_path / "joined").mkdir()
    write_csv(
        tmp_path / "joined" / "train.csv",
        [{"search_term": row["query"], "product_uid": row["document"], "relevance": row["grade"]} for row in table],
    )
    products = {
        row["document"]: {"product_uid": row["document"], "product_description": f"{row['document']} red"}
        for row in table
    }
    write_csv(tmp_path / "joined" / "product_descriptions.csv", list(products.values()))
    _, grades, _ = read_task(Settings.from_flat({"source": str(tmp_path / "joined")}))
    assert (grades.zero, grades.unlisted, grades.threshold) == (1, None, 1.5)


# --- too many relevant


def write_skewed(path):
    table = rows()
    for place, row in enumerate(table):
        row["grade"] = (0, 2, 3, 3, 2, 1, 3, 2, 3, 2)[place % 10]
    return write_csv(path, table)


def test_too_many_relevant_is_a_warning_in_check_and_run(tiny, tmp_path):
    source = write_skewed(tmp_path / "judged.csv")
    [warning] = [text for text in nestvec.check(str(source)).warnings if "% of the records are relevant" in text]
    assert warning.startswith("80.0 % of the records are relevant (grade 1.5 or higher)") and "--threshold" in warning
    prepared = prepare(Settings.from_flat({"source": str(source), "model": str(tiny), **SMALL}))
    [finding] = [finding for finding in prepared.records.findings if finding.name.startswith("relevant records, more")]
    assert finding.count == 240 and "from grade 1.5 on" in finding.action and "--threshold" in finding.action
    assert finding.examples == ("records of each grade: 0: 30, 1: 30, 2: 120, 3: 120",)
    quiet = prepare(Settings.from_flat({"source": str(source), "model": str(tiny), "threshold": 3, **SMALL}))
    assert not [finding for finding in quiet.records.findings if finding.name.startswith("relevant records, more")]


def test_a_split_left_empty_shows_threshold_and_histogram(tmp_path):
    table = rows()
    table[0]["grade"] = 9
    with pytest.raises(InputError, match="split holds no relevant record") as caught:
        nestvec.check(str(write_csv(tmp_path / "judged.csv", table)), threshold=5)
    assert "relevant from grade 5 on (as given); records of each grade: 1: 120, 2: 60, 3: 119, 9: 1" in str(
        caught.value
    )
    assert "--threshold" in caught.value.expected
