"""One suite for every precision. Oracles: the score's formula over decoded codes, written out; numpy's own count of the
codes' bytes; a code's bits, read as a text of 0 and 1; the closed form of a rounding step; exact float32 search for
what a code may lose; Max's published errors of the best uniform quantiser; RaBitQ's estimator, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_vectors import directions, like_a_models, on_the_edge
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nestvec.settings import PRECISIONS
from nestvec.vectors.codecs import CODECS, Binary, Float32, Int8, prefix
from nestvec.vectors.rotation import rotation
from nestvec.vectors.topk import top_k

UNIT = st.floats(-1, 1, width=32).map(lambda value: value if abs(value) > 1e-6 else 0.0)
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=UNIT)
KEPT = {"float32": 1.0, "int8": 0.95, "int4": 0.8, "int2": 0.5, "binary": 0.25}  # of the ten nearest of 2,000
BITS = {"float32": 32, "int8": 8, "int4": 4, "int2": 2, "binary": 1}  # of a number
UNIFORM = {"int4": (0.3352, 0.01154), "int2": (0.9957, 0.1188)}  # step and squared error; Max 1960, table II
WIDTHS = (384, 48, 13, 9, 1)


def numbers(code, bits):
    """A code's bytes as one text of 0 and 1, cut into whole numbers."""
    text = "".join(f"{byte:08b}" for byte in code)
    return [int(text[first : first + bits], 2) for first in range(0, len(text), bits)]


@pytest.fixture(params=list(CODECS))
def precision(request):
    return request.param


@pytest.mark.parametrize("width", WIDTHS)
def test_bytes_per_vector_are_those_of_the_codes(precision, width):
    documents = directions(33, width)
    codec = CODECS[precision](documents)
    codes = codec.encode(documents)
    assert codec.bytes_per_vector == codes.nbytes / len(documents)
    assert codec.bytes_per_vector == math.ceil(width * BITS[precision] / 8)
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


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_pieces_of_any_size_code_and_decode_as_the_whole(precision, piece):
    vectors = np.concatenate([like_a_models(400), on_the_edge(200)])
    codec = CODECS[precision](vectors)
    codes = codec.encode(vectors)
    starts = range(0, len(vectors), piece)
    assert np.array_equal(np.concatenate([codec.encode(vectors[at : at + piece]) for at in starts]), codes)
    decoded = np.concatenate([codec.decode(codes[at : at + piece]) for at in starts])
    assert np.array_equal(decoded, codec.decode(codes))


@settings(max_examples=100, deadline=None)
@given(MATRICES)
@pytest.mark.parametrize("name", list(CODECS))
def test_what_is_decoded_codes_to_the_same(name, vectors):
    codec = CODECS[name](vectors)
    codes = codec.encode(vectors)
    assert np.array_equal(codec.encode(codec.decode(codes)), codes)


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_zeros_decode_to_zeros(name):
    documents = directions(5, 8)
    documents[2] = 0
    documents[:, 3] = 0
    codec = CODECS[name](documents)
    decoded = codec.decode(codec.encode(documents))
    assert not decoded[2].any()
    assert not decoded[:, 3].any()


@pytest.mark.parametrize("width", [8, 5])
def test_a_zero_vector_codes_to_no_more_than_its_nearest_level(precision, width):
    documents = directions(40, width)
    documents[2] = 0
    codec = CODECS[precision](documents)
    decoded = codec.decode(codec.encode(documents))
    lowest = np.abs(decoded @ rotation(width)).min() if BITS[precision] < 8 else 0
    assert np.isfinite(decoded).all()
    assert np.abs(decoded[2] @ rotation(width)) == pytest.approx(np.full(width, lowest), abs=1e-6)


@pytest.mark.parametrize("value", [0, 1, -1e-3, 1e-30, 1e30])
def test_a_corpus_of_one_constant_vector_survives(precision, value):
    documents = np.full((3, 8), value, dtype=np.float32)
    codec = CODECS[precision](documents)
    decoded = codec.decode(codec.encode(documents))
    assert np.isfinite(decoded).all()
    assert np.array_equal(decoded, decoded[[0, 0, 0]])
    assert decoded.any() == (value != 0)


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


@pytest.mark.parametrize("width", [384, 48])
def test_fewer_bits_lose_more(width):
    documents = directions(2000, width)
    codecs = [fit(documents) for fit in CODECS.values()]
    lost = [float(np.mean((codec.decode(codec.encode(documents)) - documents) ** 2)) for codec in codecs]
    assert lost == sorted(set(lost))
    assert lost[0] == 0


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


