"""The page of `nestvec check`: it says what `check.json` holds, as text and nothing but text.

Oracle: the facts themselves, written as the page writes numbers; the standard library's HTML parser; Chromium.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_browser import OPEN_ALL, OUTSIDE, OVERFLOW, Visit
from report_page import Element, Page, spaced
from tables import rows, spoilt, write_csv
from test_report_safety import LOADING, strings

import nestvec
from nestvec.report.check_page import check_headline, read_checked, write_check_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SILENT = {"schema", "rejected", "revision", "relevant_from", "exact_leaks", "leaked_share", "lowest", "highest"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A check of a table with everything that is to be found."""
    out = tmp_path_factory.mktemp("check")
    nestvec.check(str(write_csv(out / "judged.csv", spoilt())), out, on_bad_row="set-aside")
    return out


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "check.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page.read(folder / "check.html")


def numbers(value: Any, path: str = "") -> list[tuple[str, float]]:
    """Every number of the facts with where it stands."""
    if isinstance(value, dict):
        return [found for key, entry in value.items() if key not in SILENT for found in numbers(entry, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for entry in value for found in numbers(entry, path)]
    return [(path, value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def pieces(element: Element) -> list[str]:
    """The texts of a page one by one, so that neighbouring cells stay apart."""
    return [text for child in element.children for text in ([child] if isinstance(child, str) else pieces(child))]


def written(value: float) -> set[str]:
    """The forms in which the page may show a number."""
    found = {f"{value:,.6g}", f"{value:,.1f}", f"{100 * value:.1f}", f"{100 * value:.0f}", f"{value:.4g}"}
    return found | ({f"{value:,}"} if isinstance(value, int) else set())


def test_every_number_is_shown(page: Page, facts: dict[str, Any]) -> None:
    shown = set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", " ".join(pieces(page.root))))
    found = numbers(facts)
    assert len(found) > 80
    words = {"seen": {"All"}, "components.count": {"1"}, "queries_without_relevant": {"Every"}}
    for path, value in found:
        spoken = next((said for end, said in words.items() if path.endswith(end)), set())
        zero = value == 0 and path.endswith("unjudged_documents")
        assert written(value) & shown or any(word in page.text for word in spoken) or zero, path


def test_every_text_is_shown(page: Page, facts: dict[str, Any]) -> None:
    texts = [facts["source"], facts["sha256"], *facts["warnings"], facts["tokens"]["model"]]
    for finding in facts["findings"]:
        action = finding["action"][0].upper() + finding["action"][1:]
        texts += [finding["name"].capitalize(), action, *finding["examples"]]
    texts += [text for group in facts["near_duplicates"]["examples"] for text in group]
    assert len(texts) > 15
    for text in texts:
        assert spaced(text) in page.text


def test_the_sentence_and_the_warnings_come_first(page: Page, facts: dict[str, Any]) -> None:
    [head] = page.root.find("h1")
    records, queries, documents = (f"{facts[key]:,}" for key in ("records", "queries", "documents"))
    assert head.text.startswith(f"{records} records, {queries} queries, {documents} documents: relevant from 2.5 on")
    assert head.text.endswith(f"; {len(facts['warnings'])} warnings.")
    verdict = page.root.find("section", class_="verdict")[0]
    assert [status.text for status in verdict.find(class_="warn")] == facts["warnings"]


def test_no_dip_is_said(tmp_path: Path, facts: dict[str, Any]) -> None:
    grades = {**facts["grades"], "dip": None, "threshold": 2.0, "threshold_source": "middle"}
    write_check_page({**facts, "grades": grades}, tmp_path / "check.html")
    text = Page.read(tmp_path / "check.html").text
    assert "the grades show no dip, so relevant from 2 on, the middle of their range" in text
    assert "The histogram has no dip between two humps that would suggest a threshold." in text


def test_a_given_threshold_stands_beside_the_dips(tmp_path: Path, facts: dict[str, Any]) -> None:
    grades = {**facts["grades"], "threshold": 3.0, "threshold_source": "given"}
    write_check_page({**facts, "grades": grades}, tmp_path / "check.html")
    text = Page.read(tmp_path / "check.html").text
    assert "relevant from 3 on, as given" in text
    assert "The dip would put the threshold at 2.5." in text


def test_one_of_each_is_singular(facts: dict[str, Any]) -> None:
    one = read_checked({**facts, "records": 1, "queries": 1, "documents": 1, "warnings": ["!"]})
    assert check_headline(one).startswith("1 record, 1 query, 1 document: ")
    assert check_headline(one).endswith("; 1 warning.")
    assert check_headline(read_checked({**facts, "warnings": []})).endswith("dip.")


def test_planted_markup_is_text(page: Page, facts: dict[str, Any]) -> None:
    assert "<script>window.pwned" in json.dumps(facts)
    assert len(page.root.find("script")) == 1
    assert "<script>window.pwned = 1</script>" in page.text


def test_every_free_text_is_escaped(tmp_path: Path, facts: dict[str, Any]) -> None:
    nasty = strings({**facts, "near_duplicates": {**facts["near_duplicates"], "examples": [["a", "b"]]}})
    nasty["grades"]["threshold_source"] = "dip"
    write_check_page(nasty, tmp_path / "check.html")
    page = Page.read(tmp_path / "check.html")
    assert len(page.root.find("script")) == 1
    assert not page.root.find("img") and not page.misnested
    assert not [element for element in page.elements if any(name.startswith("on") for name in element.attributes)]


def test_nothing_is_loaded(folder: Path, page: Page) -> None:
    text = (folder / "check.html").read_text(encoding="utf-8")
    addresses = [value for element in page.elements for key, value in element.attributes.items() if key in LOADING]
    addresses += re.findall(r"url\(\s*['\"]?([^)'\"]*)", text)
    assert addresses and not [address for address in addresses if not address.startswith("#")]
    assert not {"link", "iframe", "object", "embed", "img", "base", "form"} & {one.tag for one in page.elements}
    assert not re.search(r"https?:", text)
    assert not page.misnested
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    labels = [one.attributes["aria-labelledby"] for one in page.elements if "aria-labelledby" in one.attributes]
    targets = [one.attributes["href"].removeprefix("#") for one in page.root.find("a")]
    assert len(ids) == len(set(ids)) and {*labels, *targets} <= set(ids)


def test_the_same_facts_give_the_same_bytes(tmp_path: Path, folder: Path, facts: dict[str, Any]) -> None:
    write_check_page(facts, tmp_path / "check.html")
    assert (tmp_path / "check.html").read_bytes() == (folder / "check.html").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["check.html"]


@pytest.mark.parametrize(("scheme", "width"), [*product(["light", "dark"], [390, 1280])])
def test_in_a_browser(browser: Browser, folder: Path, scheme: str, width: int) -> None:
    with Visit(browser, folder / "check.html", width, scheme) as visited:
        assert visited.evaluate(OVERFLOW) == 0
        visited.evaluate(OPEN_ALL)
        assert visited.evaluate(OVERFLOW) == 0
        assert visited.locator("main *").evaluate_all(OUTSIDE) == []
        dark = visited.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        assert visited.evaluate("window.pwned") is None
        assert visited.get_by_role("img").count() == 1
        for role in ("banner", "main", "navigation", "contentinfo"):
            assert visited.get_by_role(role).count() == 1
        levels = visited.locator("h1, h2, h3").evaluate_all("heads => heads.map(head => +head.tagName[1])")
        assert all(below - above <= 1 for above, below in pairwise(levels))


def test_many_levels_with_few_records(tmp_path: Path) -> None:
    """Levels that hold next to nothing get thin bars, and the others their labels."""
    table = rows(60)
    for place, row in enumerate(table[:10]):
        row["grade"] = 1.05 + place / 7
    facts = nestvec.check(str(write_csv(tmp_path / "judged.csv", table))).facts
    assert len(facts["grades"]["levels"]) == 13
    write_check_page(facts, tmp_path / "check.html")
    drawing = Page.read(tmp_path / "check.html").root.find("svg")[0]
    labels = [text.text for text in drawing.find("text")]
    assert [label for label in labels if re.fullmatch(r"[123]", label)] == ["1", "2", "3"]
    assert "1.05" not in labels
