"""Oracle: NumPy's singular value decomposition of the documents without their mean."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_vectors import like_a_models

from nestvec.errors import InputError
from nestvec.point import VectorFormat
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix, shorten
from nestvec.vectors.principal_axes import Axes
from nestvec.vectors.stored import load_codecs, save_codecs

WIDTH, KEPT = 384, 48


@pytest.fixture(scope="module")
def documents():
    return like_a_models(600)


@pytest.fixture(scope="module")
def axes(documents):
    return Axes.fit(documents)


def test_axes_are_those_of_a_singular_value_decomposition(documents, axes):
    mean = documents.mean(axis=0, dtype=np.float64)
    wanted = np.linalg.svd(documents - mean, full_matrices=False)[2]
    turned = axes.turn(documents)
    assert turned.dtype == np.float32
    assert np.abs(turned) == pytest.approx(np.abs((documents - mean) @ wanted.T), abs=1e-4)  # but for the signs
    assert (np.diff(turned.var(axis=0, dtype=np.float64)) <= 1e-9).all()
    assert axes.matrix.T @ axes.matrix == pytest.approx(np.eye(WIDTH), abs=1e-5)


def test_each_axis_points_where_its_largest_entry_is_positive(axes):
    largest = np.abs(axes.matrix).argmax(axis=0)
    assert (axes.matrix[largest, np.arange(WIDTH)] > 0).all()


def test_a_vector_turns_alike_whatever_is_turned_with_it(documents, axes):
    few = axes.first(KEPT)
    together = few.turn(documents)
    for row in (0, 17, 599):
        assert np.array_equal(few.turn(documents[row : row + 1])[0], together[row])
    assert np.array_equal(axes.turn(documents)[:, :KEPT], together)  # the first axes are the first of all


def test_what_is_cut_has_unit_length_and_the_mean_itself_stays_zero(documents, axes):
    few = axes.first(KEPT)
    assert np.linalg.norm(shorten(documents, KEPT, few), axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(shorten(documents, KEPT, None), prefix(documents, KEPT))
    zero = Axes(np.zeros((WIDTH, KEPT), np.float32), np.zeros(KEPT, np.float32))
    assert not shorten(documents, KEPT, zero).any()


@pytest.mark.parametrize("precision", CODECS)
def test_a_codec_keeps_its_axes_in_the_file(precision, documents, axes, tmp_path):
    few, stored = axes.first(KEPT), VectorFormat(KEPT, precision, axes=True)
    codec = CODECS[precision](shorten(documents, KEPT, few)).with_axes(few)
    save_codecs(tmp_path / "codecs.safetensors", {stored.name: codec})
    read = load_codecs(tmp_path / "codecs.safetensors")[stored.name]
    codes = codec.encode(codec.cut(documents))
    assert np.array_equal(read.encode(read.cut(documents)), codes)
    assert np.array_equal(read.decode(codes), codec.decode(codes))
    assert codec.bytes_per_vector == stored.bytes
    alone = codec.with_axes(None)
    assert codec.extra_bytes == alone.extra_bytes + few.nbytes == alone.extra_bytes + 4 * KEPT * (WIDTH + 1)
    assert np.array_equal(alone.encode(alone.cut(codec.cut(documents))).shape, codes.shape)


@pytest.mark.parametrize(
    ("name", "axes_of"),
    [
        ("48.int8", lambda axes: axes.first(KEPT)),  # says that vectors are as they are
        ("48a.int8", lambda _: None),
        ("48a.int8", lambda axes: axes.first(40)),
        ("48a.int8", lambda axes: Axes(axes.matrix[:40, :KEPT], axes.shift[:KEPT])),
        ("48a.int8", lambda axes: Axes(axes.matrix[:, :KEPT].astype(np.float64), axes.shift[:KEPT])),
    ],
)
def test_axes_that_do_not_fit_are_refused(name, axes_of, documents, axes, tmp_path):
    codec = CODECS["int8"](prefix(documents, KEPT)).with_axes(axes_of(axes))
    save_codecs(tmp_path / "codecs.safetensors", {name: codec})
    with pytest.raises(InputError, match=r"is damaged: the (axes of 48a\.int8 are not|codec 48a?\.int8 has another) "):
        load_codecs(tmp_path / "codecs.safetensors")
