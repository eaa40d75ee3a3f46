"""Oracles: pytrec_eval and ir_measures re-reading the run files that were written; pyarrow reading the table."""

from __future__ import annotations

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
from nestvec.point import Point
from nestvec.runs.tables import write_per_query, write_ranking

RELEVANT = 1500
NAMES = ("recall@10", "mrr@10", "ndcg@10", "judged@10")


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
    return ids, gains, rows, np.take_along_axis(scores, rows, axis=1)


@settings(max_examples=100, deadline=None)
@given(rankings())
def test_any_tool_reads_our_figures_from_the_run_file(tmp_path_factory, made):
    ids, gains, rows, scores = made
    path = tmp_path_factory.mktemp("runs") / "bm25.trec"
    write_ranking(path, "bm25", ["q0", "q1", "q2"], [[ids[row] for row in ranked] for ranked in rows], scores)
    query, document = np.nonzero(gains >= 0)
    judgements = Judgements(query, document, gains[query, document], gains.shape, RELEVANT)
    ours = judgements.measure(np.arange(3), rows)
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


def test_a_run_file_holds_every_bit_of_an_untied_score(tmp_path):
    scores = np.sort(np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32), axis=1)[:, ::-1]
    write_ranking(tmp_path / "run", "mnr.48.int8", ["q0", "q2"], ["cadb", "cadb"], scores)
    lines = [line.split(" ") for line in (tmp_path / "run").read_text().splitlines()]
    assert [line[:4] for line in lines] == [
        [query, "Q0", name, str(rank)] for query in ("q0", "q2") for rank, name in enumerate("cadb", start=1)
    ]
    assert {line[5] for line in lines} == {"mnr.48.int8"}
    write_ranking(tmp_path / "other", "50% %s", ["q%d"], ["%a"], scores[:1, :2])
    assert (tmp_path / "other").read_text() == "".join(
        f"q%d Q0 {name} {rank} {score:.9g} 50% %s\n"
        for name, rank, score in zip("%a", (1, 2), scores[0].tolist()[:2], strict=True)
    )
    assert np.array([line[4] for line in lines], dtype=np.float32).tolist() == scores.ravel().tolist()


def test_tied_scores_are_written_falling_whether_read_as_float_or_double(tmp_path):
    for value in (0.0, 0.3, -0.3, 1.0, 17.25, 1e-12, -1e-20):
        ids, scores = [f"{row:03}" for row in range(100)], np.full((1, 100), value, dtype=np.float32)
        write_ranking(tmp_path / "run", "bm25", ["q0"], [ids], scores)
        written = [line.split()[4] for line in (tmp_path / "run").read_text().splitlines()]
        for kind in (np.float32, np.float64):
            read = np.array(written, dtype=kind)
            assert np.diff(read).max() < -5e-13  # no step that a reader may take for none
            assert read == pytest.approx(np.full(100, value), abs=2e-4, rel=1e-4)


def test_per_query_values_as_parquet(tmp_path):
    rng, splits = np.random.default_rng(0), ["test", "validation", "test"]
    points = (Point("mnr", 48, "int8", 48), Point("bm25", None, None))
    values = {point: {name: rng.random(3) for name in NAMES} for point in points}
    write_per_query(tmp_path / "per_query.parquet", values, ["q0", "q1", "q2"], splits)
    table = pq.read_table(tmp_path / "per_query.parquet")
    text = pa.string()
    assert [(entry.name, entry.type) for entry in table.schema] == [
        ("split", text), ("system", text), ("dimension", pa.int32()), ("precision", text),
        ("query_id", text), ("metric", text), ("value", pa.float64()), ("axes", pa.bool_()),
    ]  # fmt: skip
    expected = [
        {"split": split, "system": point.system, "dimension": point.dimension, "precision": point.precision,
         "query_id": f"q{row}", "metric": name, "value": float(column[row]), "axes": False}
        for point, metrics in values.items()
        for name, column in metrics.items()
        for row, split in enumerate(splits)
    ]  # fmt: skip
    assert table.to_pylist() == expected
    assert pq.ParquetFile(tmp_path / "per_query.parquet").num_row_groups == len(points)
