"""One suite for every precision. Oracles: the score's formula over decoded codes, written out; numpy's own count of the
codes' bytes; the closed form of a rounding step; exact float32 search for what a code may lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nestvec.settings import PRECISIONS
from nestvec.vectors.codecs import CODECS, Float32, Int8, prefix
from nestvec.vectors.topk import top_k

UNIT = st.floats(-1, 1, width=32).map(lambda value: value if abs(value) > 1e-6 else 0.0)
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=UNIT)
KEPT = {"float32": 1.0, "int8": 0.95}  # of the ten nearest, on random directions, which are the hardest
WIDTHS = (384, 48, 1)


def directions(rows, width, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(params=list(CODECS))
def precision(request):
    return request.param


@pytest.mark.parametrize("width", WIDTHS)
def test_bytes_per_vector_are_those_of_the_codes(precision, width):
    documents = directions(33, width)
    codec = CODECS[precision](documents)
    codes = codec.encode(documents)
    assert codec.bytes_per_vector == codes.nbytes / len(documents)
    assert isinstance(codec.bytes_per_vector, int)  # it goes into JSON
    assert codec.decode(codes).shape == documents.shape
    assert codec.decode(codes).dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(vectors=MATRICES, data=st.data())
@pytest.mark.parametrize("name", list(CODECS))
def test_batches_code_and_decode_as_the_whole(name, vectors, data):
    codec = CODECS[name](vectors)
    codes = codec.encode(vectors)
    cut = data.draw(st.integers(0, len(vectors)))
    assert np.array_equal(np.concatenate([codec.encode(vectors[:cut]), codec.encode(vectors[cut:])]), codes)
    parts = [codec.decode(codes[:cut]), codec.decode(codes[cut:])]
    assert np.array_equal(np.concatenate(parts), codec.decode(codes))
    assert np.array_equal(codec.decode(codec.encode(vectors)), codec.decode(codes))  # nothing is kept between calls


@settings(max_examples=100, deadline=None)
@given(MATRICES)
@pytest.mark.parametrize("name", list(CODECS))
def test_what_is_decoded_codes_to_the_same(name, vectors):
    codec = CODECS[name](vectors)
    codes = codec.encode(vectors)
    assert np.array_equal(codec.encode(codec.decode(codes)), codes)


def test_zeros_decode_to_zeros(precision):
    documents = directions(5, 8)
    documents[2] = 0
    documents[:, 3] = 0
    codec = CODECS[precision](documents)
    decoded = codec.decode(codec.encode(documents))
    assert not decoded[2].any()
    assert not decoded[:, 3].any()
    nothing = np.zeros((3, 8), dtype=np.float32)
    assert not CODECS[precision](nothing).decode(CODECS[precision](nothing).encode(nothing)).any()


def test_no_document_is_no_error(precision):
    codec = CODECS[precision](np.empty((0, 8), dtype=np.float32))
    assert codec.decode(codec.encode(directions(4, 8))).shape == (4, 8)


@pytest.mark.parametrize("width", (384, 48))
def test_neighbours_are_kept(precision, width):
    documents, queries = directions(2000, width), directions(50, width, seed=1)
    codec = CODECS[precision](documents)
    exact, _ = top_k(queries, documents, 10)
    found, _ = top_k(queries, codec.decode(codec.encode(documents)), 10)
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), found.tolist(), strict=True)])
    assert kept >= KEPT[precision]


def test_scores_of_float32_are_the_dot_product():
    documents, query = directions(20, 48), directions(1, 48, seed=1)
    codec = Float32.fit(documents)
    assert np.array_equal(codec.decode(codec.encode(documents)), documents)
    _, scores = top_k(query, codec.decode(codec.encode(documents)), 20)
    assert scores[0].tolist() == pytest.approx(sorted((documents @ query[0]).tolist(), reverse=True), abs=1e-6)


def test_scores_of_int8_are_the_query_times_steps_times_codes():
    documents, query = directions(20, 48), directions(1, 48, seed=1)
    codec = Int8.fit(documents)
    codes = codec.encode(documents)
    step = np.abs(documents).max(axis=0) / np.float32(127)
    assert codes.dtype == np.int8
    assert codes.tolist() == [[round(float(value)) for value in row] for row in documents / step]
    direct = [sum(float(query[0, i]) * int(row[i]) * float(step[i]) for i in range(48)) for row in codes]
    rows, scores = top_k(query, codec.decode(codes), 20)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_int8_is_never_further_off_than_half_a_step(vectors):
    codec = Int8.fit(vectors)
    off = np.abs(codec.decode(codec.encode(vectors)) - vectors)
    assert (off <= np.abs(vectors).max(axis=0) / 127 * 0.50001 + 1e-12).all()


def test_int8_cuts_what_lies_beyond_the_documents_it_was_fitted_on():
    codec = Int8.fit(np.array([[0.5, -0.25]], dtype=np.float32))
    beyond = codec.encode(np.array([[9, -9], [-9, 9]], dtype=np.float32))
    assert beyond.tolist() == [[127, -127], [-127, 127]]


@settings(max_examples=200, deadline=None)
@given(MATRICES, st.data())
def test_a_prefix_is_the_first_numbers_at_unit_length(vectors, data):
    dimension = data.draw(st.integers(1, vectors.shape[1]))
    before = vectors.copy()
    found = prefix(vectors, dimension)
    assert found.shape == (len(vectors), dimension)
    assert found.dtype == np.float32
    for row, whole in zip(found, vectors[:, :dimension].astype(float), strict=True):
        length = np.sqrt((whole**2).sum())
        assert row.tolist() == pytest.approx((whole / length if length else whole).tolist(), abs=1e-6)
    assert np.array_equal(vectors, before)


def test_a_prefix_of_a_prefix_is_the_prefix():
    vectors = directions(30, 384)
    assert prefix(prefix(vectors, 192), 48) == pytest.approx(prefix(vectors, 48), abs=1e-6)


@pytest.mark.parametrize("dimension", [0, -1, 9])
def test_a_prefix_that_is_no_prefix_is_refused(dimension):
    with pytest.raises(ValueError, match=f"dimension {dimension} is not between 1 and 8"):
        prefix(directions(2, 8), dimension)


def test_the_settings_offer_what_there_is():
    assert tuple(CODECS) == PRECISIONS
