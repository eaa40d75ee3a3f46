"""Oracle: a full sort of exact (float64, rounded once) scores by the written rule: score down, then id bytes down."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nestvec.vectors import topk
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.topk import best_rows, rerank, tie_order, top_k

FEW = st.sampled_from(np.array([-1, -0.5, 0, 0.5, 1], dtype=np.float32))


def naive(scores, k):
    """Places by falling score, of equal ones the smaller first: Python's own sort."""
    return sorted(range(len(scores)), key=lambda place: (-float(scores[place]), place))[:k]


def unit(rng, rows, width):
    vectors = rng.normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 40), elements=FEW), st.integers(1, 40))
def test_best_rows_is_a_full_sort(scores, k):
    k = min(k, len(scores))
    assert best_rows(scores, k).tolist() == naive(scores, k)


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4)), elements=FEW),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=FEW),
    st.integers(1, 35),
)
def test_tied_vectors_are_ranked_as_by_a_full_sort(queries, documents, k):
    rows, scores = top_k(queries, documents, k)
    kept = min(k, len(documents))
    assert rows.shape == scores.shape == (len(queries), kept)
    for place, exact in enumerate(queries.astype(float) @ documents.astype(float).T):  # quarters: no rounding
        assert rows[place].tolist() == naive(exact, kept)
        assert scores[place].tolist() == exact[rows[place]].tolist()


@pytest.mark.parametrize(("documents", "width"), [(7, 384), (1003, 384), (1500, 48), (2049, 1)])
def test_random_vectors_are_ranked_as_by_a_full_sort(documents, width):
    rng = np.random.default_rng(documents)
    asked, held = unit(rng, 23, width), unit(rng, documents, width)
    rows, scores = top_k(asked, held, 100)
    for place, query in enumerate(asked):
        exact = (held.astype(float) * query.astype(float)).sum(axis=1).astype(np.float32)
        assert rows[place].tolist() == naive(exact, 100)
        assert scores[place].tolist() == exact[rows[place]].tolist()


@pytest.mark.parametrize("queries", [1, 37])
def test_the_same_vector_has_the_same_score_wherever_it_stands(queries):
    # a matrix product alone parts them: for one query everywhere, for many on processors without AVX-512
    rng = np.random.default_rng(0)
    documents = unit(rng, 1003, 384)
    documents[503:] = documents[:500]
    rows, scores = top_k(unit(rng, queries, 384), documents, 1003)
    for found, values in zip(rows, scores, strict=True):
        by_row = dict(zip(found.tolist(), values.tolist(), strict=True))
        assert all(by_row[row] == by_row[row + 503] for row in range(500))
        place = {row: rank for rank, row in enumerate(found.tolist())}
        assert all(place[row] < place[row + 503] for row in range(500))


def test_rounding_decides_nothing_at_the_last_place():
    rng = np.random.default_rng(4)
    documents = np.tile(unit(rng, 1, 384), (1003, 1))
    for query in unit(rng, 50, 384):  # one at a time, where the last columns are rounded differently
        rows, _ = top_k(query[None, :], documents, 1)
        assert rows.tolist() == [[0]]


@pytest.mark.parametrize("chunk", [1, 2, 5, 36, 37])
def test_chunks_change_nothing(monkeypatch, chunk):
    rng = np.random.default_rng(1)
    queries, documents = unit(rng, 37, 384), unit(rng, 501, 384)
    whole = top_k(queries, documents, 10)
    monkeypatch.setattr(topk, "_CELLS", chunk * 501)
    monkeypatch.setattr(topk, "_STEP", 4)  # documents scored anew in pieces, too
    pieces = top_k(queries, documents, 10)
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_scores_that_differ_only_beyond_float32_tie():
    queries = np.array([[1, 1]], dtype=np.float32)
    documents = np.array([[0.5, 0], [0.5, 1e-8], [0.5, 1e-7], [0.5, -1e-8]], dtype=np.float32)
    rows, scores = top_k(queries, documents, 4)
    assert rows.tolist() == [[2, 0, 1, 3]]
    assert scores.tolist() == [[np.float32(0.5000001), 0.5, 0.5, 0.5]]


