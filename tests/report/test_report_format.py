"""How numbers are written.

Oracle: strings written by hand, and for the rounding the invariant that a written number is within half a last digit.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.point import Point
from nestvec.report import formatting
from nestvec.runs.schema import Measure

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formatting.number(0.70649), "0.706"),
        (formatting.number(-0.0004), "0.000"),
        (formatting.number(-0.0005001), "\u22120.001"),
        (formatting.number(0.706, 2), "0.71"),
        (formatting.number(1234.5, 0), "1,234"),
        (formatting.signed(0.1351), "+0.135"),
        (formatting.signed(-0.1351), "\u22120.135"),
        (formatting.signed(0.0001), "0.000"),
        (formatting.signed(-0.0), "0.000"),
        (formatting.interval(Measure(0, -0.0104, 0.02)), f"[\u22120.010,{NBSP}0.020]"),
        (formatting.interval(Measure(0, -0.0001, 0.02)), f"[\u22120.000,{NBSP}0.020]"),
        (formatting.count(1536), "1,536"),
        (formatting.count(0), "0"),
        (formatting.count(None), "\u2013"),
        (formatting.plain(5e-05), "5e-5"),
        (formatting.plain(0.01), "0.01"),
        (formatting.plain(-0.01), "\u22120.01"),
        (formatting.plain(2.0), "2"),
        (formatting.percent(0.982), f"98.2{NBSP}%"),
        (formatting.percent(1, 0), f"100{NBSP}%"),
        (formatting.p_value(0.0009), f"p{NBSP}<{NBSP}0.001"),
        (formatting.p_value(0.04), f"p{NBSP}={NBSP}0.040"),
        (formatting.p_value(1.0), f"p{NBSP}={NBSP}1.000"),
        (formatting.size_ratio(1536, 96), "16"),
        (formatting.size_ratio(1536, 1152), "1.33"),
        (formatting.memory_size(48, 10_000_000), f"480{NBSP}MB"),
        (formatting.memory_size(1536, 10_000_000), f"15.4{NBSP}GB"),
        (formatting.duration(1.84), f"1.8{NBSP}s"),
        (formatting.duration(59.96), f"1{NBSP}min 0{NBSP}s"),
        (formatting.duration(88.91), f"1{NBSP}min 29{NBSP}s"),
        (formatting.duration(3725), f"1{NBSP}h 2{NBSP}min"),
        (formatting.grade_range(2.67, 2.67), "2.67"),
        (formatting.grade_range(1.0, 1.0666666), "1 to 1.07"),
        (formatting.describe_point(Point("mnr", 96, "int8", 96)), "mnr at 96 dimensions in int8"),
        (formatting.describe_point(Point("mnr", 96, "int8", 96), True), "mnr 96 int8"),
        (formatting.describe_point(Point("bm25", None, None, None)), "bm25"),
        (formatting.shorten("short"), "short"),
        (formatting.shorten("one two, three", 10), "one two…"),
        (formatting.shorten("x" * 20, 10), "x" * 9 + "…"),
        (formatting.capitalise("HTML was decoded"), "HTML was decoded"),
        (formatting.capitalise("bm25 is missing"), "Bm25 is missing"),
        (formatting.setting_text(True), "yes"),
        (formatting.setting_text([384, 192]), "384, 192"),
        (formatting.setting_text("auto"), "auto"),
    ],
)
def test_written(written: str, expected: str) -> None:
    assert written == expected


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_rounding_is_within_half_a_last_digit(value: float, digits: int) -> None:
    for text in (formatting.number(value, digits), formatting.signed(value, digits)):
        read = Decimal(text.replace("\u2212", "-").replace(",", ""))
        assert abs(read - Decimal(value)) <= Decimal(5) / 10 ** (digits + 1)
        assert read != 0 or text[0] not in "+-\u2212"
