"""The page on all windows, for all readers, and when something is in the way.

Oracle: axe-core for what assistive technology needs, Chromium for widths, colours and what a text became, and the
report's own colours and markers.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import product

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from page_visit import SYSTEMS, Visit, beginning, box, expected, judged_queries, search, settled, shown, told
from report.report_browser import OVERFLOW
from running import serving, until
from shared_runs import copy_run

from nestvec.report.figure_style import STYLES
from nestvec.report.figures import style_indices

OUTSIDE = """(elements, width) => elements.filter(element => !element.closest('.wide, ul, .hidden')
    && element.getBoundingClientRect().right > width + 0.5).map(element => element.outerHTML.slice(0, 80))"""
KEY = "the-key-of-this-test"
MARKUP = '<script>window.pwned = 1</script><img src="x" onerror="window.pwned = 1"> & a hammer'
ARABIC = "مثقاب كهربائي لاسلكي 18 فولت"
LENGTHY = "A hammer with a handle of ash. " * 60


@pytest.fixture(scope="module")
def guarded(shop, tmp_path_factory):
    """A server with a key and a queue of one text, of a copy of the run with difficult texts and no fitted weight."""
    folder = tmp_path_factory.mktemp("guarded")
    copy_run(shop, folder / "run")
    (folder / "run" / "hybrid.json").unlink()  # as in a run of before there was one
    (folder / "key").write_text(KEY)
    path = folder / "run" / "data" / "catalogue.parquet"
    table = pq.read_table(path)
    texts = [MARKUP, ARABIC, LENGTHY] * table.num_rows
    place = table.schema.get_field_index("document")
    pq.write_table(table.set_column(place, "document", pa.array(texts[: table.num_rows])), path)
    words = ("--api-key", folder / "key", "--queue", 1, "--backend", "torch")  # which takes a while to be ready
    with serving(folder / "run", *words, ready=False) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [*product(["light", "dark"], [1280, 360])])
def test_nothing_stands_in_the_way_of_assistive_technology(browser, served, shop, scheme, width):
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with Visit(browser, served, width=width, scheme=scheme) as page:
        page.emulate_media(reduced_motion="reduce")
        page.evaluate(axe)
        for query, beside in (("", False), (judged_queries(shop)[0], False), (judged_queries(shop)[0], True)):
            search(page, query)
            page.get_by_role("switch", name="Beside keyword search").set_checked(beside)
            if beside:  # at another weight than the fitted one, so that there is a way back
                page.get_by_role("slider", name="Words or meaning").press("PageUp")
            settled(page)
            found = page.evaluate("axe.run().then(({ violations }) => violations)")
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert serious == [], json.dumps(serious, indent=1)[:4000]
            assert page.evaluate(OVERFLOW) == 0
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_fits_its_window(browser, served, shop, width):
    with Visit(browser, served, f"/?q={judged_queries(shop)[0]}&w=55", width=width) as page:
        assert page.get_by_role("button", name=re.compile(r"Back to \d+ % words")).is_visible()
        assert page.evaluate(OVERFLOW) == 0
        assert page.locator("main *").evaluate_all(OUTSIDE, width) == []
        scrolls = page.locator("#columns").evaluate("place => place.scrollWidth > place.clientWidth")
        assert scrolls == (width == 360)
        assert page.locator("#columns").evaluate("place => place.tabIndex") == (0 if scrolls else -1)


def test_looks_as_the_report(browser, served):
    names = [*SYSTEMS, "graded", "cosine", "adapted", "mnr+bm25", "all-mpnet-base-v2"]
    with Visit(browser, served) as page:
        places = page.evaluate(
            "names => import('/page/system_styles.js').then(({ styleIndices }) => [...styleIndices(names)])", names
        )
        assert dict(places) == style_indices(tuple(names))
        colours = """count => [...Array(count).keys()].map(
            place => getComputedStyle(document.documentElement).getPropertyValue(`--s${place}`))"""
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(colours, len(STYLES)) == [getattr(style, scheme) for style in STYLES]


@pytest.mark.slow
def test_key_then_waiting_then_texts_as_they_are(browser, guarded):
    statuses = set()
    with Visit(browser, guarded, "/?q=hammer", refused=True) as page:
        page.on("response", lambda response: statuses.add(response.status))
        secret = page.get_by_label("Key", exact=True)
        secret.fill("another key")
        secret.press("Enter")
        page.get_by_text("That key was not accepted.").wait_for()
        assert not page.locator("#bench").is_visible()
        secret.fill(KEY)
        page.get_by_role("button", name="Open").click()
        settled(page, 120_000)  # after as many waits as the models take to load
        assert {401, 503, 429} < statuses
        assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
        assert not page.get_by_role("alert").is_visible()
        texts = page.locator("#columns .text")
        assert set(texts.all_text_contents()) == {MARKUP, ARABIC, LENGTHY}
        assert page.locator("#columns :is(script, img, style, iframe)").count() == 0
        sides = "texts => [...new Set(texts.map(text => getComputedStyle(text).direction))]"
        assert sorted(texts.evaluate_all(sides)) == ["ltr", "rtl"]
        long = page.locator("#columns li", has_text=LENGTHY[:30]).first
        short = long.bounding_box()["height"]
        long.get_by_role("button", name="more").click()
        assert long.bounding_box()["height"] > 2 * short
        long.get_by_role("button", name="less").click()
        assert long.bounding_box()["height"] == short
        assert page.locator("#columns li", has_text=ARABIC).get_by_role("button", name="more").count() == 0
        page.get_by_role("switch", name="Beside keyword search").check()
        settled(page)
        assert "50 % words, the default" in page.locator("#fitted").inner_text()
        assert told(page, "mnr")["recall@10"] == "\N{EN DASH} not measured"
        search(page, MARKUP)
        assert MARKUP in set(texts.all_text_contents()) <= {MARKUP, ARABIC, LENGTHY}
        assert page.locator("main :is(script, img, style, iframe)").count() == 0 and MARKUP in page.title()


def test_a_server_that_does_not_answer_and_one_that_refuses(browser, served):
    with Visit(browser, served, refused=True) as page:
        settled(page)
        page.context.set_offline(True)
        box(page).fill("ladder")
        notice = page.get_by_role("alert")
        notice.get_by_text("The server does not answer.").wait_for()
        page.context.set_offline(False)
        notice.get_by_role("button", name="Try again").click()
        settled(page)
        assert shown(page) == expected(served, "ladder", *beginning(served)) and not notice.is_visible()
        box(page).fill("saw " * 20_000)  # more than a query may hold
        notice.get_by_role("button", name="Try again").wait_for()
        until(lambda: page.locator("#columns li").count() == 0, seconds=20)  # each system's refusal empties its column
        search(page, "saw")
        assert shown(page) == expected(served, "saw", *beginning(served)) and not notice.is_visible()