def test_scores_are_rounded_once():
    rng = np.random.default_rng(3)
    queries, documents = unit(rng, 2, 97), unit(rng, 40, 97)
    rows, scores = top_k(queries, documents, 40)
    for query, found, values in zip(queries, rows, scores, strict=True):
        for row, value in zip(found, values, strict=True):
            pairs = zip(query.tolist(), documents[row].tolist(), strict=True)
            exact = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction())
            assert value == np.float32(float(exact))


def test_vectors_of_zeros_keep_the_tie_order():
    rows, scores = top_k(np.zeros((2, 3), dtype=np.float32), np.ones((9, 3), dtype=np.float32), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert not scores.any()


@settings(max_examples=200)
@given(st.lists(st.text(min_size=1, max_size=4).filter(lambda text: text.isprintable()), unique=True))
@example(["\uffee", "\U0001f600", "é", "z", "Z", "10", "9"])
def test_ids_are_compared_as_bytes(ids):
    assert [ids[row] for row in tie_order(ids)] == sorted(ids, key=str.encode, reverse=True)


# Blocks, codes and shortlists


def in_full(queries, documents, k):
    """Every score, as `top_k` promises it: summed in float64, rounded once, the smaller row first."""
    scores = (queries.astype(float)[:, None, :] * documents[None]).sum(axis=2).astype(np.float32)
    rows = np.stack([np.lexsort((np.arange(len(documents)), -row))[:k] for row in scores])
    return rows, np.take_along_axis(scores, rows, axis=1)


@pytest.mark.parametrize("cells", [1, 50, 400, 10**6])
@pytest.mark.parametrize("room", [0, 5, 10**6])
def test_blocks_and_settling_change_nothing(monkeypatch, cells, room):
    rng = np.random.default_rng(2)
    drawn = rng.normal(size=(40, 6)).astype(np.float32)
    documents = drawn[rng.integers(0, 40, 300)]  # each stands there several times
    queries = rng.normal(size=(7, 6)).astype(np.float32)
    monkeypatch.setattr("nestvec.vectors.topk._CELLS", cells)
    monkeypatch.setattr("nestvec.vectors.topk._ROOM", room)
    monkeypatch.setattr("nestvec.vectors.topk._QUERIES", 3)
    for k in (1, 9, 300):
        expected = in_full(queries, documents, k)
        found = top_k(queries, documents, k)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_a_corpus_of_equal_documents_is_settled_as_it_goes(monkeypatch):
    monkeypatch.setattr("nestvec.vectors.topk._CELLS", 1000)
    monkeypatch.setattr("nestvec.vectors.topk._ROOM", 100)
    documents = np.tile(np.float32([0.6, 0.8]), (5000, 1))
    rows, scores = top_k(documents[:3], documents, 10)
    assert rows.tolist() == [list(range(10))] * 3
    assert scores == pytest.approx(np.ones((3, 10)))


@pytest.mark.parametrize("precision", CODECS)
def test_codes_are_ranked_as_what_they_decode_to(precision):
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(500, 24)).astype(np.float32)
    queries = rng.normal(size=(9, 24)).astype(np.float32)
    codec = CODECS[precision](documents)
    codes = codec.encode(documents)
    found, expected = top_k(queries, codes, 20, codec.decode), top_k(queries, codec.decode(codes), 20)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_a_shortlist_is_ranked_as_if_nothing_else_were_there():
    rng = np.random.default_rng(1)
    documents = rng.normal(size=(60, 5)).astype(np.float32)
    documents[30:] = documents[:30]
    queries = rng.normal(size=(4, 5)).astype(np.float32)
    rows = np.stack([rng.permutation(60)[:20] for _ in range(4)])
    found, scores = rerank(queries, documents, rows)
    for place, mine in enumerate(np.sort(rows, axis=1)):
        best, values = in_full(queries[place : place + 1], documents[mine], 20)
        assert np.array_equal(found[place], mine[best[0]])
        assert np.array_equal(scores[place], values[0])


