"""Oracle: Lucene's BM25 written out from its definition (Robertson's weights with the idf that is never negative)."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.words import WordForms

DOCUMENTS = [
    "cordless drill 18 v with two drill bits",
    "deck screw 2 in",
    "deck screw 3 in coated",
    "garden hose 50 ft",
    "drill",
]  # no word that a stemmer changes but "bits"
QUERIES = ["drill", "deck screw 3 in", "drill drill deck", "2", "DRILL, deck!"]


def words(text):
    return [word.rstrip("s") for word in re.findall(r"\w+", text.lower())]


def lucene(query, documents, k1=1.5, b=0.75):
    """(d,) scores: idf tf / (tf + k1 (1 - b + b length / mean length)), summed over the query's words."""
    held = [words(text) for text in documents]
    mean = sum(map(len, held)) / len(held)
    scores = []
    for text in held:
        total = 0.0
        for word in words(query):
            having = sum(word in other for other in held)
            idf = math.log(1 + (len(held) - having + 0.5) / (having + 0.5))
            total += idf * text.count(word) / (text.count(word) + k1 * (1 - b + b * len(text) / mean))
        scores.append(total)
    return np.array(scores)


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.3, 0.6), (0.01, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize("query", QUERIES)
def test_scores_are_lucenes(query, k1, b):
    expected = lucene(query, DOCUMENTS, k1, b)
    rows, scores = Bm25.of(DOCUMENTS, LexicalSettings(k1=k1, b=b)).top_k([query], 5)
    assert scores[0] == pytest.approx(expected[rows[0]], abs=1e-6)
    assert rows[0].tolist() == sorted(range(5), key=lambda row: (-round(expected[row], 6), row))


def test_many_queries_are_each_query_alone():
    many = [QUERIES[place % len(QUERIES)] for place in range(150)]  # more than a step
    seen: list[int] = []
    rows, scores = Bm25.of(DOCUMENTS).top_k(many, 3, seen.append)
    for place, query in enumerate(many):
        alone = Bm25.of(DOCUMENTS).top_k([query], 3)
        assert np.array_equal(rows[place], alone[0][0])
        assert np.array_equal(scores[place], alone[1][0])
    assert sum(seen) == 150
    assert len(seen) == 3


@pytest.mark.parametrize("query", ["chainsaw", "!?", "drillx saw"])
def test_a_query_with_no_known_word_ranks_all_at_0_in_tie_order(query):
    rows, scores = Bm25.of(DOCUMENTS).top_k([query], 4)
    assert rows.tolist() == [[0, 1, 2, 3]]
    assert not scores.any()


def test_equal_documents_have_equal_scores_and_keep_their_order():
    documents = ["saw", *["deck screw 3 in"] * 7, "deck"]
    rows, scores = Bm25.of(documents).top_k(["deck screw"], 9)
    assert rows[0, :7].tolist() == list(range(1, 8))
    assert len(set(scores[0, :7].tolist())) == 1


def test_other_words_count_too():
    documents = ["перфоратор 800 вт", "дрель 500 вт", "ø 40 mm rohr", "écrou"]
    rows, scores = Bm25.of(documents).top_k(["ДРЕЛЬ", "Écrou", "ø"], 1)
    assert rows[:, 0].tolist() == [1, 3, 2]
    assert (scores[:, 0] > 0).all()


def test_documents_without_a_word_are_ranked_in_tie_order():
    rows, scores = Bm25.of(["!!", "??", "--"]).top_k(["drill", "saw"], 2)
    assert rows.tolist() == [[0, 1], [0, 1]]
    assert not scores.any()
    mixed, _ = Bm25.of(["!!", "drill"]).top_k(["drill"], 2)
    assert mixed.tolist() == [[1, 0]]


def test_pairs_score_as_in_rankings():
    index = Bm25.of(DOCUMENTS)
    rows, scores = index.top_k(QUERIES, 5)
    queries = np.repeat(np.arange(len(QUERIES)), 5)
    assert np.array_equal(
        index.score_pairs(index.counts.count_queries(QUERIES), queries, rows.reshape(-1)), scores.reshape(-1)
    )


def test_all_scores_are_those_of_pairs_to_the_last_bit():
    words, rng = [f"w{place}" for place in range(40)], np.random.default_rng(3)
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(1, 30, 170)]
    index = Bm25.of(texts, LexicalSettings(k1=0.9, b=0.4))
    asked = index.counts.count_queries([*texts[:90], "zzz"])  # more than are scored at a time
    query, rows = (places.ravel() for places in np.mgrid[:91, :170])
    assert index.score_all(asked).ravel().tolist() == index.score_pairs(asked, query, rows).tolist()


def test_scores_are_those_of_bm25s():
    import bm25s

    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{number}" for number in rng.zipf(1.5, rng.integers(1, 30)) % 200) for _ in range(300)]
    peer = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    peer.index([text.split() for text in texts], show_progress=False)
    index = Bm25.of(texts, LexicalSettings(WordForms(stem=False), 0.9, 0.4))
    for query in texts[:20]:
        rows, scores = index.top_k([query], 300)
        assert scores[0] == pytest.approx(peer.get_scores(query.split())[rows[0]], abs=1e-4)
