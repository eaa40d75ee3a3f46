"""The first screen: the sentence, the chart, the choices and the next commands.

Oracle: the run's own JSON files, read afresh and written out by hand here; a chart's places are compared with each
other, as on paper (larger is further right, better is higher up).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from report_broad import read
from report_choices import CHOSEN
from report_page import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from report_page import Element

    from nestvec.runs.folder import RunFolder

MINUS, NBSP = "\u2212", "\u00a0"


@pytest.fixture(scope="module")
def first(chosen: RunFolder) -> Page:
    """The page of the run with three choices."""
    return Page.read(chosen.path("report"))


def listed(card: Element) -> dict[str, str]:
    """Each term on a choice's card, with the text beside it."""
    names = card.find("dt"), card.find("dd")
    return {name.text: value.text for name, value in zip(*names, strict=True)}


def test_headline_says_what_to_ship_what_it_takes_and_what_it_beats(chosen: RunFolder, first: Page) -> None:
    made = read(chosen, "recommendation")
    [words] = [row for row in read(chosen, "results")["surface"] if (row["system"], row["split"]) == ("bm25", "test")]
    value, size = made["test"]["value"], made["point"]["bytes_per_vector"]
    assert first.by_id("headline").text.startswith(
        f"Ship {size} bytes per vector instead of 1,536, beside your keyword"
    )
    assert f"recall@10 {value:.2f} [" in first.by_id("headline").text
    assert f"against {words['metrics']['recall@10']['value']:.2f} for keyword search" in first.by_id("headline").text


def test_cards_tell_the_choices_of_both_teams(chosen: RunFolder, first: Page) -> None:
    choices = read(chosen, "recommendation")["choices"]
    for team in ("beside_keyword_search", "vectors_alone"):
        [section] = first.root.find("section", class_=team.replace("_", "-"))
        for name in CHOSEN:
            [card], entry = section.find("div", class_=name), choices[team][name]
            if entry is None:
                assert "Undecided" in card.text and "19 validation queries are too few" in card.text
                assert "about 640" in card.text
                continue
            test, size = entry["test"], entry["bytes_per_vector"]
            values = listed(card)
            assert card.find("b")[0].text == f"{size}"
            assert values["recall@10"] == f"{test['value']:.3f} [{test['low']:.3f}, {test['high']:.3f}]"
            assert values["Loss"] == f"0.003 [{MINUS}0.006, 0.011]", "the difference turned round"
            assert f"1 M: {size} MB" in values["Memory"].replace(NBSP, " "), "a million times the bytes"
            assert "confirmed on test" in values["How sure"]
    [card] = first.root.find("section", class_="beside-keyword-search")[0].find("div", class_="likely")
    assert listed(card)["How sure"].startswith("93 %")


def places(page: Page, kind: str) -> dict[str, tuple[float, float]]:
    """Label of a mark to its place in the drawing."""
    found = {}
    for mark in page.root.find("g", class_=kind):
        core = mark.find("circle", class_="core")[0].attributes
        found[mark.attributes["aria-label"]] = (float(core["cx"][:-1]), float(core["cy"][:-1]))
    return found


@pytest.mark.parametrize(("kind", "made"), [("beside", "hybrid"), ("alone", "plain")])
def test_chart_places_the_frontier(chosen: RunFolder, first: Page, kind: str, made: str) -> None:
    rows = [row for row in read(chosen, "results")["surface"] if (row["split"], row["kind"]) == ("test", made)]
    reached = [(row["bytes_per_vector"], row["metrics"]["recall@10"]["value"]) for row in rows]
    best = [
        row
        for row, (size, value) in zip(rows, reached, strict=True)
        if not any((less < size and more >= value) or (less <= size and more > value) for less, more in reached)
    ]
    assert best
    found = places(first, kind)
    for row in best:
        name = f"{row['system']} {row['dimension']} {row['precision']}"
        assert any(label.startswith(name) for label in found), name
    sizes = {label: int(re.search(r"([\d,]+) bytes", label)[1].replace(",", "")) for label in found}
    heights = {label: float(re.search(r"recall@10 (0\.\d+)", label)[1]) for label in found}
    order = sorted(found, key=sizes.__getitem__)
    assert [found[label][0] for label in order] == sorted(found[label][0] for label in order)
    for label in found:
        for other in found:
            if heights[label] > heights[other]:
                assert found[label][1] < found[other][1], "better is higher up"