def test_blocks_over_codes_in_a_mapped_file_change_nothing(monkeypatch, tmp_path):
    rng = np.random.default_rng(5)
    documents, queries = unit(rng, 1001, 24), unit(rng, 17, 24)
    codec = CODECS["int8"](documents)
    np.save(tmp_path / "codes.npy", codec.encode(documents))
    expected = top_k(queries, codec.decode(codec.encode(documents)), 20)
    monkeypatch.setattr(topk, "_CELLS", 17 * 30)
    monkeypatch.setattr(topk, "_STEP", 7)
    found = top_k(queries, np.load(tmp_path / "codes.npy", mmap_mode="r"), 20, codec.decode)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_no_more_than_a_block_is_decoded_at_once(monkeypatch):
    monkeypatch.setattr(topk, "_CELLS", 400)
    monkeypatch.setattr(topk, "_STEP", 30)
    monkeypatch.setattr(topk, "_ROOM", 8)  # all queries share a pass
    documents, seen = unit(np.random.default_rng(6), 900, 8), []

    def decode(codes):
        seen.append(len(codes))
        return codes.astype(np.float32)

    top_k(documents[:10], documents, 5, decode)
    assert max(seen) == 40  # 400 cells for 10 queries
    assert sum(seen) < 900 + 10 * 20  # each once, and a few more than 5 contenders of each query anew


def test_a_document_is_decoded_once_for_all_its_queries(monkeypatch):
    """The oracle is the sum that a score is defined as; blocks are smaller than what any document is asked by."""
    monkeypatch.setattr(topk, "_STEP", 7)
    rng = np.random.default_rng(8)
    documents, queries, seen = unit(rng, 40, 8), unit(rng, 30, 8), []

    def decode(codes):
        seen.append(len(codes))
        return codes

    query, rows = (places.ravel() for places in np.meshgrid(np.arange(30), rng.permutation(40)[:25]))
    scores = topk.score_pairs(queries, documents, decode, query, rows)
    assert scores.tolist() == (documents[rows].astype(float) * queries[query]).sum(axis=1).astype(np.float32).tolist()
    assert sum(seen) == 25 and max(seen) == 7
    assert topk.score_pairs(queries, documents, decode, query[:0], rows[:0]).shape == (0,)


def test_the_best_documents_may_come_last(monkeypatch):
    monkeypatch.setattr(topk, "_CELLS", 90)
    monkeypatch.setattr(topk, "_ROOM", 8)
    rising = np.linspace(-1, 1, 500, dtype=np.float32)[:, None]  # each document beats all before it
    rows, _ = top_k(np.float32([[1], [-1], [0]]), rising, 6)
    assert rows.tolist() == [list(range(499, 493, -1)), list(range(6)), list(range(6))]


@pytest.mark.parametrize("scale", [1e-3, 1, 300])
def test_lengths_that_differ_by_block_lose_no_contender(monkeypatch, scale):
    # documents as good as equal among ones of other lengths, where rounding is coarser or finer
    rng = np.random.default_rng(8)
    documents = np.tile(unit(rng, 1, 64), (600, 1)) * (1 + 1e-7 * rng.normal(size=(600, 1)))
    documents[::7] = unit(rng, 86, 64) * scale
    documents, queries = documents.astype(np.float32), unit(rng, 6, 64)
    monkeypatch.setattr(topk, "_CELLS", 6 * 50)
    monkeypatch.setattr(topk, "_ROOM", 10)
    expected = in_full(queries, documents, 12)
    assert all(np.array_equal(a, b) for a, b in zip(top_k(queries, documents, 12), expected, strict=True))
