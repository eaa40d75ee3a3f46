"""What `nestvec check` prints.

Oracle: the facts, written as numbers are written; the width of the text in cells; what a terminal obeys.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

import nestvec
from nestvec.cli.output import print_check


def printed(found, encoding="utf-8", **options):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    print_check(found, Console(file=stream, highlight=False, **options))
    stream.seek(0)
    return stream.read()


def test_it_fits_and_says_the_same(found):
    text = printed(found, width=80)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "\x1b" not in text
    words = " ".join(text.split())
    for warning in found.warnings:
        assert f"! {warning}" in words
    for said in ("298 records, 61 queries, ", "relevant from 2.5 on, where the grades dip", "Leaks: none."):
        assert said in words
    assert re.search(r"near-duplicate documents, of \d+, in 1 group +3\n", text)


def test_the_bars_are_in_proportion_and_the_threshold_between_them(plain):
    lines = printed(plain, width=80).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("Grades"))
    one, cut, two, three = lines[start + 1 : start + 5]
    assert cut.strip("─ ") == "relevant from 1.5 on, where the grades dip"
    assert [line.split()[:2] for line in (one, two, three)] == [["1", "120"], ["2", "60"], ["3", "120"]]
    assert one.count("░") == 2 * two.count("█") == three.count("█") == 44
    assert "█" not in one and "░" not in two + three


def test_only_numbers_of_the_facts(found):
    """Each number is one of the facts, perhaps rounded, a share of two of them, or a word such as `25 %`."""
    known = {"25", "75", "95", str(len(found.warnings))}

    def collect(value):
        for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(entry)
        if isinstance(value, int | float):
            known.update((f"{value:,}", f"{value:.6g}", f"{value:,.1f}", f"{100 * value:.1f}", f"{100 * value:.0f}"))

    collect(found.facts)
    audit = found.facts["split"]
    lengths = found.facts["tokens"]["documents"]
    known.add(f"{100 * lengths['too_long'] / lengths['counted']:.1f}")
    known.add(f"{100 * audit['withheld_pairs'] / (audit['withheld_pairs'] + audit['training_pairs']):.1f}")
    text = printed(nestvec.Check({**found.facts, "source": "judged.csv"}), width=80)
    assert set(re.findall(r"(?<![\w@-])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)", text)) <= known


def test_a_wide_terminal_is_not_filled_and_a_narrow_one_not_exceeded(found):
    assert max(map(cell_len, printed(found, width=200).splitlines())) <= 80
    assert max(map(cell_len, printed(found, width=40).splitlines())) <= 40


def test_a_terminal_that_knows_ascii_only(found):
    text = printed(found, encoding="ascii", width=80)
    assert "#" * 20 in text and text.isascii()


def test_data_cannot_steer_the_terminal(found):
    evil = nestvec.Check({**found.facts, "source": "a\x1b[2Jb [bold]c.csv"})
    text = printed(evil, width=80)
    assert "\x1b" not in text and "a?[2Jb [bold]c.csv" in text


@pytest.mark.slow
def test_the_example_of_the_documents():
    document = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"On the sample it prints:\n\n```text\n(.*?)```", document, re.DOTALL)
    assert printed(nestvec.check("sample"), width=80) == shown


def test_no_line_ends_in_blanks(found):
    assert not re.search(r" $", printed(found, width=80), re.MULTILINE)
