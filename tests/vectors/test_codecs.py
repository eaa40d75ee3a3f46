"""One suite for every precision. Oracles: the score's formula over decoded codes, written out; numpy's own count of the
codes' bytes; a code's bits, read as a text of 0 and 1; the closed form of a rounding step; exact float32 search for
what a code may lose; Max's published errors of the best uniform quantiser; RaBitQ's estimator, written out."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest
from drawn_vectors import directions, like_a_models, on_the_edge
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nestvec.point import PRECISIONS, VectorFormat
from nestvec.vectors.codecs import CODECS, Float32, Int8
from nestvec.vectors.cut import prefix
from nestvec.vectors.rabitq import Rotated
from nestvec.vectors.rotation import rotation
from nestvec.vectors.topk import top_k

UNIT = st.floats(-1, 1, width=32).map(lambda value: value if abs(value) > 1e-6 else 0.0)
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=UNIT)
KEPT = {
    "float32": 1.0,
    "float16": 0.98,
    "int8": 0.95,
    "int4": 0.8,
    "int2": 0.5,
    "binary": 0.25,
}  # of the ten nearest of 2,000
BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}  # of a number
ROTATED = ("int4", "int2")
FEW_BITS = (*ROTATED, "binary")
OWN = dict.fromkeys(FEW_BITS, 2)  # bytes of each vector's own beside its numbers
STEPS = {"int4": 0.3352, "int2": 0.9957}  # of the best uniform quantiser; Max 1960, table II
WIDTHS = (384, 150, 48, 13, 9, 3, 1)


def leaning(rows, width, seed=0):
    """Directions that share a part, as one catalogue's do."""
    return prefix(directions(rows, width, seed) + 0.4 * directions(1, width, seed=77), width)


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
    assert codec.bytes_per_vector == math.ceil(width * BITS[precision] / 8) + OWN.get(precision, 0)
    assert codec.bytes_per_vector == VectorFormat(width, precision).bytes  # what the surface says
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


@pytest.mark.parametrize("name", ROTATED)
def test_a_number_on_the_edge_of_two_levels_gets_the_same_one_in_any_company(name):
    vectors = on_the_edge(200)
    codec = replace(CODECS[name](vectors), axis=np.zeros(384, dtype=np.float32))  # or the axis moves it off the edge
    alone = [codec.encode(vectors[[row]]) for row in range(len(vectors))]
    assert np.array_equal(np.concatenate(alone), codec.encode(vectors))


def test_a_large_corpus_is_fitted_and_coded_without_a_copy_of_it(precision):
    documents = directions(50_000, 64)
    tracemalloc.start()
    try:
        codec = CODECS[precision](documents)
        codes = codec.encode(documents)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    room = 0 if precision == "float32" else 2 * codes.nbytes  # the pieces, and what they are put together to
    held = {"binary": 7}.get(precision, 4) if precision in FEW_BITS else 0  # copies in float64 of a sample of one size
    fitted = 2_000_000 * 8 * held
    assert most < room + fitted + 4096 * 64 * 8 * 3


def test_float16_holds_half_precision_exactly_and_cuts_what_lies_beyond():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].astype(np.float32)[:, None]
    codec = CODECS["float16"](halves)
    assert np.array_equal(codec.decode(codec.encode(halves)), halves)
    beyond = np.array([[1e30], [-1e30]], dtype=np.float32)
    assert codec.decode(codec.encode(beyond)).tolist() == [[65504], [-65504]]


@settings(max_examples=100, deadline=None)
@given(MATRICES)
@pytest.mark.parametrize("name", ["float32", "float16", "int8"])
def test_what_is_decoded_codes_to_the_same(name, vectors):
    codec = CODECS[name](vectors)
    codes = codec.encode(vectors)
    assert np.array_equal(codec.encode(codec.decode(codes)), codes)


@pytest.mark.parametrize("name", ["float32", "float16", "int8"])
def test_zeros_decode_to_zeros(name):
    documents = directions(5, 8)
    documents[2] = 0
    documents[:, 3] = 0
    codec = CODECS[name](documents)
    decoded = codec.decode(codec.encode(documents))
    assert not decoded[2].any()
    assert not decoded[:, 3].any()


@pytest.mark.parametrize("value", [0, 1, -1e-3])
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


