"""Oracles: fractions by hand; pytrec_eval (trec_eval's own code, its tie rule included) on the tied scores;
ir_measures on the same ranking. Never two kinds of nDCG in one call: pytrec_eval would mix them up."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_measures import RR, Judged, R, nDCG

from nestvec.evaluation.metrics import UNJUDGED, Judgements, judged_share, ndcg, recall, reciprocal_rank
from nestvec.vectors.topk import best_rows, tie_order

RELEVANT = 1500
CUTOFFS = (1, 3, 10, 100)
GAINS = (0, 333, 1333, 1499, 1500, 1667, 2000)
NAMES = ("recall@10", "mrr@10", "ndcg@10", "judged@10")
ALPHABET = "aAbZz0_é\u00ff\uffee\U0001f600"  # beyond the basic plane, UTF-16 and UTF-8 order differ


@st.composite
def topics(draw):
    """Gains and scores of one query: few distinct scores, so ties everywhere, and a corpus that may be tiny."""
    size = draw(st.integers(1, 30))
    ids = draw(st.lists(st.text(ALPHABET, min_size=1, max_size=4), min_size=size, max_size=size, unique=True))
    gain = draw(st.lists(st.sampled_from((UNJUDGED, *GAINS)), min_size=size, max_size=size))
    assume(max(gain) >= RELEVANT)
    score = draw(st.lists(st.sampled_from((-0.5, 0.0, 0.25, 0.25 + 1e-10, 0.5, 1.0)), min_size=size, max_size=size))
    return ids, np.array(gain), np.array(score)


def our_order(ids, score):
    """Rows in the order of our tie rule."""
    order = tie_order(ids)
    return order[best_rows(score[order].astype(np.float32), len(ids))]


def measured(gain, order):
    """Our metrics of one query's ranking."""
    rows = np.flatnonzero(gain != UNJUDGED)
    judgements = Judgements(np.zeros(len(rows), dtype=np.int64), rows, gain[rows], (1, len(gain)), RELEVANT)
    found = judgements.measure(np.zeros(1, dtype=np.int64), order[None, :], CUTOFFS)
    return {name: float(values[0]) for name, values in found.items()}


def qrels_of(ids, gain):
    return {"q": {name: int(value) for name, value in zip(ids, gain, strict=True) if value != UNJUDGED}}


@settings(max_examples=300, deadline=None)
@given(topics())
def test_as_trec_eval_scores_the_tied_run(topic):
    ids, gain, score = topic
    order = our_order(ids, score)
    found = measured(gain, order)
    run = {"q": dict(zip(ids, score.tolist(), strict=True))}
    peer = pytrec_eval.RelevanceEvaluator(qrels_of(ids, gain), {"recall_10", "ndcg_cut_10"}, relevance_level=RELEVANT)
    theirs = peer.evaluate(run)["q"]
    assert found["recall@10"] == pytest.approx(theirs["recall_10"], abs=1e-9)
    assert found["ndcg@10"] == pytest.approx(theirs["ndcg_cut_10"], abs=1e-9)
    peer = pytrec_eval.RelevanceEvaluator(qrels_of(ids, gain), {"recip_rank"}, relevance_level=RELEVANT)
    first = peer.evaluate(run)["q"]["recip_rank"]
    assert found["mrr@10"] == pytest.approx(first if first > 1 / 10.5 else 0.0, abs=1e-9)


