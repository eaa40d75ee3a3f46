"""The surface, its frontier, the systems made of others and the tables beside the page say what the results say.

Oracle: the run's JSON files and the definitions (a frontier by comparing every two rows, a budget by trying every
row), worked out here; the page and the drawings taken apart by the standard library's parsers, tables by its csv.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from report_broad import FULL as BEST
from report_broad import NAMES, WIDTHS, draw_words, read, recall, signed, size, surface, value
from report_page import BLANK, Page

from nestvec.report.content import read_content
from nestvec.report.run_page import render_run_page
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRECISIONS = ("float32", "float16", "int8", "int4", "int2", "binary")
SVG = "{http://www.w3.org/2000/svg}"


def table(folder: RunFolder, name: str) -> list[dict[str, str]]:
    with (folder.path("tables") / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def plain(number: float) -> str:
    return "" if number is None else str(number)


@pytest.fixture
def altered(broad: RunFolder, tmp_path: Path) -> Callable[[str, Callable[[dict[str, Any]], object]], Page]:
    """A function that changes one JSON file of the broad run and gives its page without drawings."""
    copy = RunFolder(tmp_path / "run")
    copy.root.mkdir()
    for path in broad.root.iterdir():
        (copy.root / path.name).symlink_to(path)

    def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Page:
        told = read(copy, name)
        change(told)
        copy.path(name).unlink()
        copy.path(name).write_text(json.dumps(told), encoding="utf-8")
        names = [row["system"] for row in read(copy, "results")["surface"]]
        drawings = BLANK | {f"surface_{re.sub('[^a-z0-9]', '_', name)}": "<svg viewBox='0 0 1 1'/>" for name in names}
        return Page.parse(render_run_page(read_content(Run(copy)), drawings))

    return edit


# Tables as CSV


def test_surface_as_csv_is_the_surface(broad: RunFolder) -> None:
    rows, written = read(broad, "results")["surface"], table(broad, "surface")
    assert len(written) == len(rows) == 2 * (3 * 24 + 30 + 2 + 2 + 2 + 1)
    for row, line in zip(rows, written, strict=True):
        for name in ("dimension", "precision", "bytes_per_vector", "bytes_scanned", "kind", "split"):
            assert line[name] == plain(row[name])
        assert line["system"].removeprefix("'") == row["system"]
        for metric, entry in row["metrics"].items():
            found = [float(line[f"{metric}{end}"]) for end in ("", " low", " high")]
            assert found == [entry["value"], entry["low"], entry["high"]], "every digit"
    assert set(rows[0]["metrics"]) == set(NAMES)


def test_no_cell_is_a_formula(broad: RunFolder) -> None:
    assert {line["system"] for line in table(broad, "surface") if "wide" in line["system"]} == {
        "'=wide", "'=wide+bm25"
    }  # fmt: skip
    for name in ("surface", "comparisons", "steps", "frontier"):
        texts = [text for line in table(broad, name) for text in line.values()]
        assert not [text for text in texts if text.startswith(("=", "+", "@")) or re.match(r"-(?![\d.])", text)]


@pytest.mark.parametrize(("name", "file"), [("comparisons", "results"), ("steps", "recommendation")])
def test_comparisons_and_steps_as_csv(broad: RunFolder, name: str, file: str) -> None:
    told = read(broad, file)[name]
    written = table(broad, name)
    assert len(written) == len(told) > 4
    for entry, line in zip(told, written, strict=True):
        assert {key: line[key].removeprefix("'") for key in entry} == {key: plain(text) for key, text in entry.items()}


# The frontier, and what bytes are best spent on


def frontier(folder: RunFolder) -> list[dict[str, Any]]:
    """What no other row beats: none is as good with fewer bytes, and none better with as many."""
    rows = [row for row in surface(folder) if row["bytes_per_vector"]]

    def beaten(row: dict[str, Any]) -> bool:
        return any(
            (value(other) >= value(row) and other["bytes_per_vector"] < row["bytes_per_vector"])
            or (value(other) > value(row) and other["bytes_per_vector"] == row["bytes_per_vector"])
            for other in rows
        )

    return sorted((row for row in rows if not beaten(row)), key=lambda row: row["bytes_per_vector"])


def test_frontier_is_what_nothing_beats(broad: RunFolder, broad_page: Page) -> None:
    expected = [
        (f"{row['bytes_per_vector']:,}", row["system"], str(row["dimension"]), row["precision"], f"{value(row):.3f}")
        for row in frontier(broad)
    ]
    cells = broad_page.cells("frontier-table")
    assert [(cell[0], cell[1].split()[0], *cell[2:4], cell[4].split()[0]) for cell in cells] == expected
    assert 5 < len(expected) < 12
    lines = table(broad, "frontier")
    assert [(f"{int(line['bytes_per_vector']):,}", line["system"], line["dimension"], line["precision"],
             f"{float(line['recall@10']):.3f}") for line in lines] == expected  # fmt: skip


def test_frontier_is_drawn_and_named(broad: RunFolder) -> None:
    root = ElementTree.parse(broad.path("figures") / "recall_by_bytes.svg").getroot()
    texts = [element.text for element in root.iter(f"{SVG}text")]
    named = [text for text in texts if text and re.fullmatch(r"\d+ (float|int|binary)\d*", text)]
    assert named == [f"{row['dimension']} {row['precision']}" for row in frontier(broad)]
    label = draw_words(broad)["figure-recall-by-bytes"]
    for row in frontier(broad):
        assert f"{row['dimension']} dimensions in {row['precision']} at {row['bytes_per_vector']:,}" in label


def within(folder: RunFolder, system: str, limit: int, **wanted: Callable[[Any], bool]) -> dict[str, Any] | None:
    rows = [row for row in surface(folder) if row["system"] == system and (row["bytes_per_vector"] or 10**9) <= limit]
    rows = [row for row in rows if all(test(row[name]) for name, test in wanted.items())]
    return max(rows, key=lambda row: (value(row), -row["bytes_per_vector"]), default=None)


def test_best_use_of_so_many_bytes(broad: RunFolder, broad_page: Page) -> None:
    budgets = broad_page.table("budget-table")
    limits = [int(name.split()[0].replace(",", "")) for name in budgets]
    assert limits == [3072, 1536, 768, 386, 194, 98, 50, 26, 14, 8], "96 and 98 bytes are one size"
    for limit, cells in zip(limits, budgets.values(), strict=True):
        for system, cell in zip(("pretrained", "mnr", "matryoshka", "=wide"), cells, strict=True):
            row = within(broad, system, limit)
            assert cell == (f"{row['dimension']} {row['precision']} {value(row):.3f}" if row else "\u2013")
    [line] = [row for row in broad_page.root.find("tr") if row.text.startswith("194 bytes")]
    assert [cell.text for cell in line.find("b")] == ["384 int4"]


def test_fewer_bits_or_fewer_dimensions(broad: RunFolder, broad_page: Page) -> None:
    for system, cells in broad_page.table("ways-table").items():
        full = WIDTHS[system][0]
        sizes = {size(width, precision) for width in WIDTHS[system] for precision in PRECISIONS}
        limits = [one for one in sizes if not any(one < other <= 1.05 * one for other in sizes)]
        gains = []
        for limit in limits:
            bits = within(broad, system, limit, dimension=full.__eq__, precision=lambda name: name != "float32")
            cut = within(broad, system, limit, dimension=full.__gt__, precision="float32".__eq__)
            if bits and cut:
                gains.append(value(bits) - value(cut))
        better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        told = f"{signed(min(gains))} to {signed(max(gains))}"
        assert cells == [str(len(gains)), str(better), str(worse), told]
    assert list(broad_page.table("ways-table")) == list(WIDTHS)


# Systems of other widths, and those made of others


def test_every_system_stands_at_its_own_full_width(broad_page: Page) -> None:
    cells = broad_page.table("comparison-table")
    dimensions = [f"{system} {widths[0]} dimensions" for system, widths in WIDTHS.items()]
    assert list(cells) == [*dimensions, "bm25", "mnr+bm25 hybrid", "=wide+bm25 hybrid"]
    for name, row in cells.items():
        system = name.split()[0]
        assert row[0].startswith(f"{BEST.get(system, 0.4 if system == 'bm25' else 0.6):.3f} [")
    by_width = broad_page.table("numbers-recall@10")
    assert list(by_width) == [*WIDTHS, "bm25"]
    assert [cell == "\u2013" for cell in by_width["mnr"]] == [False] * 4 + [True]
    assert by_width["=wide"][-1].startswith("0.450")


def test_share_kept_is_of_the_systems_own_width(broad_page: Page) -> None:
    kept = {tuple(cells[0].split()[:1] + cells[1:3]): cells[-1] for cells in broad_page.cells("surface-test")}
    assert kept["=wide", "768", "float32"] == kept["mnr", "384", "float32"] == "100 %"
    assert kept["=wide", "384", "float32"] == f"{100 * recall('=wide', 384, 'float32') / BEST['=wide']:.0f} %"


def test_what_is_made_of_others_is_in_no_chart_and_in_tables_of_its_own(broad: RunFolder, broad_page: Page) -> None:
    assert {cells[0].split()[0] for cells in broad_page.cells("surface-test")} == {*WIDTHS, "bm25"}
    for name in ("recall_by_dimension", "mrr_by_dimension", "recall_by_bytes"):
        text = (broad.path("figures") / f"{name}.svg").read_text(encoding="utf-8")
        assert not re.search(r"pca|via|\+bm25", text)
    stages = broad_page.cells("stages-table")
    assert [cells[:5] for cells in stages] == [
        ["mnr", "48 int8", "384 int8", "48", "432"],
        ["mnr", "none", "384 int8", "384", "384"],
        ["mnr", "384 binary", "384 int8", "50", "434"],
    ]
    assert [cells[5].split()[0] for cells in stages] == ["0.518", f"{recall('mnr', 384, 'int8'):.3f}", "0.518"]


def test_what_is_stored_once_stands_below_the_bytes(broad_page: Page) -> None:
    sizes = {(cells[0], *cells[1:3]): cells[3] for cells in broad_page.cells("surface-test")}
    told = {place: cell for place, cell in sizes.items() if "once" in cell}
    assert {place[1:]: cell for place, cell in told.items()} == {
        ("384", "int8"): "384 once 1,536", ("384", "binary"): "50 once 1,576"
    }  # fmt: skip


# What else is said


def test_every_metric_is_told_with_how_much_was_judged(broad: RunFolder, broad_page: Page) -> None:
    whole = [row for row in broad_page.root.find("table") if row.find("caption", id="further-table")]
    groups = {body.find("th")[0].text: [row.find("th")[0].text for row in body.find("tr")[1:]]
              for body in whole[0].find("tbody")}  # fmt: skip
    assert list(groups) == ["First 1", "First 5", "First 10", "First 100", "Whole ranking"]
    assert groups["First 5"][:3] == ["judged@5", "recall@5", "precision@5"]
    assert groups["Whole ranking"] == ["MAP", "condensed MAP"]
    assert sum(map(len, groups.values())) == len(NAMES)
    row = next(one for one in surface(broad) if (one["system"], one["dimension"]) == ("mnr", 384))
    [line] = [one for one in whole[0].find("tr") if one.find("th")[0].text == "condensed nDCG-exp@5"]
    assert line.find("td")[1].text.startswith(f"{value(row, 'condensed-ndcg-exp@5'):.3f} [")


def test_price_and_wishes_and_what_is_missing(broad_page: Page) -> None:
    assert broad_page.table("price-table") == {
        "One million": ["48 MB", "1.5 GB", "96.9 %"],
        "10 million": ["480 MB", "15.4 GB", "96.9 %"],
        "100 million": ["4.8 GB", "153.6 GB", "96.9 %"],
    }
    assert "at most 100 bytes per vector, and recall@10 of at least 0.3 on validation." in broad_page.text
    assert "all-mpnet-base-v2 was not measured: could not be had" in broad_page.text
    assert "3 relevant documents of test queries are missing from the corpus" in broad_page.text
    assert "relevant documents of validation" not in broad_page.text
    assert "Too few queries" not in broad_page.text


Altered = "Callable[[str, Callable[[dict[str, Any]], object]], Page]"


@pytest.mark.parametrize("shipped", [True, False])
def test_how_many_queries_it_would_take(altered: Altered, shipped: bool) -> None:
    def change(made: dict[str, Any]) -> None:
        made.update(queries_needed=4321, **({} if shipped else {"point": None, "decision": "do not ship"}))

    assert "would take about 4,321 validation queries; there are 19." in altered("recommendation", change).text


@pytest.mark.parametrize("passed", [True, False])
def test_limits_that_rule_everything_out_are_named_as_the_reason(altered: Altered, passed: bool) -> None:
    def change(made: dict[str, Any]) -> None:
        made.update(point=None, decision="do not ship", queries_needed=700)
        for gate in made["gate"].values():
            gate.update(passed=passed)

    page = altered("recommendation", change)
    limits = (
        page.root.find("h1")[0].text == "Do not ship: nothing within the limits that you set holds up on recall@10."
    )
    assert limits == passed == ("To decide whether a vector within the limits holds up would take" in page.text)
    assert ("What you have now is the safer choice." in page.text) != passed


def test_without_a_gate_no_limit_is_blamed(altered: Altered) -> None:
    page = altered("recommendation", lambda made: made.update(point=None, decision="do not ship", gate={}))
    assert "limits" not in page.root.find("h1")[0].text


@pytest.mark.parametrize("metric", ["recall@100", "map", "condensed-ndcg@10"])
def test_any_metric_may_decide(altered: Altered, metric: str) -> None:
    page = altered("recommendation", lambda made: made.update(metric=metric))
    label = {"map": "MAP", "condensed-ndcg@10": "condensed nDCG@10"}.get(metric, metric)
    assert label in page.root.find("h1")[0].text
    [caption] = page.root.find("caption", id="differences-table")
    assert caption.text.startswith("Difference in recall@10 on test"), "what the run compared"


def test_runs_of_before_have_none_of_it(altered: Altered) -> None:
    def older(results: dict[str, Any]) -> None:
        kept = [row for row in results["surface"] if row["kind"] == "plain"]
        results["surface"] = [
            {key: entry for key, entry in row.items() if key not in ("kind", "bytes_scanned")} for row in kept
        ]
        for name in ("missing_models", "missing_documents", "codec_extras", "cutoffs"):
            del results[name]
        results["comparisons"] = [
            {key: entry for key, entry in one.items() if key not in ("effect", "wins", "ties", "losses")}
            for one in results["comparisons"]
            if "+" not in one["a"] + one["b"]
        ]

    altered("results", older)
    page = altered("recommendation", lambda made: [made.pop(name) for name in ("price", "max_bytes", "min_recall")])
    for caption in ("price-table", "stages-table", "pca-table"):
        assert not page.root.find(id=caption)
    assert "Limits that you set" not in page.text and "stored once" not in page.text
    assert all("/" not in cell for cells in page.table("differences-table").values() for cell in cells)


def test_vectors_on_axes_stand_below_those_cut_as_they_are(broad: RunFolder, broad_page: Page) -> None:
    rows = [cells for cells in broad_page.cells("surface-test") if cells[0].split()[0] == "mnr"]
    assert [cells[1] for cells in rows if "axes" in cells[1]] == ["96 axes", "48 axes"]
    [axes] = [place for place, cells in enumerate(rows) if cells[1] == "96 axes"]
    assert rows[axes - 1][1] == "96" and rows[axes + 1][1] == "48"
    text = (broad.path("figures") / "surface_mnr.svg").read_text(encoding="utf-8")
    assert re.search("96 axes", text)