def test_scores_of_float16_are_the_dot_product_with_half_precision_numbers():
    documents, query = directions(20, 48), directions(1, 48, seed=1)
    codec = CODECS["float16"](documents)
    halves = [[float(np.float16(value)) for value in row] for row in documents.tolist()]
    direct = [sum(float(a) * b for a, b in zip(query[0], row, strict=True)) for row in halves]
    rows, scores = top_k(query, codec.decode(codec.encode(documents)), 20)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-6)


@pytest.mark.parametrize("width", [48, 13])
@pytest.mark.parametrize("name", ROTATED)
def test_scores_of_few_bits_are_rabitqs_estimate(name, width):
    documents, query = leaning(40, width), directions(1, width, seed=1)[0].astype(float)
    codec, bits = CODECS[name](documents), BITS[name]
    codes, axis, turn = codec.encode(documents), codec.axis.astype(float), rotation(width).astype(float)
    direct = []
    for code, document in zip(codes, documents.astype(float), strict=True):
        lean = codec.lean.low + int(code[-2]) / 255 * (codec.lean.high - codec.lean.low)
        factor = codec.factor.low + int(code[-1]) / 255 * (codec.factor.high - codec.factor.low)
        levels = [2 * number + 1 - 2**bits for number in numbers(code[:-2], bits)[:width]]
        rest = (document - lean * axis) @ turn
        half = (codec.step or 1) / 2
        nearest = [max(1 - 2**bits, min(2**bits - 1, 2 * math.floor(value / (2 * half)) + 1)) for value in rest]
        assert levels == nearest
        assert lean == pytest.approx(document @ axis, abs=(codec.lean.high - codec.lean.low) / 509)
        exact = (rest**2).sum() / (rest * levels).sum()
        assert factor == pytest.approx(exact, abs=(codec.factor.high - codec.factor.low) / 509)
        direct.append(lean * (query @ axis) + factor * sum(a * b for a, b in zip(query @ turn, levels, strict=True)))
    rows, scores = top_k(query[None].astype(np.float32), codec.decode(codes), 40)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-5)


@pytest.mark.parametrize("name", FEW_BITS)
@pytest.mark.parametrize("width", [384, 48])
def test_few_bits_estimate_a_dot_product_without_bias(name, width):
    documents = leaning(4000, width)
    queries = prefix(documents + directions(4000, width, seed=1), width)  # at about 45 degrees to their documents
    codec = CODECS[name](documents)
    truth = (queries * documents).sum(axis=1)
    ratio = (queries * codec.decode(codec.encode(documents))).sum(axis=1) / truth
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(4000) + 0.003  # and what a byte rounds off
    assert ratio.std() < {"int4": 0.05, "int2": 0.15, "binary": 0.4}[name]


@pytest.mark.parametrize("name", FEW_BITS)
def test_a_document_scores_its_own_length_whatever_the_bits_lose(name):
    documents = leaning(2000, 96)
    codec = CODECS[name](documents)
    codes = codec.encode(documents)
    lean = codec.lean.decode(codes[:, -2])[:, None] * codec.axis
    rest = documents - lean
    own = ((codec.decode(codes) - lean) * rest).sum(axis=1) / (rest**2).sum(axis=1)
    assert own == pytest.approx(np.ones(2000), abs=0.003)  # but for what a byte rounds off


@pytest.mark.parametrize("name", ROTATED)
def test_the_step_is_near_the_best_for_normal_numbers_and_the_best_of_those_tried(name):
    documents = directions(2000, 384)
    codec = CODECS[name](documents)
    size = math.sqrt(float(np.mean(documents.astype(float) ** 2)))
    assert codec.step == pytest.approx(STEPS[name] * size, rel=0.03)
    turned = (documents - codec.lean.decode(codec.encode(documents)[:, -2])[:, None] * codec.axis) @ rotation(384)
    ladder = np.arange(2 ** BITS[name]) + 0.5 - 2 ** (BITS[name] - 1)

    def lost(step):
        return float(np.mean(np.abs(turned[:500, :, None] - ladder * step).min(axis=2) ** 2))

    assert lost(codec.step) <= min(lost(codec.step * 0.9), lost(codec.step * 1.1))


