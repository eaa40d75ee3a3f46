"""Oracles: vectors small enough to rank by eye; pytrec_eval and ir_measures re-reading what was written; the Parquet
file read back by pyarrow; the statistics' own functions, which have their own tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import ir_measures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_measures import RR, Judged, R, nDCG

from nestvec.evaluation.metrics import Judgements
from nestvec.evaluation.significance import Bootstrap, count_outcomes, effect_size, holm
from nestvec.evaluation.surface import (
    COMPARED,
    Catalogue,
    Ranking,
    Topics,
    compare_systems,
    save_values,
    summarise_surface,
    write_trec_run,
)
from nestvec.point import HYBRID, PCA, TWO_STAGE, Point, full_width

RELEVANT = 1500
BM25 = Point("bm25", None, None, None)
NAMES = ("recall@10", "mrr@10", "ndcg@10", "judged@10")


def topics(queries, splits=None):
    labels = np.array(splits or ["test"] * queries)
    return Topics(np.arange(queries), [f"q{row}" for row in range(queries)], labels)


def dense(system, dimension, precision="float32"):
    return Point(system, dimension, precision, dimension * {"float32": 4, "int8": 1}[precision])


def made_values(points, queries, seed=0):
    rng = np.random.default_rng(seed)
    return {point: {name: rng.random(queries) for name in NAMES} for point in points}


# Run files


@st.composite
def rankings(draw):
    """Tied rankings of three queries over up to 25 documents, in our order, with gains; -1 is unjudged."""
    size = draw(st.integers(1, 25))
    score = st.sampled_from([-1.0, -1e-13, 0.0, 1e-13, 0.25, 0.25 + 2**-26, 0.5, 1.0, 31.75])
    scores = np.array(draw(st.lists(st.lists(score, min_size=size, max_size=size), min_size=3, max_size=3)), np.float32)
    gain = st.sampled_from([-1, 0, 500, 1499, 1500, 2000])
    gains = np.array(draw(st.lists(st.lists(gain, min_size=size, max_size=size), min_size=3, max_size=3)))
    assume((gains >= RELEVANT).any(axis=1).all())
    ids = [f"d{row}é" for row in range(size)]
    order = np.array(sorted(range(size), key=lambda row: ids[row].encode(), reverse=True))
    rows = np.stack([order[np.argsort(-row[order], kind="stable")] for row in scores])
    return ids, gains, Ranking(BM25, rows, np.take_along_axis(scores, rows, axis=1))


@settings(max_examples=100, deadline=None)
@given(rankings())
def test_any_tool_reads_our_figures_from_the_run_file(tmp_path_factory, made):
    ids, gains, ranking = made
    path = tmp_path_factory.mktemp("runs") / "bm25.trec"
    write_trec_run(ranking, topics(3), Catalogue(ids, ids), path)
    query, document = np.nonzero(gains >= 0)
    judgements = Judgements(query, document, gains[query, document], gains.shape, RELEVANT)
    ours = judgements.measure(np.arange(3), ranking.rows)
    qrels = {f"q{q}": {ids[d]: int(gains[q, d]) for d in range(len(ids)) if gains[q, d] >= 0} for q in range(3)}
    with path.open(encoding="utf-8") as stream:
        peer = pytrec_eval.RelevanceEvaluator(qrels, {"recall_10", "ndcg_cut_10"}, relevance_level=RELEVANT)
        theirs = peer.evaluate(pytrec_eval.parse_run(stream))
    asked = [R(rel=RELEVANT) @ 10, RR(rel=RELEVANT) @ 10, nDCG @ 10, Judged @ 10]
    again: dict[str, dict[str, float]] = {}
    for entry in ir_measures.iter_calc(asked, qrels, ir_measures.read_trec_run(str(path))):
        again.setdefault(entry.query_id, {})[str(entry.measure)] = entry.value
    for place in range(3):
        read = theirs[f"q{place}"]
        assert [ours["recall@10"][place], ours["ndcg@10"][place]] == pytest.approx(
            [read["recall_10"], read["ndcg_cut_10"]], abs=1e-9
        )
        assert [ours[name][place] for name in NAMES] == pytest.approx(
            [again[f"q{place}"][str(measure)] for measure in asked], abs=1e-9
        )


def test_a_run_file_holds_the_test_split_and_every_bit_of_an_untied_score(tmp_path):
    scores = np.sort(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), axis=1)[:, ::-1]
    ranking = Ranking(dense("mnr", 48, "int8"), np.tile([2, 0, 3, 1], (3, 1)), scores)
    write_trec_run(ranking, topics(3, ["test", "validation", "test"]), Catalogue("abcd", "abcd"), tmp_path / "run")
    lines = [line.split(" ") for line in (tmp_path / "run").read_text().splitlines()]
    assert [line[:4] for line in lines] == [
        [query, "Q0", name, str(rank)] for query in ("q0", "q2") for rank, name in enumerate("cadb", start=1)
    ]
    assert {line[5] for line in lines} == {"mnr.48.int8"}
    assert np.array([line[4] for line in lines], dtype=np.float32).tolist() == scores[[0, 2]].ravel().tolist()


def test_tied_scores_are_written_falling_whether_read_as_float_or_double(tmp_path):
    for value in (0.0, 0.3, -0.3, 1.0, 17.25, 1e-12, -1e-20):
        ranking = Ranking(BM25, np.arange(100)[None, :], np.full((1, 100), value, dtype=np.float32))
        write_trec_run(ranking, topics(1), Catalogue([f"{row:03}" for row in range(100)], [""] * 100), tmp_path / "run")
        written = [line.split()[4] for line in (tmp_path / "run").read_text().splitlines()]
        for kind in (np.float32, np.float64):
            read = np.array(written, dtype=kind)
            assert np.diff(read).max() < -5e-13  # no step that a reader may take for none
            assert read == pytest.approx(np.full(100, value), abs=2e-4, rel=1e-4)


# Summaries


def test_full_width_is_the_widest_and_most_precise_of_each_system():
    measured = [dense("pretrained", 48), dense("pretrained", 384, "int8"), dense("pretrained", 384),
                dense("mnr", 384), dense("mnr", 192), BM25]  # fmt: skip
    assert full_width(measured) == [BM25, dense("pretrained", 384), dense("mnr", 384)]
    assert full_width([]) == []


def test_summaries_are_means_with_their_intervals_per_split():
    labels = ["test", "validation", "test", "test", "validation"]
    points = [dense("mnr", 384), BM25]
    values = made_values(points, 5)
    bootstraps = {
        "validation": Bootstrap(2, 200, np.random.default_rng(0)),
        "test": Bootstrap(3, 200, np.random.default_rng(1)),
    }
    rows = summarise_surface(values, topics(5, labels), 77, bootstraps)
    assert [(row["system"], row["split"], row["queries"]) for row in rows] == [
        ("mnr", "validation", 2), ("mnr", "test", 3), ("bm25", "validation", 2), ("bm25", "test", 3)
    ]  # fmt: skip
    for row, point in zip(rows, [points[0]] * 2 + [points[1]] * 2, strict=True):
        chosen = np.array(labels) == row["split"]
        assert {name: row[name] for name in ("dimension", "precision", "bytes_per_vector", "documents")} == {
            "dimension": point.dimension, "precision": point.precision,
            "bytes_per_vector": point.bytes_per_vector, "documents": 77,
        }  # fmt: skip
        assert list(row["metrics"]) == list(NAMES)
        for name, entry in row["metrics"].items():
            expected = bootstraps[row["split"]].interval(values[point][name][chosen])
            assert list(entry) == ["value", "low", "high"]
            assert entry["value"] == pytest.approx(values[point][name][chosen].mean())
            assert (entry["low"], entry["high"]) == pytest.approx((expected.low, expected.high))


def test_comparisons_are_every_pair_at_full_width_on_the_test_split():
    points = [dense("pretrained", 8), dense("pretrained", 4), dense("mnr", 8), dense("matryoshka", 8), BM25]
    values = made_values(points, 60)
    labels = ["test"] * 40 + ["validation"] * 20
    for point in points[2:4]:  # a gain that is seen on validation only must not show
        values[point]["recall@10"][40:] += 5
    values[points[3]]["mrr@10"][:40] += 1
    bootstrap = Bootstrap(40, 500, np.random.default_rng(0))
    found = compare_systems(values, topics(60, labels), bootstrap, 500, np.random.default_rng(1))
    names = ["matryoshka.8.float32", "mnr.8.float32", "pretrained.8.float32", "bm25"]
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    assert [(row["a"], row["b"], row["metric"]) for row in found] == [
        (*pair, name) for pair in pairs for name in COMPARED
    ]
    assert [row["p_holm"] for row in found] == holm([row["p"] for row in found])
    by_name = {point.name: point for point in points}
    for row in found:
        difference = (values[by_name[row["a"]]][row["metric"]] - values[by_name[row["b"]]][row["metric"]])[:40]
        assert row["difference"] == pytest.approx(difference.mean())
        assert abs(row["difference"]) < 1.5
        assert row["low"] <= row["difference"] <= row["high"]
        assert list(row) == [
            "a", "b", "split", "metric", "difference", "low", "high", "effect", "wins", "ties", "losses", "p", "p_holm"
        ]  # fmt: skip
        assert row["effect"] == effect_size(difference)
        counted = count_outcomes(difference)
        assert (row["wins"], row["ties"], row["losses"]) == (counted.wins, counted.ties, counted.losses)
        planted = row["a"].startswith("matryoshka") and row["metric"] == "mrr@10"
        assert (row["p_holm"] < 0.05) == planted


def test_what_is_shown_at_full_width_is_compared_and_nothing_else():
    made = dense("mnr", 384)
    others = [replace(made, system=f"mnr-{kind}", kind=kind) for kind in (PCA, TWO_STAGE)]
    points = [made, *others, replace(made, system="mnr+bm25", kind=HYBRID), BM25]
    bootstrap = Bootstrap(30, 200, np.random.default_rng(0))
    found = compare_systems(made_values(points, 30), topics(30), bootstrap, 200, np.random.default_rng(1))
    pairs = {frozenset((row["a"], row["b"])) for row in found}
    names = ("mnr.384.float32", "mnr+bm25.384.float32", "bm25")
    assert pairs == {frozenset(pair) for pair in combinations(names, 2)}


def test_a_text_that_is_asked_twice_is_drawn_as_one():
    asked = Topics(np.arange(4), list("abcd"), np.array(["test"] * 4), np.array([0, 0, 1, 2]))
    bootstrap = asked.bootstraps(400, np.random.default_rng(0))["test"]
    first = bootstrap.means(np.array([1.0, 0, 0, 0]))[:, 0]
    second = bootstrap.means(np.array([0, 1.0, 0, 0]))[:, 0]
    third = bootstrap.means(np.array([0, 0, 1.0, 0]))[:, 0]
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_per_query_values_as_parquet(tmp_path):
    values = made_values([dense("mnr", 48, "int8"), BM25], 3)
    save_values(values, topics(3, ["test", "validation", "test"]), tmp_path / "per_query.parquet")
    table = pq.read_table(tmp_path / "per_query.parquet")
    text = pa.string()
    assert [(entry.name, entry.type) for entry in table.schema] == [
        ("split", text), ("system", text), ("dimension", pa.int32()), ("precision", text),
        ("query_id", text), ("metric", text), ("value", pa.float64()),
    ]  # fmt: skip
    expected = [
        {"split": split, "system": point.system, "dimension": point.dimension, "precision": point.precision,
         "query_id": f"q{row}", "metric": name, "value": float(column[row])}
        for point, metrics in values.items()
        for name, column in metrics.items()
        for row, split in enumerate(["test", "validation", "test"])
    ]  # fmt: skip
    assert table.to_pylist() == expected
