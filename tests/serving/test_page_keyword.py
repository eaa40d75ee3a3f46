"""Keyword search beside the systems on the page: a switch, and a slider from words to meaning.

Oracle: what the API answers in the modes `fused`, `words` and `vectors`, id for id, and the run's own `results.json`.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from page_visit import SYSTEMS, Visit, asked, column, expected, facts, measured, search, settled, shown, told
from running import serving
from shared_runs import copy_run

QUERY = "ladder for a saw"
NOT_MEASURED = "\N{EN DASH} not measured"
QUERIES = ("ladder 5 89 120 333", "saw 7 12 137 337", "wrench 44 250 301")  # words tell numbers apart


def mixture(page):
    return page.get_by_role("slider", name="Words or meaning")


def test_the_switch_puts_keyword_search_beside_every_column(browser, served, shop, start):
    surface = json.loads((shop / "results.json").read_text())["surface"]
    rows = {(row["system"], row["dimension"], row["precision"]): row for row in surface if row["split"] == "test"}
    lists = {query: [expected(served, query, *start, **how) for how in ({}, {"mode": "fused"})] for query in QUERIES}
    query = next(query for query, (alone, fused) in lists.items() if fused != alone)
    alone, fused = lists[query]
    with Visit(browser, served, f"/?q={query}") as page:
        switch = page.get_by_role("switch", name="Beside keyword search")
        assert not switch.is_checked() and not mixture(page).is_visible()
        assert shown(page) == alone
        switch.check()
        settled(page)
        assert shown(page) == fused
        for system in SYSTEMS[:3]:
            value = rows[f"{system}+bm25", *start]["metrics"]["recall@10"]
            assert told(page, system)["recall@10"] == f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
            alone_value = rows[system, *start]["metrics"]["recall@10"]["value"]
            assert told(page, system)["Alone"].startswith(f"{alone_value:.3f} [")
            moves = column(page, system).locator(".move").all_inner_texts()
            ranked = enumerate(fused[system], start=1)
            assert moves == [said_of(rank, identifier, alone[system]) for rank, identifier in ranked]
        headings = page.locator("#columns h2").all_inner_texts()
        assert headings == [*(f"{system} + keyword search" for system in SYSTEMS[:3]), "bm25"]
        assert column(page, "bm25").locator(".move").count() == 0
        assert "compared with each system without keyword search" in page.locator("#compared").inner_text()
        switch.uncheck()
        settled(page)
        assert shown(page) == alone
        assert page.locator("#columns h2").all_inner_texts() == SYSTEMS


def said_of(rank, identifier, before):
    """What a hit says of its place in another list."""
    if identifier not in before:
        return "+ new"
    old = before.index(identifier) + 1
    return "= same" if old == rank else f"↑ up from {old}" if old > rank else f"↓ down from {old}"


def test_the_ends_of_the_slider_are_words_alone_and_meaning_alone(browser, served, run, start):
    words = [hit["id"] for hit in asked(served, QUERIES[0], "bm25")["hits"]]
    fitted = round(100 * measured(run, "mnr", *start)["fused"]["weight"])
    with Visit(browser, served, f"/?q={QUERIES[0]}&w=fitted") as page:
        slider, before = mixture(page), shown(page)
        assert page.locator(".ends").inner_text().split() == ["words", "meaning"]
        assert slider.get_attribute("aria-valuetext") == f"{fitted} % words, {100 - fitted} % meaning"
        slider.fill("0")
        settled(page)
        assert slider.get_attribute("aria-valuetext") == "words alone"
        assert shown(page) == dict.fromkeys(SYSTEMS, words)
        assert told(page, "mnr")["recall@10"] == told(page, "bm25")["recall@10"]
        assert page.locator("#columns h2").all_inner_texts() == SYSTEMS, "nothing is mixed at an end of the slider"
        slider.fill("100")
        settled(page)
        assert slider.get_attribute("aria-valuetext") == "meaning alone"
        assert shown(page) == expected(served, QUERIES[0], *start)
        assert set(column(page, "mnr").locator(".move").all_inner_texts()) == {"= same"}
        lists = {
            place: expected(served, QUERIES[0], *start, mode="fused", weight=1 - place / 100) for place in (10, 50, 90)
        }
        other = next(at for at in lists if lists[at] != before)
        slider.fill(str(other))
        settled(page)
        assert shown(page) == lists[other]
        assert told(page, "mnr")["recall@10"] == NOT_MEASURED
        mark, track = page.locator("#mark").bounding_box(), slider.bounding_box()
        place = track["x"] + 8 + (track["width"] - 16) * (100 - fitted) / 100  # a thumb is 16 pixels wide
        assert mark["x"] + mark["width"] / 2 == pytest.approx(place, abs=1)
        page.get_by_role("button", name=f"Back to {fitted} % words").click()
        settled(page)
        assert shown(page) == before and parse_qs(urlsplit(page.url).query)["w"] == ["fitted"]
        assert page.evaluate("document.activeElement.id") == "words"
        slider.fill(str(100 - fitted))  # where it is already
        assert parse_qs(urlsplit(page.url).query)["w"] == ["fitted"]


def test_the_address_holds_the_weight(browser, served, start):
    with Visit(browser, served, f"/?q={QUERY}&d=48") as page:
        alone = shown(page)
        page.get_by_role("switch", name="Beside keyword search").check()
        mixture(page).fill("30")
        settled(page)
        assert parse_qs(urlsplit(page.url).query) == {"q": [QUERY], "d": ["48"], "w": ["70"]}
        mixed = shown(page)
        page.reload()
        settled(page)
        assert mixture(page).get_attribute("aria-valuetext") == "70 % words, 30 % meaning"
        assert shown(page) == mixed == expected(served, QUERY, 48, start[1], mode="fused", weight=0.7)
        page.go_back()
        settled(page)
        assert parse_qs(urlsplit(page.url).query)["w"] == ["fitted"]
        page.go_back()
        settled(page)
        assert shown(page) == alone and not page.get_by_role("switch", name="Beside keyword search").is_checked()


@pytest.mark.parametrize("weight", ["101", "-5", "0.5", "words", ""])
def test_a_weight_of_nonsense_is_none(browser, served, start, weight):
    with Visit(browser, served, f"/?q=hammer&w={weight}") as page:
        assert not page.get_by_role("switch", name="Beside keyword search").is_checked() and shown(page) == expected(
            served, "hammer", *start
        )


def test_keyword_search_with_the_keyboard_alone(browser, served, start):
    with Visit(browser, served, f"/?q={QUERY}") as page:
        page.get_by_role("radio", name=start[1]).focus()
        keys = page.keyboard
        keys.press("Tab")
        keys.press("Space")
        keys.press("Tab")
        keys.press("Home")
        keys.press("ArrowRight")
        settled(page)
        assert shown(page) == expected(served, QUERY, *start, mode="fused", weight=0.95)
        keys.press("Tab")
        keys.press("Enter")
        settled(page)
        assert shown(page) == expected(served, QUERY, *start, mode="fused")


def test_what_was_searched_in_place_of_a_query_is_said(browser, served, start):
    corrected = '<img src="x" onerror="window.pwned = 1">'

    def correct(route):
        answer = route.fetch()
        told = answer.json()
        told["results"][0]["searched_for"] = corrected
        route.fulfill(response=answer, json=told)

    with Visit(browser, served, "/?q=hammer") as page:
        assert not page.locator("#corrected").is_visible()
        page.route("**/v1/search", correct)
        search(page, "hamer")
        assert page.locator("#corrected").inner_text() == f"Searched for: {corrected}"
        assert page.locator("#results img").count() == 0
        page.unroute("**/v1/search")
        search(page, "saw")
        assert not page.locator("#corrected").is_visible()


@pytest.fixture(scope="module")
def recommending(shop, tmp_path_factory):
    """A real server of a run that recommends a system beside keyword search."""
    run = copy_run(shop, tmp_path_factory.mktemp("beside") / "run")
    path = run / "recommendation.json"
    made = json.loads(path.read_text())
    point = {
        "system": "matryoshka+bm25",
        "dimension": 48,
        "precision": "int8",
        "bytes_per_vector": 48,
        "kind": "hybrid",
    }
    path.write_text(json.dumps({**made, "decision": "ship", "point": point}))
    with serving(run) as server:
        yield server


def test_a_run_that_recommends_fused_search_begins_with_it(browser, recommending):
    fused = expected(recommending, QUERY, 48, "int8", mode="fused")
    with Visit(browser, recommending, f"/?q={QUERY}") as page:
        switch = page.get_by_role("switch", name="Beside keyword search")
        back = page.get_by_role("button", name="Back to the recommended point: 48 int8 + keyword search")
        assert switch.is_checked() and page.locator("#advised").is_visible() and not back.is_visible()
        assert shown(page) == fused
        caption = page.locator("#examples .caption").inner_text()
        assert caption.endswith("to matryoshka 48 int8 + keyword search")
        switch.uncheck()
        settled(page)
        assert parse_qs(urlsplit(page.url).query) == {"q": [QUERY], "w": ["none"]}
        assert shown(page) == expected(recommending, QUERY, 48, "int8")
        page.reload()
        settled(page)
        assert not switch.is_checked()
        back.click()
        settled(page)
        assert parse_qs(urlsplit(page.url).query) == {"q": [QUERY]}
        assert shown(page) == fused


def test_examples_of_a_run_that_recommends_fused_search_are_fused(recommending):
    examples = facts(recommending)["examples"]
    after = examples["after"]
    assert after == {"system": "matryoshka", "dimension": 48, "precision": "int8", "mode": "fused"}
    changed = [*examples["gained"], *examples["lost"]]
    assert changed
    for example in changed:
        answer = asked(recommending, example["query"], **after)
        relevant = sum(bool(hit["relevant"]) for hit in answer["hits"])
        assert example["after"] == pytest.approx(relevant / answer["judged"]["relevant"])
