"""Runs that end otherwise, or lack what may be missing, still make a whole page.

Oracle: the contract of the files: which keys may be null, empty or absent, and what the page must then say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from report_page import FIGURES, MAPS, Page

from nestvec.report.content import read_content
from nestvec.report.figures import draw_figures
from nestvec.report.run_page import render_run_page
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nestvec.runs.folder import RunFolder

    Rendered = Callable[[str, Callable[[Any], object]], Page]


def test_do_not_ship(stopped: RunFolder) -> None:
    page = Page.read(stopped.path("report"))
    [head] = page.root.find("h1")
    assert head.text == "Do not ship: nothing measured clearly beats both the pretrained model and BM25 on recall@10."
    assert "Against the pretrained model its recall@10 differs by +0.004 [\u22120.010, 0.020]" in page.text
    assert "From pretrained at 384 dimensions in float32 to matryoshka at 384 dimensions in float32" in page.text
    assert {tag.text for tag in page.root.find(class_="tag")} == {"kept"}, (
        "nothing is recommended, so nothing is marked"
    )
    assert "Confirmed on test" not in page.text
    assert page.root.find("title")[0].text == "Do not ship \u2013 nestvec report on shop/judgements.csv"


@pytest.mark.parametrize(
    ("difference", "said"), [(-0.003, "Undecided on test: too few queries."), (-0.012, "Not confirmed on test.")]
)
def test_not_confirmed_on_test(rendered: Rendered, difference: float, said: str) -> None:
    """A mean within the margin speaks against nothing: there are too few queries to tell."""
    told = {"confirmed": False, "lower_bound": -0.0213, "difference": difference}
    page = rendered("recommendation", lambda made: made["test"].update(told))
    assert said in page.text and "\u22120.0213, beyond the margin of 0.01" in page.text
    assert "Confirmed on test." not in page.text


@pytest.mark.parametrize(
    ("interval", "said"), [((-0.01, 0.02), "undecided"), ((-0.03, -0.01), "worse"), ((0.01, 0.03), "beats it")]
)
def test_a_gate_is_undecided_while_its_interval_holds_0(
    rendered: Rendered, interval: tuple[float, float], said: str
) -> None:
    low, high = interval
    entry = {"difference": (low + high) / 2, "low": low, "high": high, "passed": low > 0}
    page = rendered("recommendation", lambda made: made["gate"].update(dict.fromkeys(made["gate"], entry)))
    rows = page.table("gate-table")
    assert rows and {cells[1] for cells in rows.values()} == {said}
    assert "failed" not in page.text


def test_full_width_itself_is_recommended(rendered: Rendered) -> None:
    def change(made: dict[str, Any]) -> None:
        made["point"] = made["reference"]

    page = rendered("recommendation", change)
    assert "1,536 bytes per vector, the size of the pretrained model, recall@10" in page.root.find("h1")[0].text
    assert "it is the best system at full width" in page.text


def test_another_metric_decides(rendered: Rendered) -> None:
    page = rendered("recommendation", lambda made: made.update(metric="ndcg@10"))
    assert "nDCG@10" in page.root.find("h1")[0].text


@pytest.mark.parametrize("missing", ["steps", "gate", "test_gate", "validation", "test", "reference"])
def test_parts_of_the_recommendation_may_be_missing(rendered: Rendered, missing: str) -> None:
    page = rendered("recommendation", lambda made: made.pop(missing))
    assert page.root.find("h1")[0].text.startswith("Ship matryoshka at 48 dimensions in int8")


def test_empty_steps_and_findings(rendered: Rendered) -> None:
    rendered("findings", lambda findings: findings.clear())
    page = rendered("recommendation", lambda made: made["steps"].clear())
    assert "No vector was tested." in page.text
    assert "Nothing was merged or changed" in page.text


@pytest.mark.parametrize(
    ("source", "words"),
    [("given", "as given in the settings"), ("middle", "the histogram has no dip"), ("moon", "on: moon.")],
)
def test_no_dip(rendered: Rendered, source: str, words: str) -> None:
    page = rendered("grades", lambda grades: grades.update(dip=None, threshold_source=source))
    assert words in page.text
    assert "no dip between two humps" in page.text


def test_dip_without_its_resampling(rendered: Rendered) -> None:
    def change(grades: dict[str, Any]) -> None:
        del grades["dip"]["low"], grades["dip"]["high"], grades["dip"]["seen"]

    assert "The histogram has humps at 2 and 3" in rendered("grades", change).text


def test_leaks_are_shown_as_they_are(rendered: Rendered) -> None:
    def change(audit: dict[str, Any]) -> None:
        audit["protocol"] = "published"
        audit["leaks"]["test queries in training"] = 1946

    page = rendered("audit", change)
    assert page.cells("leak-table")[0][-1] == "1,946"
    assert "a model can remember answers instead of finding them" in page.text


def test_unknown_keys_are_ignored(rendered: Rendered) -> None:
    rendered("results", lambda results: results.update(novelty=1, schema=1))
    assert rendered("audit", lambda audit: audit.update(novelty={"a": []})).root.find("h1")


def only(*systems: str) -> Callable[[dict[str, Any]], None]:
    def change(results: dict[str, Any]) -> None:
        results["surface"] = [row for row in results["surface"] if row["system"] in systems]
        results["comparisons"] = [
            entry for entry in results["comparisons"] if {entry[side].split(".")[0] for side in "ab"} <= set(systems)
        ]

    return change


def untrained(made: dict[str, Any]) -> None:
    reference = {"system": "pretrained", "dimension": 384, "precision": "float32", "bytes_per_vector": 1536}
    made.update(decision="do not ship", point=None, steps=[], reference=reference)


def test_without_training(rendered: Rendered, changed_run: RunFolder, tmp_path: Path) -> None:
    rendered("recommendation", untrained)
    page = rendered("results", only("pretrained", "bm25"))
    assert list(page.table("comparison-table")) == ["pretrained", "bm25"]
    assert "From pretrained at 384 dimensions in float32 to bm25" in page.text
    assert "Against the pretrained model" not in page.text, "nothing is compared with itself"
    assert "candidate:" not in page.text, "the gate compared the pretrained model, not BM25, with its rivals"
    assert set(draw_figures(read_content(Run(changed_run)), tmp_path / "figures")) == {"differences", *FIGURES} - set(
        MAPS[1:]
    )


def test_nothing_but_the_pretrained_model(rendered: Rendered) -> None:
    rendered("recommendation", untrained)
    page = rendered("results", only("pretrained"))
    assert "Only the pretrained model was measured" in page.text


def test_a_system_without_some_dimensions(rendered: Rendered, changed_run: RunFolder, tmp_path: Path) -> None:
    def change(results: dict[str, Any]) -> None:
        results["surface"] = [
            row for row in results["surface"] if row["system"] != "mnr" or row["dimension"] in (192, 96)
        ]

    page = rendered("results", change)
    table = page.table("comparison-table")
    assert list(table) == [
        "pretrained 384 dimensions", "mnr 192 dimensions", "matryoshka 384 dimensions", "bm25"
    ]  # fmt: skip
    assert table["mnr 192 dimensions"][1] == "\u2013", "the run did not compare it there"
    assert "Systems that were not measured at full width" not in page.text
    cells = page.table("numbers-recall@10")["mnr"]
    assert [cell == "\u2013" for cell in cells] == [True, False, False, True]
    draw_figures(read_content(Run(changed_run)), tmp_path / "figures")


def test_a_system_in_codes_only(rendered: Rendered) -> None:
    def change(results: dict[str, Any]) -> None:
        results["surface"] = [row for row in results["surface"] if row["system"] != "mnr" or row["precision"] == "int8"]

    page = rendered("results", change)
    assert list(page.table("comparison-table")) == ["pretrained", "matryoshka", "bm25"]
    assert "Systems that were not measured at full width are missing from this table" in page.text


def test_other_systems_and_precisions(rendered: Rendered, changed_run: RunFolder, tmp_path: Path) -> None:
    def change(results: dict[str, Any]) -> None:
        more = json.loads(json.dumps(results["surface"]))
        for row in more:
            if row["system"] == "mnr":
                row["system"] = "graded"
            elif row["system"] == "matryoshka" and row["precision"] == "int8":
                row.update(precision="binary", bytes_per_vector=row["dimension"] // 8)
            else:
                continue
            results["surface"].append(row)

    page = rendered("results", change)
    assert list(page.table("comparison-table")) == ["pretrained", "mnr", "matryoshka", "graded", "bm25"]
    drawings = draw_figures(read_content(Run(changed_run)), tmp_path / "figures")
    assert "graded" in drawings["recall_by_dimension"] and "binary" in drawings["recall_by_bytes"]


def test_continuous_grades_are_binned(rendered: Rendered, changed_run: RunFolder, tmp_path: Path) -> None:
    def change(grades: dict[str, Any]) -> None:
        levels = [1 + 2 * place / 400 for place in range(401)]
        grades.update(levels=levels, counts=[3] * 401, highest=3.0)

    page = rendered("grades", change)
    rows = page.cells("histogram-table")
    assert len(rows) == 30
    assert sum(int(cell) for row in rows for cell in row[1:]) == 3 * 401
    assert sum(int(row[2]) for row in rows) == 3 * sum(round(1000 * 2 * place / 400) >= 1500 for place in range(401))
    draw_figures(read_content(Run(changed_run)), tmp_path / "figures")


def test_one_width_only(rendered: Rendered, changed_run: RunFolder, tmp_path: Path) -> None:
    def change(results: dict[str, Any]) -> None:
        results["surface"] = [row for row in results["surface"] if row["dimension"] in (384, None)]

    rendered("recommendation", lambda made: made.update(point={**made["reference"], "precision": "int8"}))
    rendered("results", change)
    content = read_content(Run(changed_run))
    assert "Ship" in render_run_page(content, draw_figures(content, tmp_path / "figures"))
