"""Searching on the page, in a real browser, on the real server of a real run.

Oracle: what the API answers to the same question: ids in order, texts, grades and figures; and the browser's history.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from page_visit import (
    SYSTEMS,
    Visit,
    asked,
    box,
    column,
    expected,
    ids,
    judged_queries,
    measured,
    search,
    settled,
    shown,
    told,
)

QUERY = "ladder for a saw"  # judged by nobody
RINGS = "rings => rings.map(ring => [ring.dataset.system, ring.cx.baseVal.value])"


def test_what_is_typed_is_found_by_every_system_side_by_side(browser, served, run, start):
    with Visit(browser, served) as page:
        box(page).press_sequentially(QUERY)
        settled(page)
        assert shown(page) == expected(served, QUERY, *start)
        tops = [column(page, system).bounding_box() for system in SYSTEMS]
        assert len({place["y"] for place in tops}) == 1
        assert [place["x"] for place in tops] == sorted({place["x"] for place in tops})
        for system in SYSTEMS:
            hits = asked(served, QUERY, system, *start)["hits"]
            rows = column(page, system).get_by_role("listitem")
            assert rows.locator(".text").all_inner_texts() == [hit["text"] for hit in hits]
            assert rows.locator(".score").all_inner_texts() == [f"{hit['score']:.3f}" for hit in hits]
            point, figures = measured(run, system, *start), told(page, system)
            value = point["metrics"]["recall@10"]
            assert figures["recall@10"] == f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
            size = point["bytes_per_vector"]
            assert figures["Bytes"] == ("\N{EN DASH} no vectors" if size is None else f"{size:,} per vector")
            assert re.fullmatch(r"[\d.,]+ ms (no|[\d.,]+) encoding", figures["Time"])
        assert re.match("Results: 10 from pretrained, ", page.locator("#said").inner_text())


def test_what_moved_against_the_first_column_is_said_in_words(browser, served):
    with Visit(browser, served, "/?q=saw+size+11&d=48&p=binary") as page:
        first = ids(page, "pretrained")
        for system in SYSTEMS[1:]:
            words = column(page, system).locator(".move").all_inner_texts()
            assert len(words) == len(ids(page, system)) > 0
            for rank, (identifier, said) in enumerate(zip(ids(page, system), words, strict=True), start=1):
                before = first.index(identifier) + 1 if identifier in first else None
                sign = "+ new" if before is None else "= same" if before == rank else None
                assert said == (sign or (f"↑ up from {before}" if before > rank else f"↓ down from {before}"))
        assert column(page, "pretrained").locator(".move").count() == 0


def test_the_slider_changes_order_bytes_and_plot(browser, served, run, start):
    with Visit(browser, served) as page:
        search(page, QUERY)
        before = shown(page)
        slider = page.get_by_role("slider", name="Dimensions")
        slider.fill("0")
        settled(page)
        assert slider.get_attribute("aria-valuetext") == "48 dimensions"
        assert shown(page) == expected(served, QUERY, 48, start[1]) != before
        rings = page.locator(".ring").evaluate_all(
            "rings => rings.map(ring => [ring.dataset.system, ring.cx.baseVal.value])"
        )
        assert [system for system, _ in rings] == SYSTEMS[:3]
        ticks = {text.text_content(): float(text.get_attribute("x")) for text in page.locator("#plot text").all()}
        assert {x for _, x in rings} == {ticks["48"]}
        for system in SYSTEMS[:3]:
            point = measured(run, system, 48, start[1])
            assert told(page, system)["Bytes"] == f"{point['bytes_per_vector']} per vector"
            assert told(page, system)["recall@10"].startswith(f"{point['metrics']['recall@10']['value']:.3f} ")
        page.get_by_role("radio", name="binary").check()
        settled(page)
        assert shown(page) == expected(served, QUERY, 48, "binary")
        assert told(page, "mnr")["Bytes"] == f"{measured(run, 'mnr', 48, 'binary')['bytes_per_vector']} per vector"
        assert (
            page.locator("#size").inner_text().startswith(told(page, "mnr")["Bytes"].split()[0] + " bytes per vector")
        )
        page.get_by_role("button", name="Back to").click()
        settled(page)
        assert shown(page) == before


def test_the_plot_shows_the_surface_and_a_click_on_it_searches_there(browser, served, run):
    with Visit(browser, served, f"/?q={QUERY}&p=int8&x=bytes") as page:
        drawing = page.get_by_role("img", name=re.compile("recall@10 by bytes per vector"))
        value = measured(run, "mnr", 384, "int8")["metrics"]["recall@10"]["value"]
        assert f"mnr 384 int8 {value:.3f}" in drawing.get_attribute("aria-label")
        points = [len(entry["points"]) for entry in run["systems"]]
        marks = [page.locator(f"#plot g[data-system={system}] .mark").count() for system in SYSTEMS]
        assert marks == [*points[:3], 0]
        rings = page.locator(".ring").evaluate_all("rings => rings.map(ring => +ring.dataset.dimension)")
        page.get_by_role("radio", name="by dimension").check()
        left = page.locator("#plot text", has_text="48").first.bounding_box()
        y = page.locator(".ring[data-system=mnr]").bounding_box()["y"] + 8
        page.mouse.click(left["x"] + left["width"] / 2, y)
        settled(page)
        assert shown(page) == expected(served, QUERY, 48, "int8")
        assert rings == [384] * 3 and page.locator(".ring").first.get_attribute("data-dimension") == "48"


def test_the_address_holds_the_view_and_back_undoes_a_step(browser, served, start):
    with Visit(browser, served) as page:
        box(page).press_sequentially("hammer")
        settled(page)
        page.get_by_role("slider").press("Home")
        settled(page)
        page.get_by_role("checkbox", name="matryoshka").uncheck()
        settled(page)
        query = parse_qs(urlsplit(page.url).query)
        assert query == {"q": ["hammer"], "d": ["48"], "s": ["pretrained,mnr,bm25"]}
        seen = page.locator("main").inner_text()
        listed = {system: ids(page, system) for system in ("pretrained", "mnr", "bm25")}
        page.reload()
        settled(page)
        times = re.compile(r"[\d.,]+ ms|[\d.,]+ encoding")
        assert times.sub("", page.locator("main").inner_text()) == times.sub("", seen)
        assert {system: ids(page, system) for system in listed} == listed
        page.go_back()
        settled(page)
        assert shown(page) == expected(served, "hammer", 48, start[1])
        page.go_back()
        settled(page)
        assert shown(page) == expected(served, "hammer", *start)
        page.go_back()
        settled(page)
        assert box(page).input_value() == "" and page.locator("#columns li").count() == 0
        page.go_forward()
        settled(page)
        assert box(page).input_value() == "hammer" and shown(page) == expected(served, "hammer", *start)


def test_an_address_of_nonsense_shows_the_beginning(browser, served, start):
    with Visit(browser, served, "/?q=hammer&d=49&p=float8&s=none,,&x=z") as page:
        assert shown(page) == expected(served, "hammer", *start)


def test_with_the_keyboard_alone(browser, served, run, start):
    example = (run["examples"]["gained"] + run["examples"]["lost"])[0]["query"]
    with Visit(browser, served) as page:
        keys, focused = page.keyboard, "document.activeElement"
        assert page.evaluate(f"{focused}.id") == "query"
        keys.type(QUERY)
        keys.press("Tab")
        assert page.evaluate(f"{focused}.id") == "dimension"
        keys.press("Home")
        keys.press("ArrowRight")
        keys.press("Tab")
        keys.press("ArrowRight")
        settled(page)
        chosen = page.get_by_role("radio", checked=True).first.input_value()
        assert chosen in ("int8", "binary") and shown(page) == expected(served, QUERY, 96, chosen)
        outline = f"getComputedStyle({focused}.nextElementSibling).outlineStyle"
        assert page.evaluate(outline) == "solid"
        for _ in range(12):
            keys.press("Tab")
            if page.evaluate(f"{focused}.dataset.query") == example:
                break
        keys.press("Enter")
        settled(page)
        assert box(page).input_value() == example and shown(page) == expected(served, example, 96, chosen)
        assert page.get_by_role("button", pressed=True).count() == 1
        keys.press("/")
        keys.type("wrench/")
        settled(page)
        assert box(page).input_value() == "wrench/"  # what was there was selected; a slash that is typed stays


def test_grades_of_a_judged_query(browser, served, shop, start):
    for judged in judged_queries(shop):
        answers = {system: asked(served, judged, system, *start) for system in SYSTEMS}
        if {hit["grade"] for hit in every(answers)} >= {3, 2, 1, None}:
            break  # something of each kind is found
    with Visit(browser, served) as page:
        search(page, judged)
        relevant = answers["mnr"]["judged"]["relevant"]
        assert f"of the test split: {relevant} relevant" in page.locator("#judged").inner_text()
        for system, answer in answers.items():
            words = column(page, system).locator(".grade").all_inner_texts()
            assert words == [graded(hit) for hit in answer["hits"]]
            found = sum(hit["relevant"] is True for hit in answer["hits"])
            assert told(page, system)["Relevant"] == f"{found} of {relevant} in the first ten"
        assert {(hit["grade"], hit["relevant"]) for hit in every(answers)} >= {
            (3, True),
            (2, True),
            (1, False),
            (None, None),
        }
        search(page, judged_queries(shop, "train")[0])
        assert re.search("of the train split: .* have seen it", page.locator("#judged").inner_text())
        search(page, QUERY)
        assert page.locator(".grade").count() == 0 and not page.locator("#judged").is_visible()


def every(answers):
    return [hit for answer in answers.values() for hit in answer["hits"]]


def graded(hit):
    if hit["grade"] is None:
        return "not judged"
    return f"{'relevant' if hit['relevant'] else 'not relevant'}, {hit['grade']:g}"


def test_stale_answers_are_dropped_and_what_is_known_is_not_asked_again(browser, served, start):
    visit = Visit(browser, served)
    with visit as page:
        for query in ("hammer", "saw", "clamp"):
            box(page).fill(query)
            page.wait_for_timeout(130)  # longer than the pause after typing: all of them are asked
        settled(page)
        page.wait_for_timeout(200)
        assert shown(page) == expected(served, "clamp", *start)
        count = len(visit.requests)  # the icon may be asked for again
        search(page, "")
        assert page.locator("body").get_attribute("data-state") == "empty"
        search(page, "clamp")
        assert shown(page) == expected(served, "clamp", *start)
        page.wait_for_timeout(300)  # longer than the pause after typing
        assert [url for url in visit.requests[count:] if "/v1/" in url] == []