def by_trec_eval(ids, gain, run):
    """The same metrics from trec_eval's code on a run, at every cutoff."""
    cuts = ",".join(map(str, CUTOFFS))
    asked = {f"recall.{cuts}", f"P.{cuts}", f"success.{cuts}", "map", "recip_rank", f"ndcg_cut.{cuts}"}
    found = pytrec_eval.RelevanceEvaluator(qrels_of(ids, gain), asked, relevance_level=RELEVANT).evaluate(run)["q"]
    grown = np.where(gain == UNJUDGED, gain, np.round(1e6 * (np.exp2(np.maximum(gain, 0) / 1000) - 1)).astype(int))
    peer = pytrec_eval.RelevanceEvaluator(qrels_of(ids, grown), {f"ndcg_cut.{cuts}"})
    exponential = peer.evaluate(run)["q"]
    names = {"recall": "recall", "precision": "P", "accuracy": "success", "ndcg": "ndcg_cut"}
    values = {f"{ours}@{cut}": found[f"{theirs}_{cut}"] for ours, theirs in names.items() for cut in CUTOFFS}
    values |= {f"ndcg-exp@{cut}": exponential[f"ndcg_cut_{cut}"] for cut in CUTOFFS}
    first = found["recip_rank"]  # of the whole run: one further down than the cutoff counts as none
    values |= {f"mrr@{cut}": first if first > 1 / (cut + 0.5) else 0.0 for cut in CUTOFFS}
    return {**values, "map": found["map"]}


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(topics())
def test_every_metric_is_trec_evals(topic):
    ids, gain, score = topic
    found = measured(gain, our_order(ids, score))
    theirs = by_trec_eval(ids, gain, {"q": dict(zip(ids, score.tolist(), strict=True))})
    assert {name: found[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(topics())
def test_condensed_metrics_are_trec_evals_on_the_judged_documents_alone(topic):
    ids, gain, score = topic
    found = measured(gain, our_order(ids, score))
    known = [place for place in range(len(ids)) if gain[place] != UNJUDGED]
    theirs = by_trec_eval(ids, gain, {"q": {ids[place]: float(score[place]) for place in known}})
    assert {name: found[f"condensed-{name}"] for name in theirs} == pytest.approx(theirs, abs=1e-6)
    assert set(found) == {*theirs, *(f"condensed-{name}" for name in theirs), *(f"judged@{cut}" for cut in CUTOFFS)}


def test_as_sentence_transformers_evaluator_measures():
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    rng = np.random.default_rng(4)
    gain = np.where(rng.random((40, 60)) < 0.1, 2000, UNJUDGED)
    gain[:, 0] = 2000
    order = np.argsort(rng.random((40, 60)), axis=1)
    query, document = np.nonzero(gain > 0)
    judgements = Judgements(query, document, gain[query, document], gain.shape, RELEVANT)
    ours = judgements.measure(np.arange(40), order, (1, 5, 10))
    relevant = {str(row): {str(column) for column in np.flatnonzero(gain[row] > 0)} for row in range(40)}
    peer = InformationRetrievalEvaluator(
        {name: name for name in relevant}, {str(column): "" for column in range(60)}, relevant,
        mrr_at_k=[1, 5, 10], ndcg_at_k=[1, 5, 10], accuracy_at_k=[1, 5, 10], precision_recall_at_k=[1, 5, 10],
        map_at_k=[60],
    )  # fmt: skip
    ranked = [[{"corpus_id": str(column), "score": -rank} for rank, column in enumerate(row)] for row in order]
    theirs = peer.compute_metrics(ranked)
    names = {
        "recall": "recall@k",
        "precision": "precision@k",
        "mrr": "mrr@k",
        "ndcg": "ndcg@k",
        "accuracy": "accuracy@k",
    }
    for mine, other in names.items():
        for cut in (1, 5, 10):
            assert ours[f"{mine}@{cut}"].mean() == pytest.approx(theirs[other][cut], abs=1e-9), (mine, cut)
    assert ours["map"].mean() == pytest.approx(theirs["map@k"][60], abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(topics())
def test_as_ir_measures_scores_the_ranking(topic):
    ids, gain, score = topic
    order = our_order(ids, score)
    found = measured(gain, order)
    run = {"q": {ids[row]: float(-rank) for rank, row in enumerate(order)}}
    asked = [R(rel=RELEVANT) @ 10, RR(rel=RELEVANT) @ 10, nDCG @ 10, Judged @ 10]
    theirs = ir_measures.calc_aggregate(asked, qrels_of(ids, gain), run)
    assert {name: found[name] for name in NAMES} == pytest.approx(
        {name: theirs[entry] for name, entry in zip(NAMES, asked, strict=True)}, abs=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(topics(), min_size=2, max_size=6))
def test_many_queries_at_once_are_each_query_alone(several):
    size = max(len(gain) for _, gain, _ in several)
    parts = [(query, row, gain[row]) for query, (_, gain, _) in enumerate(several) for row in range(len(gain))]
    kept = np.array([part for part in parts if part[2] != UNJUDGED])
    order = np.stack([np.append(our_order(ids, score), np.arange(len(ids), size)) for ids, _, score in several])
    rows = np.arange(len(several))[::-1]  # asked in another order than stored
    shuffled = np.random.default_rng(0).permutation(len(kept))
    together = Judgements(*kept[shuffled].T, (len(several), size), RELEVANT).measure(rows, order[rows], CUTOFFS)
    padded = [np.append(gain, np.full(size - len(gain), UNJUDGED)) for _, gain, _ in several]
    alone = [measured(padded[row], order[row]) for row in rows]
    for name in together:
        assert together[name].tolist() == [entry[name] for entry in alone]  # the same bits


def test_fractions_by_hand():
    ranked = np.array([[UNJUDGED, 2000, 0, 1500], [UNJUDGED, UNJUDGED, 0, 500]])
    assert recall(ranked, RELEVANT, np.array([3, 1])).tolist() == [2 / 3, 0]
    assert reciprocal_rank(ranked, RELEVANT).tolist() == [1 / 2, 0]
    assert judged_share(ranked).tolist() == [3 / 4, 2 / 4]
    ideal = np.array([[2000, 1500, 1500, 0], [1500, 500, 0, 0]])
    log = np.log2([2, 3, 4, 5])
    first = (2000 / log[1] + 1500 / log[3]) / (2000 / log[0] + 1500 / log[1] + 1500 / log[2])
    second = (500 / log[3]) / (1500 / log[0] + 500 / log[1])
    assert ndcg(ranked, ideal).tolist() == pytest.approx([first, second], abs=1e-12)


def test_a_ranking_shorter_than_the_ideal_is_measured_against_the_whole_ideal():
    gain = np.array([2000, 2000, 1500, UNJUDGED])
    peer = pytrec_eval.RelevanceEvaluator(qrels_of("abcd", gain), {"ndcg_cut_10"})
    theirs = peer.evaluate({"q": {"a": 2.0, "d": 1.0}})["q"]["ndcg_cut_10"]
    assert measured(gain, np.array([0, 3]))["ndcg@10"] == pytest.approx(theirs, abs=1e-9)


def test_the_best_possible_order_scores_1_and_only_ten_places_count():
    gain = np.array([2000] * 12 + [0] * 20)
    perfect = measured(gain, np.arange(32))
    assert {name: perfect[name] for name in NAMES} == {
        "recall@10": 10 / 12, "mrr@10": 1.0, "ndcg@10": 1.0, "judged@10": 1.0
    }  # fmt: skip
    late = measured(gain, np.roll(np.arange(32), 20)[:32])  # the first twenty places hold gains of 0
    assert [late[name] for name in NAMES[:3]] == [0.0, 0.0, 0.0]
