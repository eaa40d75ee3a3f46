"""How numbers are written.

Oracle: strings written by hand, and for the rounding the invariant that a written number is within half a last digit.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.point import Point
from nestvec.report import html
from nestvec.runs.schema import Measure

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (html.number(0.70649), "0.706"),
        (html.number(-0.0004), "0.000"),
        (html.number(-0.0005001), "\u22120.001"),
        (html.number(0.706, 2), "0.71"),
        (html.number(1234.5, 0), "1,234"),
        (html.signed(0.1351), "+0.135"),
        (html.signed(-0.1351), "\u22120.135"),
        (html.signed(0.0001), "0.000"),
        (html.signed(-0.0), "0.000"),
        (html.interval(Measure(0, -0.0104, 0.02)), f"[\u22120.010,{NBSP}0.020]"),
        (html.interval(Measure(0, -0.0001, 0.02)), f"[\u22120.000,{NBSP}0.020]"),
        (html.count(1536), "1,536"),
        (html.count(0), "0"),
        (html.count(None), "\u2013"),
        (html.plain(5e-05), "5e-5"),
        (html.plain(0.01), "0.01"),
        (html.plain(-0.01), "\u22120.01"),
        (html.plain(2.0), "2"),
        (html.percent(0.982), f"98.2{NBSP}%"),
        (html.percent(1, 0), f"100{NBSP}%"),
        (html.p_value(0.0009), f"p{NBSP}<{NBSP}0.001"),
        (html.p_value(0.04), f"p{NBSP}={NBSP}0.040"),
        (html.p_value(1.0), f"p{NBSP}={NBSP}1.000"),
        (html.times(1536, 96), "16"),
        (html.times(1536, 1152), "1.33"),
        (html.gigabytes(48, 10_000_000), f"480{NBSP}MB"),
        (html.gigabytes(1536, 10_000_000), f"15.4{NBSP}GB"),
        (html.duration(1.84), f"1.8{NBSP}s"),
        (html.duration(59.96), f"1{NBSP}min 0{NBSP}s"),
        (html.duration(88.91), f"1{NBSP}min 29{NBSP}s"),
        (html.duration(3725), f"1{NBSP}h 2{NBSP}min"),
        (html.grades(2.67, 2.67), "2.67"),
        (html.grades(1.0, 1.0666666), "1 to 1.07"),
        (html.point(Point("mnr", 96, "int8", 96)), "mnr at 96 dimensions in int8"),
        (html.point(Point("mnr", 96, "int8", 96), True), "mnr 96 int8"),
        (html.point(Point("bm25", None, None, None)), "bm25"),
        (html.shortened("short"), "short"),
        (html.shortened("one two, three", 10), "one two…"),
        (html.shortened("x" * 20, 10), "x" * 9 + "…"),
        (html.capital("HTML was decoded"), "HTML was decoded"),
        (html.capital("bm25 is missing"), "Bm25 is missing"),
        (html.setting(True), "yes"),
        (html.setting([384, 192]), "384, 192"),
        (html.setting("auto"), "auto"),
    ],
)
def test_written(written: str, expected: str) -> None:
    assert written == expected


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_rounding_is_within_half_a_last_digit(value: float, digits: int) -> None:
    for text in (html.number(value, digits), html.signed(value, digits)):
        read = Decimal(text.replace("\u2212", "-").replace(",", ""))
        assert abs(read - Decimal(value)) <= Decimal(5) / 10 ** (digits + 1)
        assert read != 0 or text[0] not in "+-\u2212"
