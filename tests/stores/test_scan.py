"""Oracle: the codec's own decoding; a rough score never hides a document that belongs among the best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.stores.scan import Scan, score_bound
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import rerank

WIDTHS = (1, 3, 8, 16, 31, 32, 64, 100, 384)


def drawn(seed, documents, width, lean, spread):
    """Vectors that lean as one towards a direction, some of them alike, and one of zeros."""
    rng = np.random.default_rng(seed)
    vectors = spread * rng.normal(size=(documents, width)) + lean * rng.normal(size=width)
    vectors[:2] = vectors[0]
    vectors[-1] = 0
    return prefix(vectors.astype(np.float32), width), prefix(rng.normal(size=(3, width)).astype(np.float32), width)


def exact(codec, codes, query):
    order, scores = rerank(query[None], codes, np.arange(len(codes))[None], codec.decode)
    found = np.empty(len(codes), dtype=np.float32)
    found[order[0]] = scores[0]
    return found


@settings(max_examples=60, deadline=None)
@given(
    precision=st.sampled_from(list(CODECS)),
    width=st.sampled_from(WIDTHS),
    seed=st.integers(0, 2**20),
    lean=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    fitted=st.integers(2, 40),
)
def test_no_document_scores_above_the_bound_of_its_rough_score(precision, width, seed, lean, fitted):
    vectors, queries = drawn(seed, 40, width, lean, 1.0)
    codec = CODECS[precision](vectors[:fitted])  # what came later may lie beyond the fitted ranges
    codes = codec.encode(vectors)
    scan = Scan.of(codec, codes)
    for query in [*queries, -queries[0], vectors[0], np.zeros(width, dtype=np.float32)]:
        rough, rows = scan.search(query[None], 40)
        assert sorted(rows[0].tolist()) == list(range(40))
        scores = exact(codec, codes, query)
        for value, row in zip(rough[0].tolist(), rows[0].tolist(), strict=True):
            assert scores[row] <= score_bound(codec, query, value)


@settings(max_examples=40, deadline=None)
@given(
    precision=st.sampled_from(["int4", "int2", "binary"]),
    width=st.sampled_from(WIDTHS),
    seed=st.integers(0, 2**20),
    lean=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    k=st.sampled_from([1, 7, 40]),
)
def test_codes_laid_out_for_a_fast_search_hide_nothing(precision, width, seed, lean, k):
    """A scan that is asked again; neither what it gives nor what it leaves out scores above its bound."""
    vectors, queries = drawn(seed, 400, width, lean, 1.0)
    codec = CODECS[precision](vectors[:50])
    codes = codec.encode(vectors)
    scan = Scan.of(codec, codes)
    scan.search(queries[:1], 1)
    for query in [*queries, -queries[0], vectors[0], np.zeros(width, dtype=np.float32)]:
        rough, rows = scan.search(query[None], k)
        assert scan.is_fast and len(set(rows[0].tolist())) == k
        assert (np.diff(rough[0]) <= 0).all()
        scores = exact(codec, codes, query)
        for value, row in zip(rough[0].tolist(), rows[0].tolist(), strict=True):
            assert scores[row] <= score_bound(codec, query, value)
        others = np.setdiff1d(np.arange(400), rows[0])
        assert scores[others].max() <= score_bound(codec, query, float(rough[0, -1]))


def test_a_fast_search_bounds_closely():
    """Tables of bytes are off by less than what binary codes are off by themselves."""
    vectors, queries = drawn(3, 4000, 384, 0.5, 1.0)
    codec = CODECS["binary"](vectors)
    scan = Scan.of(codec, codec.encode(vectors))
    slow, _ = scan.search(queries, 50)
    fast, _ = scan.search(queries, 50)
    assert scan.is_fast
    assert (fast >= slow - 1e-6).all() and (fast - slow).max() < 0.02


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("width", WIDTHS)
def test_rough_scores_are_the_scores_where_nothing_is_left_out(precision, width):
    vectors, queries = drawn(1, 200, width, 0.5, 1.0)
    codec = CODECS[precision](vectors)
    codes = codec.encode(vectors)
    rough, rows = Scan.of(codec, codes).search(queries, 200)
    for query, values, places in zip(queries, rough, rows, strict=True):
        assert np.allclose(values, exact(codec, codes, query)[places], atol=2e-6)


@pytest.mark.parametrize("precision", CODECS)
def test_the_file_holds_the_very_codes(tmp_path, precision):
    vectors, queries = drawn(2, 60, 48, 0.5, 1.0)
    codec = CODECS[precision](vectors)
    codes = codec.encode(vectors)
    Scan.of(codec, codes).save(tmp_path / "codes.faiss")
    opened = Scan.open(codec, tmp_path / "codes.faiss", 60)
    assert len(opened) == 60
    rows = np.array([59, 0, 7, 7])
    assert np.array_equal(opened.codes_at(rows), codes[rows])
    assert opened.codes_at(rows).dtype == codes.dtype
    found, again = opened.search(queries, 5), Scan.of(codec, codes).search(queries, 5)
    assert np.array_equal(found[1], again[1])
    # what is stored beside the codes does not grow with them
    assert (tmp_path / "codes.faiss").stat().st_size - 60 * codec.bytes_per_vector < 500_000


def test_any_faiss_reads_the_file(tmp_path):
    import faiss

    vectors, queries = drawn(3, 60, 48, 0.5, 1.0)
    codec = CODECS["int8"](vectors)
    Scan.of(codec, codec.encode(vectors)).save(tmp_path / "codes.faiss")
    scores, rows = faiss.read_index(str(tmp_path / "codes.faiss")).search(queries, 5)
    decoded = queries @ codec.decode(codec.encode(vectors)).T
    assert np.allclose(scores, np.take_along_axis(decoded, rows, axis=1), atol=2e-6)
    assert np.allclose(scores, np.sort(decoded, axis=1)[:, ::-1][:, :5], atol=2e-6)