@pytest.mark.parametrize("width", [48, 13])
@pytest.mark.parametrize("name", list(UNIFORM))
def test_scores_of_int4_and_int2_are_the_rotated_query_times_levels(name, width):
    documents, query = directions(20, width), directions(1, width, seed=1)
    codec, bits = CODECS[name](documents), BITS[name]
    codes = codec.encode(documents)
    turned = (query[0] @ rotation(width)).tolist()
    levels = [[(number + 0.5 - 2 ** (bits - 1)) * codec.step for number in numbers(row, bits)] for row in codes]
    direct = [sum(a * b for a, b in zip(turned, row, strict=False)) for row in levels]  # the last byte is filled up
    rows, scores = top_k(query, codec.decode(codes), 20)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-6)


@pytest.mark.parametrize("name", list(UNIFORM))
def test_int4_and_int2_take_the_nearest_level(name):
    documents, width = like_a_models(300), 384
    codec = CODECS[name](documents)
    turned, found = documents @ rotation(width), codec.decode(codec.encode(documents)) @ rotation(width)
    ladder = (np.arange(2 ** BITS[name]) + 0.5 - 2 ** (BITS[name] - 1)) * codec.step
    nearest = np.abs(turned[:, :, None] - ladder).min(axis=2)
    assert np.abs(turned - found) == pytest.approx(nearest, abs=1e-6)


@pytest.mark.parametrize("name", list(UNIFORM))
@pytest.mark.parametrize("size", [1, 0.05])
def test_int4_and_int2_reach_the_error_of_the_best_uniform_quantiser(name, size):
    documents = (size * np.random.default_rng(0).normal(size=(3000, 384))).astype(np.float32)
    codec = CODECS[name](documents)
    step, error = UNIFORM[name]
    assert codec.step == pytest.approx(step * size, rel=0.02)
    lost = np.mean((codec.decode(codec.encode(documents)) - documents) ** 2)
    assert lost == pytest.approx(error * size**2, rel=0.01)


@pytest.mark.parametrize("name", list(UNIFORM))
def test_the_step_is_the_best_of_those_tried_on_these_documents(name):
    documents = directions(400, 4)  # not normal: short of its tails
    codec = CODECS[name](documents)
    turned = (documents @ rotation(4)).astype(float)
    ladder = np.arange(2 ** BITS[name]) + 0.5 - 2 ** (BITS[name] - 1)

    def lost(step):
        return float(np.mean(np.abs(turned[:, :, None] - ladder * step).min(axis=2) ** 2))

    tried = [factor / 100 * UNIFORM[name][0] * math.sqrt(float(np.mean(turned**2))) for factor in range(50, 151)]
    assert lost(codec.step) == pytest.approx(min(map(lost, tried)), rel=1e-4)
    assert lost(codec.step) < lost(tried[50]) * 0.99


def test_int2_cuts_what_lies_beyond_the_documents_it_was_fitted_on():
    codec = CODECS["int2"](directions(50, 1))
    assert codec.encode(np.array([[99], [-99]], dtype=np.float32) * rotation(1)).tolist() == [[0b11000000], [0]]


@pytest.mark.parametrize("width", [48, 13])
def test_scores_of_binary_are_the_factor_times_the_rotated_query_with_the_signs(width):
    documents, query = directions(20, width), directions(1, width, seed=1)
    codec = Binary.fit(documents)
    codes, turned = codec.encode(documents), documents @ rotation(width)
    signs = [[1 if bit else -1 for bit in numbers(row, 1)[:width]] for row in codes]
    assert signs == np.where(turned >= 0, 1, -1).tolist()
    assert codec.scale == pytest.approx(1 / float(np.mean(np.abs(turned).sum(axis=1))), rel=1e-5)  # of unit vectors
    direct = [codec.scale * sum(a * b for a, b in zip((query[0] @ rotation(width)).tolist(), row, strict=True))
              for row in signs]  # fmt: skip
    rows, scores = top_k(query, codec.decode(codes), 20)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-6)


def test_binary_estimates_a_dot_product_without_bias():
    width = 384
    documents = directions(4000, width)
    queries = prefix(documents + directions(4000, width, seed=1), width)  # at about 45 degrees to their documents
    codec = Binary.fit(documents)
    truth = (queries * documents).sum(axis=1)
    turned, asked = documents @ rotation(width), queries @ rotation(width)
    rabitq = (asked * np.sign(turned)).sum(axis=1) / np.abs(turned).sum(axis=1)  # with a factor of each vector's own
    estimate = (queries * codec.decode(codec.encode(documents))).sum(axis=1)
    assert abs(np.mean(estimate / truth - 1)) < 0.005
    assert abs(np.mean(rabitq / truth - 1)) < 0.005
    assert np.std(estimate / rabitq - 1) < 0.02  # what one factor for all costs
    assert np.std(estimate / truth - 1) < 0.06  # so that a mean near 0 says something


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
