"""What is fitted on training queries.

Oracles: the same table with the held-out rows' grades turned round, which must change nothing; a catalogue made so that
one setting is right; averages by hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tables import load, rows, write_csv

from nestvec.data.grades import read_grades
from nestvec.data.split import split_records
from nestvec.data.task import ask_training_queries, make_task
from nestvec.evaluation.fit import (
    FEWEST_QUERIES,
    FITTED,
    K1,
    WEIGHTS,
    B,
    FitQueries,
    _most_even_of_the_best,
    _smooth,
    fit_fusion,
    fit_words,
)
from nestvec.evaluation.metrics import Judgements
from nestvec.evaluation.ranking import Vectors, code_documents
from nestvec.evaluation.surface import Catalogue
from nestvec.lexical.bm25 import UNTUNED, Bm25
from nestvec.lexical.corrections import RULES
from nestvec.point import VectorFormat
from nestvec.settings import DataSettings, SplitSettings
from nestvec.vectors.cut import prefix


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    records = load(write_csv(tmp_path_factory.mktemp("fit") / "judged.csv", list(rows(queries=60, each=5))))
    parts = split_records(records, DataSettings(), SplitSettings(), 1)
    return records, parts


def asked(records, parts, most=1000):
    grades = read_grades(records.grade, 1.5, None)
    return ask_training_queries(records, grades, make_task(records, grades, parts, "leak-free"), most, 1)


def fit_on(records, parts):
    """The keyword leg that the training queries choose."""
    found = asked(records, parts)
    shape = len(found.texts), len(records.documents)
    judgements = Judgements(found.topic, found.document, found.gain, shape, 500)
    catalogue = Catalogue(records.document_ids, records.documents, found.own)
    return fit_words(FitQueries(found.texts, judgements, catalogue, "recall@10"), "english")


def swap_letters(text):
    """A misspelt query: the second and third letter of its first word change places."""
    return text[0] + text[2] + text[1] + text[3:]


def turn_grades(records, held_out):
    """Grades with those of the held-out records turned round: low is high."""
    grades = records.grade.copy()
    grades[held_out] = grades.max() + grades.min() - grades[held_out]
    return replace(records, grade=grades)


def test_answers_planted_in_validation_or_test_change_nothing(split):
    records, parts = split
    held_out = parts != 0
    assert 20 < held_out.sum() < len(parts)
    first, second = asked(records, parts), asked(turn_grades(records, held_out), parts)
    assert first.texts == second.texts
    for name in ("topic", "document", "gain"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_queries_are_of_the_training_split_and_have_an_answer(split):
    records, parts = split
    found = asked(records, parts, 10)
    training = {records.queries[query] for query in records.query[parts == 0]}
    assert len(found.texts) == 10 and set(found.texts) <= training
    assert set(found.topic[found.gain >= 500]) == set(range(10))


@pytest.mark.parametrize("kept", [True, False])
def test_only_training_queries_say_whether_words_are_corrected(split, kept):
    records, parts = split
    held_out = parts != 0
    misspelt = set(records.query[~held_out if kept else held_out].tolist())
    texts = [swap_letters(text) if row in misspelt else text for row, text in enumerate(records.queries)]
    records = replace(records, queries=texts)
    words, settings, tried = fit_on(records, parts)
    assert settings.correction == (RULES if kept else None)
    assert words.correct(["hmamer size 3"]) == ["hammer size 3" if kept else "hmamer size 3"]
    again, same, others = fit_on(turn_grades(records, held_out), parts)
    assert (same, others) == (settings, tried)
    assert (again.corrector and again.corrector.vocabulary) == (words.corrector and words.corrector.vocabulary)


def words_world(queries):
    """Documents of one word each said often, and short ones that answer: a low k1 is right."""
    rng = np.random.default_rng(4)
    texts, topic, document = [], [], []
    for query in range(queries):
        texts += [f"w{query} x{query}", *[f"w{query} " * 30 + f"y{query}"] * 12]
        topic.append(query)
        document.append(13 * query)
    order = rng.permutation(len(texts))
    catalogue = Catalogue([f"d{place:05}" for place in order], texts)
    gain = np.full(queries, 2000)
    judgements = Judgements(np.array(topic), np.array(document), gain, (queries, len(texts)), 1000)
    return FitQueries([f"w{query} x{query}" for query in range(queries)], judgements, catalogue, "recall@10")


@pytest.mark.parametrize("metric", ["recall@10", "ndcg@1", "map", "condensed-ndcg@10", "condensed-map"])
def test_what_is_fitted_by_is_the_metric_of_the_whole_ranking(metric):
    world = replace(words_world(30), metric=metric)
    rows = np.array([np.random.default_rng(query).permutation(len(world.catalogue.ids))[:100] for query in range(30)])
    whole = world.judgements.measure(np.arange(30), rows, (1, 10))[metric]
    assert world.measure(rows).tolist() == whole.tolist()


def test_few_queries_decide_nothing():
    few = words_world(FEWEST_QUERIES - 1)
    words, settings, tried = fit_words(few, "english")
    assert settings == UNTUNED and (words.k1, words.b) == (UNTUNED.k1, UNTUNED.b)
    assert list(tried) == ["bm25-default"]


def test_the_settings_chosen_are_as_good_as_any_on_the_grid():
    queries = words_world(30)
    words, settings, tried = fit_words(queries, "english")
    assert (words.k1, words.b) == (settings.k1, settings.b)
    reached = [
        queries.measure(queries.catalogue.order[Bm25(words.counts, k1, b).top_k(queries.texts, 10)[0]]).mean()
        for k1 in K1 for b in B
    ]  # fmt: skip
    assert tried[f"k1 {settings.k1:g}, b {settings.b:g}"] >= max(reached) - 0.02


def test_what_is_fitted_may_go_by_any_metric():
    for metric in ("map", "ndcg@10", "mrr@5"):
        _, _, tried = fit_words(replace(words_world(30), metric=metric), "english")
        assert 0 < tried["bm25-default"] <= 1


def test_of_weights_that_cannot_be_told_from_the_best_the_most_even_is_taken():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.5, 400)
    flat = np.stack([noise + rng.normal(0, 0.1, 400) for _ in WEIGHTS])
    assert WEIGHTS[_most_even_of_the_best(flat)] == pytest.approx(0.5, abs=0.1)
    peaked = np.stack([noise + 0.3 - 0.1 * abs(place - 3) for place in range(len(WEIGHTS))])
    assert _most_even_of_the_best(peaked) == 3  # without doubt


@pytest.mark.parametrize("useful", ["words", "vectors"])
def test_the_leg_that_knows_the_answers_gets_the_weight(useful):
    queries = words_world(30)
    rng = np.random.default_rng(2)
    count = len(queries.catalogue.texts)
    documents = prefix(rng.normal(size=(count, 16)).astype(np.float32), 16)
    near = documents[::13] if useful == "vectors" else rng.normal(size=(30, 16))
    vectors = Vectors(prefix(np.asarray(near, dtype=np.float32), 16), documents)
    texts = queries.texts if useful == "words" else [f"y{query}" for query in rng.permutation(30)]
    asking = replace(queries, texts=texts)
    words, _, _ = fit_words(asking, "english")
    formats = [VectorFormat(16, precision) for precision in FITTED]
    fusion, weights, tried = fit_fusion(asking, words, code_documents("pretrained", vectors, asking.catalogue, formats))
    assert set(weights) == {"16.float32", "16.binary"} and set(weights.values()) <= set(WEIGHTS)
    assert fusion.weight == weights["16.float32"] == weights["16.binary"]  # a width's formats share it
    assert (fusion.weight > 0.5) == (useful == "words")
    assert {"best normalisation", "range normalisation", "reciprocal rank"} == set(tried)


@pytest.mark.parametrize(
    ("query", "kept"),
    [("{}", False), ("{}x", True), ("{}drill", True), ("x{}other", False)],  # nothing to gain; near; joined; not near
)
def test_correction_is_kept_where_it_helps(query, kept):
    rng = np.random.default_rng(6)
    names = ["".join(rng.choice(list("bcdfghklmnprst"), 8)) for _ in range(40)]
    texts = [f"{name} drill {place}" for name in names for place in range(2)] + ["other drill"] * 40
    catalogue = Catalogue([f"d{place:05}" for place in range(len(texts))], texts)
    topic, document = np.repeat(np.arange(40), 2), np.arange(80)
    judgements = Judgements(topic, document, np.full(80, 2000), (40, len(texts)), 1000)
    queries = FitQueries([query.format(name) for name in names], judgements, catalogue, "recall@10")
    words, settings, tried = fit_words(queries, "english")
    assert (settings.correction == RULES, words.corrector is not None) == (kept, kept)
    assert words.settings == settings and "with corrected words" in tried


def test_a_correction_that_misleads_is_not_kept():
    """Each query has a known word that finds its answer; the unknown one is near a word of other documents."""
    names = [f"{first}{second}lock" for first in "bcdfgh" for second in "aeiou"]
    texts = [f"{name} {place}" for name in names for place in range(30)] + [f"hinge {name}s" for name in names]
    texts = [text for text in texts for _ in range(2)]
    catalogue = Catalogue([f"d{place:05}" for place in range(len(texts))], texts)
    answers = [texts.index(f"{name} 7") for name in names]
    judgements = Judgements(np.arange(30), np.array(answers), np.full(30, 2000), (30, len(texts)), 1000)
    queries = FitQueries(["7 hinger"] * 30, judgements, catalogue, "recall@100")
    before, _, tried = fit_words(queries, "english")
    assert before.corrector is None
    assert tried["with corrected words"] < max(value for name, value in tried.items() if name.startswith("k1"))


def test_scripts_without_spaces_are_not_corrected():
    queries = words_world(30)
    _, settings, tried = fit_words(queries, "cjk")
    assert settings.correction is None and "with corrected words" not in tried


def test_smoothing_takes_the_mean_of_neighbours():
    grid = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 12.0]])
    expected = [[2.5, 2.5], [4.5, 4.5], [6.0, 6.0]]
    assert _smooth(grid).tolist() == expected
    assert _smooth(np.array([[1.0], [2.0], [6.0]])).tolist() == [[1.5], [3.0], [4.0]]
