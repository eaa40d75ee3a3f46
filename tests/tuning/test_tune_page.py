"""Oracles: the study's own figures, which the page must show; XML and the browser's own measure of what fits."""

from __future__ import annotations

import json
import re
import shutil
from xml.etree import ElementTree

import pytest

from nestvec.report.formatting import number
from nestvec.report.tuning_page import study_headline, write_tuning_page
from nestvec.tuning.data_size import forecast_growth, list_curves


@pytest.mark.slow
def test_the_page_shows_what_was_found(studied):
    page = (studied.folder / "report.html").read_text()
    facts = studied.facts
    assert study_headline(facts) in page.replace("&#39;", "'")
    for trial in facts["trials"]:
        assert f'data-value="{trial["trial"]}"' in page
        if trial["value"] is not None:
            assert number(trial["value"]) in page
    assert number(facts["gain"]["mean_a"]) in page and number(facts["gain"]["mean_b"]) in page
    for name, _, _ in facts["changed"]:
        assert name in page
    assert "http" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("http-equiv", "")
    figures = studied.folder / "figures"
    assert {path.stem for path in figures.glob("*.svg")} >= {"history", "learning_curves", "parallel"}
    for path in figures.glob("*.svg"):
        ElementTree.parse(path)
        assert path.with_suffix(".png").stat().st_size > 3000
    assert "2 of 6 trials failed" in page or "1 of 6 trials failed" in page


@pytest.mark.slow
def test_the_same_facts_give_the_same_bytes(studied, tmp_path):
    facts = json.loads((studied.folder / "study.json").read_text())
    write_tuning_page(facts, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (studied.folder / "report.html").read_bytes()


@pytest.mark.slow
def test_words_of_the_data_are_escaped(studied, tmp_path):
    facts = json.loads((studied.folder / "study.json").read_text())
    facts["source"] = facts["trials"][0]["message"] = "<script>window.pwned = 1</script>"
    write_tuning_page(facts, tmp_path)
    assert "<script>window" not in (tmp_path / "report.html").read_text()


def grown(facts):
    """The facts of a search over sizes."""
    kept = {name: value for name, value in facts.items() if name not in ("best", "frontier", "gain", "seen")}
    trials = []
    for place in range(8):
        size, repeat = (60, 125, 250, 500)[place // 2], place % 2
        value = 0.8 - 1.2 * size**-0.5 + 0.004 * repeat
        trial = {**facts["trials"][facts["best"]], "trial": place + 1, "value": value, "queries": size}
        trials.append({**trial, "params": {"share": size / 500, "repeat": repeat}, "message": None})
    found, own = forecast_growth(trials, "recall@10", 1), trials[0]["params"]
    other = {**trials[-1], "trial": 9, "value": 0.7, "params": {**own, "system": "adapted", "share": 1.0}}
    trials = [{**trial, "fused": trial["value"] + 0.1} for trial in [*trials, other]]
    told = {"growth": found.facts, "verdict": found.verdict, "reference": {"value": 0.6, "fused": 0.65}}
    told["curves"] = list_curves(trials, ("matryoshka", "adapted"), "recall@10", 1)
    space = {"share": [0.12, 0.25, 0.5, 1.0], "repeat": [0, 1]}
    return {**kept, "trials": trials, "space": space, "planned": 9, **told}


@pytest.mark.slow
def test_a_search_over_sizes_has_its_own_page(studied, tmp_path):
    facts = grown(studied.facts)
    write_tuning_page(facts, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Twice as many judged queries would bring" in page
    assert ("inside</strong>" in page) == facts["growth"]["held_back"]["inside"]
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == {"growth", "systems"}
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td>(.*?)</td></tr>', page))
    for name, each in {
        "matryoshka beside keyword search": [number(mean + 0.1) for mean in facts["growth"]["means"]],
        "adapted alone": ["\u2013"] * 3 + [number(0.7)],
        "pretrained beside keyword search": [number(0.65)] * 4,
    }.items():
        assert rows[name].split("</td><td>") == each


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_in_a_browser(studied, tmp_path, width):
    sync = pytest.importorskip("playwright.sync_api").sync_playwright
    write_tuning_page(grown(studied.facts), tmp_path)
    with sync() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": width, "height": 900})
        said = []
        page.on("console", lambda message: said.append(message.text))
        for folder in (studied.folder, tmp_path):
            page.goto((folder / "report.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        browser.close()
    assert said == []
