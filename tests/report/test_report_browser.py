"""The report in a real browser, opened from disk.

Oracle: Chromium: what it requests, what it writes to its console, how wide the page is, and what order the rows have.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import pytest
from report_browser import OPEN_ALL, OPEN_FOLDS, OUTSIDE, OVERFLOW, Visit
from report_page import FIGURES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from nestvec.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        *product(["shipped"], ["light", "dark"], [390, 1280]),
        ("stopped", "light", 390),
        ("stopped", "dark", 1280),
        ("crowded", "light", 390),
        ("crowded", "dark", 1280),
        ("broad", "light", 1280),
        ("broad", "dark", 390),
    ],
)
def test_fits_its_window_and_loads_nothing(
    browser: Browser, request: pytest.FixtureRequest, name: str, scheme: str, width: int
) -> None:
    with Visit(browser, request.getfixturevalue(name), width, scheme) as page:
        assert page.evaluate(OVERFLOW) == 0
        page.evaluate(OPEN_ALL)
        assert page.evaluate(OVERFLOW) == 0
        assert page.locator("main *").evaluate_all(OUTSIDE) == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        assert page.evaluate("window.pwned") is None


COLUMN = "rows => rows.map(row => row.cells[{}].dataset.value ?? '')"


def test_sorting_by_click(browser: Browser, shipped: RunFolder) -> None:
    with Visit(browser, shipped) as page:
        page.evaluate(OPEN_FOLDS)
        table = page.get_by_role("table", name="The surface on the test split")
        rows = table.locator("tbody tr")
        as_drawn = rows.evaluate_all(COLUMN.format(4))
        head = table.get_by_role("columnheader", name="recall@10")
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        down = [float(value) for value in rows.evaluate_all(COLUMN.format(4))]
        assert down == sorted(map(float, as_drawn), reverse=True) and len(down) == 25
        assert page.get_by_role("status").inner_text() == "Sorted by recall@10, descending"
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert [float(value) for value in rows.evaluate_all(COLUMN.format(4))] == sorted(down)


def test_sorting_by_keyboard_and_rows_without_a_value_stay_last(browser: Browser, shipped: RunFolder) -> None:
    with Visit(browser, shipped) as page:
        page.evaluate(OPEN_FOLDS)
        table = page.get_by_role("table", name="The surface on the test split")
        rows = table.locator("tbody tr")
        head = table.get_by_role("columnheader", name="Bytes")
        head.get_by_role("button").focus()
        for key, order in (("Enter", "descending"), ("Space", "ascending")):
            page.keyboard.press(key)
            assert head.get_attribute("aria-sort") == order
            values = rows.evaluate_all(COLUMN.format(3))
            assert values[-1] == "" and "" not in values[:-1]
            sizes = [int(value) for value in values[:-1]]
            assert sizes == sorted(sizes, reverse=order == "descending")
        assert table.locator("[aria-sort]").count() == 1
        table.get_by_role("columnheader", name="System").get_by_role("button").press("Enter")
        names = rows.evaluate_all(COLUMN.format(0))
        assert names == sorted(names)


def test_keyboard_reaches_what_scrolls_and_nothing_else(browser: Browser, shipped: RunFolder) -> None:
    boxes = "boxes => boxes.map(box => [box.scrollWidth > box.clientWidth, box.tabIndex === 0])"
    for width in (390, 1280):
        with Visit(browser, shipped, width) as page:
            page.evaluate(OPEN_FOLDS)
            found = page.locator(".scroll:visible").evaluate_all(boxes)
            assert all(scrolls == reachable for scrolls, reachable in found)
            assert any(scrolls for scrolls, _ in found) == (width == 390)
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip"


def test_queries_open_together_and_for_print(browser: Browser, shipped: RunFolder) -> None:
    opened = "entries => entries.filter(entry => entry.open).length"
    with Visit(browser, shipped) as page:
        page.evaluate(OPEN_FOLDS)
        group = page.get_by_role("group", name="Gained most")
        entries = group.locator(".change")
        count = entries.count()
        assert entries.evaluate_all(opened) == 1
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert entries.evaluate_all(opened) == count
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert entries.evaluate_all(opened) == 1
        button = group.get_by_role("button", name="Open all")
        button.click()
        assert entries.evaluate_all(opened) == count
        group.get_by_role("button", name="Close all").click()
        assert entries.evaluate_all(opened) == 0


def test_landmarks_and_names(browser: Browser, shipped: RunFolder) -> None:
    with Visit(browser, shipped) as page:
        page.evaluate(OPEN_FOLDS)
        for role in ("banner", "main", "navigation", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("img").count() == len(FIGURES) + page.locator(".plot g[tabindex]").count()
        assert page.locator("html").get_attribute("lang") == "en"
        levels = page.locator("h1, h2, h3, h4").evaluate_all("heads => heads.map(head => +head.tagName[1])")
        assert all(below - above <= 1 for above, below in pairwise(levels)), "no level is left out"
        unnamed = "cells => cells.filter(cell => !cell.scope).length"
        assert page.locator("th").evaluate_all(unnamed) == 0


def test_without_script_everything_is_there(browser: Browser, shipped: RunFolder) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shipped.path("report").as_uri())
    for fold in page.locator(".fold > summary").all():
        fold.click()
    assert page.get_by_role("button").count() == 0, "no button that does nothing"
    assert page.get_by_role("table", name="The surface on the test split").locator("tbody tr").count() == 25
    context.close()


SCREENS = "document.documentElement.scrollHeight / 800"


@pytest.mark.parametrize("name", ["shipped", "stopped", "chosen"])
def test_page_opens_short(browser: Browser, request: pytest.FixtureRequest, name: str) -> None:
    with Visit(browser, request.getfixturevalue(name)) as page:
        assert page.evaluate(SCREENS) <= 6, "issue 18: at most six screens of a desktop"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_first_screen_fits_a_phone_and_a_desktop(browser: Browser, chosen: RunFolder, scheme: str) -> None:
    for width in (360, 1280):
        with Visit(browser, chosen, width, scheme) as page:
            assert page.evaluate(OVERFLOW) == 0
            assert page.locator("main *").evaluate_all(OUTSIDE) == []
            for text in page.locator(".plot text:visible").all():
                box = text.bounding_box()
                assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width, text.text_content()
    # width is 1280: the answer, the chart and the proven choice are seen without scrolling
    with Visit(browser, chosen) as page:
        for seen in ("#headline", "#figure-first", ".card.proven >> nth=0"):
            box = page.locator(seen).bounding_box()
            assert box is not None and box["y"] + box["height"] <= 844


def test_chart_tells_its_numbers_on_hover_and_on_focus(browser: Browser, chosen: RunFolder) -> None:
    with Visit(browser, chosen) as page:
        marks = page.locator(".plot g[tabindex]")
        assert page.locator(".plot .tip:visible text").count() == 0
        for place in range(marks.count()):
            mark = marks.nth(place)
            name = (mark.get_attribute("aria-label") or "").partition(":")[2].strip()
            mark.focus()
            assert mark.locator(".tip text").last.text_content() == name
            assert page.locator(".plot .tip text:visible").count() == 2, "only its own"
        marks.last.evaluate("mark => mark.blur()")
        page.locator(".plot .dot.chosen .core").first.hover()
        assert page.locator(".plot .tip text:visible").count() == 2
