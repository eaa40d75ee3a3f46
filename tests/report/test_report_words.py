"""What the page's fixed words say of settings and sizes.

Oracle: the default of the setting itself, and the bytes that a vector format counts.
"""

from __future__ import annotations

import re

import pytest

from nestvec.point import BITS, PRECISIONS, VectorFormat
from nestvec.report.words import GLOSSARY, SYSTEMS
from nestvec.settings import GradedSettings


def test_graded_says_what_it_trains_on_by_default() -> None:
    trained_on, setting = re.findall(r"It trains on (.+), unless the setting (\w+) names", SYSTEMS["graded"])[0]
    assert getattr(GradedSettings(), setting) == ()
    assert trained_on == "vectors in full precision alone"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_glossary_counts_every_byte_of_a_vector(precision: str) -> None:
    numbers, more = GLOSSARY["Bytes per vector"].split(", rounded up. A vector in ")
    assert numbers.endswith("dimension times bytes per number")
    named, correction = re.fullmatch(r"(.+) takes (\d+) bytes more, for a correction\.", more).groups()
    for dimension in (1, 7, 48, 383, 768):
        rounded_up = (dimension * BITS[precision] + 7) // 8
        expected = rounded_up + (int(correction) if precision in re.findall(r"\w+", named) else 0)
        assert VectorFormat(dimension, precision).bytes == expected