def test_chart_rings_the_choices_and_draws_what_is_to_beat(first: Page) -> None:
    [plot] = first.root.find("svg", class_="plot")
    ringed = [mark.attributes["aria-label"] for mark in plot.find("g", class_="chosen")]
    assert len(ringed) == 4
    for name, (dimension, precision) in CHOSEN.items():
        assert any(label.startswith(f"matryoshka+bm25 {dimension} {precision}, {name}:") for label in ringed)
    lines = [mark.attributes["aria-label"].partition(":")[0] for mark in plot.find("g", class_="level")]
    assert sorted(lines) == ["BM25, tuned", "BM25, untuned", "pretrained model, 1,536 bytes"]


def test_next_commands_name_the_folder(first: Page, chosen: RunFolder) -> None:
    [section] = first.root.find("section", class_="next-steps")
    commands = [code.text for code in section.find("li")[0].find("code") + section.find("li")[1].find("code")]
    assert commands == ["nestvec export run --to onnx --out run/export", "nestvec index run"]
    assert section.find("li")[2].find("code")[0].text == "nestvec serve run"
    assert f"Type these in the folder that holds {chosen.root.name}." in section.text


def test_head_has_date_command_and_run(first: Page) -> None:
    [made] = first.root.find("div", class_="made")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", made.find("time")[0].attributes["datetime"])
    run, command = (code.text for code in made.find("code"))
    assert run == "run" and command.startswith("nestvec run sample --out run --epochs 3 --batch-size 32")


def test_older_run_has_one_card(shipped: RunFolder, page: Page) -> None:
    [card] = page.root.find("div", class_="card")
    point = read(shipped, "recommendation")["point"]
    assert card.find("b")[0].text == str(point["bytes_per_vector"])
    assert not page.root.find("section", class_="beside-keyword-search")


def test_run_without_a_choice_shows_the_chart_alone(stopped: RunFolder) -> None:
    page = Page.read(stopped.path("report"))
    assert not page.root.find("div", class_="card")
    assert page.root.find("svg", class_="plot")
    assert "--system pretrained" in page.root.find("section", class_="next-steps")[0].text


def test_everything_else_is_folded(first: Page) -> None:
    folds = first.root.find("details", class_="fold")
    assert len(folds) > 8 and not [fold for fold in folds if "open" in fold.attributes]


def test_likely_alone_is_not_said_to_be_proven(rendered: Callable[..., Page], chosen: RunFolder) -> None:
    choices = read(chosen, "recommendation")["choices"]
    entry = choices["beside_keyword_search"]["likely"]

    def change(made: dict) -> None:
        made |= {"decision": "do not ship", "point": None}
        made["choices"] = {"beside_keyword_search": {"likely": entry}, "vectors_alone": {}}

    page = rendered("recommendation", change)
    assert page.by_id("headline").text.startswith("Nothing is proven yet, but 50 bytes per vector of matryoshka beside")


@pytest.mark.parametrize(
    ("name", "difference", "gain", "said"),
    [
        ("likely", -0.008, 0.05, "undecided on test"),
        ("likely", -0.02, 0.05, "not confirmed on test"),
        ("tiny", -0.02, 0.004, "undecided on test"),
        ("tiny", -0.02, -0.004, "not confirmed on test"),
    ],
)
def test_too_few_test_queries_are_no_failure(
    rendered: Callable[..., Page], chosen: RunFolder, name: str, difference: float, gain: float, said: str
) -> None:
    """A mean on the right side, with an interval that reaches to the other, is undecided."""
    entry = read(chosen, "recommendation")["choices"]["beside_keyword_search"][name]
    entry["test"] |= {"confirmed": False, "difference": difference}
    entry["beats"]["test"] = {"value": gain, "low": gain - 0.02, "high": gain + 0.02}
    page = rendered("recommendation", lambda made: made.update(choices={"beside_keyword_search": {name: entry}}))
    [card] = page.root.find("section", class_="beside-keyword-search")[0].find("div", class_=name)
    assert listed(card)["How sure"].endswith(f", {said}")