@pytest.mark.parametrize("width", [96, 13])
def test_scores_of_signs_are_the_factor_times_the_sum_of_their_directions(width):
    documents, query = leaning(300, width), directions(1, width, seed=1)[0].astype(float)
    codec = CODECS["binary"](documents)
    codes, axis, learned = codec.encode(documents), codec.axis.astype(float), codec.directions.astype(float)
    direct = []
    for code in codes:
        lean = codec.lean.low + int(code[-2]) / 255 * (codec.lean.high - codec.lean.low)
        factor = codec.factor.low + int(code[-1]) / 255 * (codec.factor.high - codec.factor.low)
        signs = [2 * number - 1 for number in numbers(code[:-2], 1)[:width]]
        whole = sum(sign * direction for sign, direction in zip(signs, learned, strict=True))
        direct.append(lean * (query @ axis) + factor * (query @ whole))
    rows, scores = top_k(query[None].astype(np.float32), codec.decode(codes), 300)
    assert scores[0].tolist() == pytest.approx([direct[row] for row in rows[0]], abs=1e-5)


def test_no_flip_of_a_single_sign_brings_a_sum_nearer():
    documents = like_a_models(300, 48)
    codec = CODECS["binary"](documents)
    codes, learned = codec.encode(documents), codec.directions.astype(float)
    rest = documents - codec.lean.decode(codes[:, -2])[:, None] * codec.axis
    signs = np.unpackbits(codes[:, :-2], axis=1)[:, :48] * 2.0 - 1
    lost = ((rest - signs @ learned) ** 2).sum(axis=1)
    better = 0
    for bit in range(48):
        flipped = signs.copy()
        flipped[:, bit] *= -1
        better += (((rest - flipped @ learned) ** 2).sum(axis=1) < lost - 1e-6).sum()
    assert better <= 0.01 * signs.size  # sweeps end before the last of them


def test_learned_directions_lose_far_less_than_a_rotations():
    documents = like_a_models(3000)

    def lost(codec, rows):
        return float(((codec.decode(codec.encode(rows)) - rows) ** 2).sum())

    for rows in (documents[:2000], documents[2000:]):  # seen and unseen
        assert lost(CODECS["binary"](documents[:2000]), rows) < 0.5 * lost(Rotated.fit(documents[:2000], 1), rows)


def test_few_documents_teach_directions_that_still_serve_later_ones():
    vectors = like_a_models(700, 96)
    documents, later = vectors[:60], vectors[60:]
    codec, plain = CODECS["binary"](documents), Rotated.fit(documents, 1)
    lost = [float(((c.decode(c.encode(later)) - later) ** 2).sum()) for c in (codec, plain)]
    assert lost[0] < lost[1]
    rest = later - codec.lean.decode(codec.encode(later)[:, -2])[:, None] * codec.axis
    own = ((codec.decode(codec.encode(later)) - later + rest) * rest).sum(axis=1) / (rest**2).sum(axis=1)
    assert abs(np.median(own) - 1) < 0.05  # the factor's range holds for them, too


def test_sums_on_the_grid_are_exact():
    codec = CODECS["binary"](like_a_models(2000))
    whole = np.ldexp(codec.directions.astype(float), codec.grid)
    assert np.array_equal(whole, np.rint(whole))
    largest = np.abs(whole @ whole.T).sum(axis=1) * 2.0 ** (24 - codec.grid) + 4 * 2**24 * np.linalg.norm(whole, axis=1)
    assert largest.max() < 2**53


def test_what_leans_further_than_any_document_fitted_on_gets_the_end():
    documents = leaning(50, 8)
    codec = CODECS["int2"](documents)
    beyond = codec.encode((codec.axis * 9)[None])
    assert beyond[0, -2] == 255
    assert np.isfinite(codec.decode(beyond)).all()


@pytest.mark.parametrize("width", [384, 9])
def test_what_is_stored_once_is_counted(precision, width):
    codec = CODECS[precision](directions(20, width))
    named = ("scale", "axis", "directions")
    arrays = [np.asarray(getattr(codec, entry.name)) for entry in fields(codec) if entry.name in named]
    numbers_ = {"int4": 5, "int2": 5, "binary": 6}.get(precision, 0)  # a step, the ends of two ranges, a grid
    assert codec.extra_bytes == sum(array.nbytes for array in arrays) + 8 * numbers_


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
