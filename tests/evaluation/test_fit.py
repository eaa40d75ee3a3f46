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
from nestvec.evaluation.fit import FEWEST_QUERIES, FITTED, K1, WEIGHTS, B, FitQueries, _smooth, fit_fusion, fit_words
from nestvec.evaluation.metrics import Judgements
from nestvec.evaluation.ranking import Vectors, code_documents
from nestvec.evaluation.surface import Catalogue
from nestvec.lexical.bm25 import UNTUNED, Bm25
from nestvec.point import VectorFormat
from nestvec.settings import DataSettings, SplitSettings
from nestvec.vectors.codecs import prefix


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    records = load(write_csv(tmp_path_factory.mktemp("fit") / "judged.csv", list(rows(queries=60, each=5))))
    parts = split_records(records, DataSettings(), SplitSettings(), 1)
    return records, parts


def asked(records, parts, most=1000):
    grades = read_grades(records.grade, 1.5, None)
    return ask_training_queries(records, grades, make_task(records, grades, parts, "leak-free"), most, 1)


def test_answers_planted_in_validation_or_test_change_nothing(split):
    records, parts = split
    grades = records.grade.copy()
    held_out = parts != 0
    assert 20 < held_out.sum() < len(grades)
    grades[held_out] = grades.max() + grades.min() - grades[held_out]
    first, second = asked(records, parts), asked(replace(records, grade=grades), parts)
    assert first.texts == second.texts
    for name in ("topic", "document", "gain"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_queries_are_of_the_training_split_and_have_an_answer(split):
    records, parts = split
    found = asked(records, parts, 10)
    training = {records.queries[query] for query in records.query[parts == 0]}
    assert len(found.texts) == 10 and set(found.texts) <= training
    assert set(found.topic[found.gain >= 500]) == set(range(10))


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
    assert fusion.weight == weights["16.float32"]
    assert (fusion.weight > 0.5) == (useful == "words")
    assert {"best normalisation", "range normalisation", "reciprocal rank"} == set(tried)


def test_smoothing_takes_the_mean_of_neighbours():
    grid = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 12.0]])
    expected = [[2.5, 2.5], [4.5, 4.5], [6.0, 6.0]]
    assert _smooth(grid).tolist() == expected
    assert _smooth(np.array([[1.0], [2.0], [6.0]])).tolist() == [[1.5], [3.0], [4.0]]
