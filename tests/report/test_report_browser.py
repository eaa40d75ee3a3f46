"""The report in a real browser, opened from disk.

Oracle: Chromium: what it requests, what it writes to its console, how wide the page is, and what order the rows have.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import pytest
from report_browser import OPEN_ALL, OUTSIDE, OVERFLOW, Visit
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
            found = page.locator(".scroll:visible").evaluate_all(boxes)
            assert all(scrolls == reachable for scrolls, reachable in found)
            assert any(scrolls for scrolls, _ in found) == (width == 390)
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip"


def test_queries_open_together_and_for_print(browser: Browser, shipped: RunFolder) -> None:
    opened = "entries => entries.filter(entry => entry.open).length"
    with Visit(browser, shipped) as page:
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
        for role in ("banner", "main", "navigation", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("img").count() == len(FIGURES)
        assert page.locator("html").get_attribute("lang") == "en"
        levels = page.locator("h1, h2, h3, h4").evaluate_all("heads => heads.map(head => +head.tagName[1])")
        assert all(below - above <= 1 for above, below in pairwise(levels)), "no level is left out"
        unnamed = "cells => cells.filter(cell => !cell.scope).length"
        assert page.locator("th").evaluate_all(unnamed) == 0


def test_without_script_everything_is_there(browser: Browser, shipped: RunFolder) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shipped.path("report").as_uri())
    assert page.get_by_role("button").count() == 0, "no button that does nothing"
    assert page.get_by_role("table", name="The surface on the test split").locator("tbody tr").count() == 25
    context.close()
