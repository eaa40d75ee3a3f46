"""What the page says of results that few people judged.

Oracle: judged@10 in the results, set here above and below a third.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from report_browser import Visit
from report_page import BLANK

from nestvec.report.content import read_content
from nestvec.report.run_page import render_run_page
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser
    from report_page import Page

    from nestvec.runs.folder import RunFolder

    Rendered = Callable[[str, Callable[[Any], object]], Page]

MEANING = "Few of the results were ever judged."


def set_judged(**share: float) -> Callable[[Any], None]:
    """Give all rows of a system a share of judged results; `other` is that of all others."""

    def change(results: Any) -> None:
        for row in results["surface"]:
            value = share.get(row["system"], share["other"])
            row["metrics"]["judged@10"] = {"value": value, "low": max(0.0, value - 0.01), "high": value + 0.01}

    return change


def test_nothing_is_said_where_a_third_was_judged(rendered: Rendered) -> None:
    page = rendered("results", set_judged(other=0.34))
    assert MEANING not in page.text
    assert "were ever judged" not in page.text


def test_low_shares_are_explained_where_they_are_shown(rendered: Rendered) -> None:
    page = rendered("results", set_judged(pretrained=0.21, other=0.38))
    for section in ("comparison", "surface"):
        [told] = [
            note
            for found in page.root.find("section")
            if found.attributes.get("aria-labelledby") == section
            for note in found.find("p", class_="seldom-judged")
        ]
        assert told.text.startswith(f"{MEANING} Of the first ten results, people judged 21 % to 38 %")
        assert "A result that nobody judged counts as not relevant" in told.text
    assert "Only 38 % of the first ten results of the recommended vector were ever judged." in page.text


def test_one_share_is_said_once(rendered: Rendered) -> None:
    page = rendered("results", set_judged(other=0.2))
    [told, _] = page.root.find("p", class_="seldom-judged")
    assert "people judged 20 %, depending" in told.text


def test_the_first_screen_leads_to_the_meaning(
    rendered: Rendered, changed_run: RunFolder, browser: Browser, tmp_path: Path
) -> None:
    rendered("results", set_judged(other=0.2))
    page = tmp_path / "report.html"
    page.write_text(render_run_page(read_content(Run(changed_run)), BLANK), encoding="utf-8")
    visit = Visit(browser, page)
    told = visit.page.get_by_text(MEANING).first
    assert not told.is_visible()
    visit.page.get_by_role("link", name="what few judgements mean").click()
    told.wait_for(state="visible")
    visit.context.close()
    assert visit.said == []


@pytest.mark.parametrize("share", [0.0, 0.333])
def test_below_a_third_is_few(rendered: Rendered, share: float) -> None:
    assert MEANING in rendered("results", set_judged(other=share)).text
