"""Oracles: the identity for what is orthogonal; Gram and Schmidt's triangle, which makes normal draws Haar's rotation;
Python's fractions for sums without rounding; and the same sum in another order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from nestvec.vectors.rotation import _whole_rotation, by_rows, rotate, rotate_back, rotation

WIDTHS = (1, 2, 3, 48, 100, 384, 768)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_rotation_is_orthogonal(width):
    matrix = rotation(width).astype(float)
    assert np.abs(matrix @ matrix.T - np.eye(width)).max() < 1e-5
    assert np.abs(matrix.T @ matrix - np.eye(width)).max() < 1e-5


@pytest.mark.parametrize("width", WIDTHS)
def test_the_rotation_is_gram_and_schmidts_of_normal_draws(width):
    draws = np.random.default_rng(0).standard_normal((width, width))
    triangle = rotation(width).T.astype(float) @ draws
    assert np.abs(np.tril(triangle, -1)).max() < 1e-4
    assert (np.diag(triangle) > 0).all()


def test_the_rotation_is_the_same_every_time_and_cannot_be_changed():
    before = rotation(48).copy()
    rotation.cache_clear()
    assert np.array_equal(rotation(48), before)
    for kept in (rotation(48), _whole_rotation(48)):
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0] = 1


@pytest.mark.parametrize("size", [2.0**-40, 1, 2.0**40])
def test_sums_have_no_rounding_errors(size):
    numbers = np.random.default_rng(1).integers(-(2**12), 2**12, size=(3, 48))
    vectors = (numbers * size / 2**12).astype(np.float32)
    matrix = [[Fraction(float(entry)) for entry in column] for column in rotation(48).T]
    exact = [[sum(Fraction(float(a)) * b for a, b in zip(row, column, strict=True)) for column in matrix]
             for row in vectors]  # fmt: skip
    assert [[Fraction(entry) for entry in row] for row in rotate(vectors).tolist()] == exact
    levels = np.random.default_rng(2).integers(-15, 16, size=(3, 48)).astype(float)
    rows = [[Fraction(float(entry)) for entry in row] for row in rotation(48)]
    back = [[float(sum(int(a) * b for a, b in zip(level, row, strict=True))) for row in rows] for level in levels]
    assert rotate_back(levels, 1.0).tolist() == np.float32(back).tolist()


@pytest.mark.parametrize("width", [384, 4096])
def test_the_longest_sums_are_the_same_in_any_order(width, monkeypatch):
    rng = np.random.default_rng(3)
    matrix = np.rint(rng.standard_normal((width, 8)) * 2**24 / np.sqrt(width)) / 2**24  # columns of length 1
    matrix[:, 0] = 1 / np.sqrt(width)
    vectors = np.concatenate([rng.standard_normal((5, width)), np.ones((1, width))]).astype(np.float32)
    monkeypatch.setattr("nestvec.vectors.rotation.rotation", lambda _: matrix.astype(np.float32))
    _whole_rotation.cache_clear()
    found = rotate(vectors)
    order = rng.permutation(width)
    _whole_rotation.cache_clear()
    monkeypatch.setattr("nestvec.vectors.rotation.rotation", lambda _: matrix[order].astype(np.float32))
    assert np.array_equal(rotate(vectors[:, order]), found)
    _whole_rotation.cache_clear()  # of a rotation that is none


def test_lengths_and_angles_are_kept():
    vectors = np.random.default_rng(4).normal(size=(50, 96)).astype(np.float32)
    turned = rotate(vectors)
    assert turned @ turned.T == pytest.approx(vectors.astype(float) @ vectors.T.astype(float), abs=1e-3)


def test_work_goes_over_all_rows_in_order_and_over_none():
    rows = np.arange(20_000).reshape(10_000, 2)
    seen = []
    found = by_rows(lambda part: seen.append(len(part)) or part + 1, rows)
    assert np.array_equal(found, rows + 1)
    assert max(seen) < 10_000
    assert by_rows(lambda part: part, rows[:0]).shape == (0, 2)
