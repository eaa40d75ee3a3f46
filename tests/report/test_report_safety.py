"""Nothing from the run's files becomes markup or script, and the page loads nothing.

Oracle: the standard library's HTML parser (what a planted tag would become), the list of attributes and CSS functions
that make a browser load something, and SHA-256 for the content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from report_page import BLANK, Page
from report_world import MARKUP

from nestvec.report import write_report
from nestvec.report.content import read_content
from nestvec.report.run_page import render_run_page
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.folder import RunFolder

LOADING = ("src", "srcset", "href", "xlink:href", "action", "data", "poster", "background", "formaction", "ping")
TABLES = ("surface", "frontier", "comparisons", "steps")
NASTY = "\"><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} {% raw %} &lt;b&gt; ' </style></title>"


def test_planted_markup_is_text(page: Page) -> None:
    assert MARKUP in page.text, "the fixture plants it in a query, a document and an example"
    assert len(page.root.find("script")) == 1
    assert "window.pwned" not in page.root.find("script")[0].raw


_FREE = frozenset(
    ("source", "model", "reason", "name", "action", "examples", "protocol", "threshold_source", "decision")
)
_OF_TRAINING = frozenset(("system", "compute", "precision"))  # the results' list of trained systems is changed alike


def strings(value: object, free: frozenset[str] = _FREE) -> object:
    """The same JSON with something nasty appended to every free text."""
    if isinstance(value, dict):
        return {
            key: strings(entry, free) if key in free or not isinstance(entry, str) else entry
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [strings(entry, free) for entry in value]
    return value + NASTY if isinstance(value, str) else value


def test_every_free_text_is_escaped(changed_run: RunFolder) -> None:
    for name in ("results", "recommendation", "grades", "audit", "findings", "training"):
        path, free = changed_run.path(name), _OF_TRAINING if name == "training" else _FREE
        path.write_text(json.dumps(strings(json.loads(path.read_text(encoding="utf-8")), free)), encoding="utf-8")
    config = changed_run.path("config")
    nasty = json.dumps(NASTY)
    text = config.read_text(encoding="utf-8")
    config.write_text(f"{nasty} = {nasty}\n{text}{nasty} = {nasty}\n", encoding="utf-8")
    page = Page.parse(render_run_page(read_content(Run(changed_run)), BLANK))
    assert len(page.root.find("script")) == 1
    assert not page.root.find("img") and not page.misnested
    assert not [element for element in page.elements if any(name.startswith("on") for name in element.attributes)]
    assert page.text.count("{{ 7 * 7 }}") > 8 and "49" not in page.root.find("title")[0].text
    assert page.root.find("title")[0].text.endswith("</title>"), "the text of it, as text"


def test_page_is_well_formed(page: Page, stopped: RunFolder) -> None:
    for whole in (page, Page.read(stopped.path("report"))):
        assert not whole.misnested
        ids = [element.attributes["id"] for element in whole.elements if "id" in element.attributes]
        assert len(ids) == len(set(ids))
        targets = [element.attributes["href"] for element in whole.root.find("a")]
        targets = [target for target in targets if target.startswith("#")]
        labels = [
            element.attributes["aria-labelledby"]
            for element in whole.elements
            if "aria-labelledby" in element.attributes
        ]
        assert {target.removeprefix("#") for target in targets} | set(labels) <= set(ids)


@pytest.mark.parametrize("name", ["shipped", "stopped"])
def test_nothing_is_loaded(request: pytest.FixtureRequest, name: str) -> None:
    folder: RunFolder = request.getfixturevalue(name)
    text = folder.path("report").read_text(encoding="utf-8")
    whole = Page.parse(text)
    assert not {"link", "iframe", "object", "embed", "img", "base", "form"} & {
        element.tag for element in whole.elements
    }
    links = [element.attributes["href"] for element in whole.root.find("a")]
    files = {link for link in links if not link.startswith("#")}
    assert files == {*(f"tables/{name}.csv" for name in TABLES), "figures/differences.png", "figures/differences.svg"}
    assert all((folder.root / name).is_file() for name in files), "they lead to what lies beside the page"
    elements = [element for element in whole.elements if element.tag != "a"]
    addresses = [value for element in elements for key, value in element.attributes.items() if key in LOADING]
    addresses += [link for link in links if link not in files]
    addresses += re.findall(r"url\(\s*['\"]?([^)'\"]*)", text) + re.findall(r"@import\s+(\S+)", text)
    assert addresses, "the contents and the drawings refer to parts of the page"
    assert not [address for address in addresses if not address.startswith(("#", "data:"))]
    assert not re.search(r"https?:|//[\w.-]+\.\w{2,}/", re.sub(r"<q>.*?</q>", "", text))


def test_only_our_script_may_run(page: Page) -> None:
    [policy] = [meta.attributes["content"] for meta in page.root.find("meta") if "http-equiv" in meta.attributes]
    script = page.root.find("script")[0].raw
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_same_files_give_the_same_bytes(shipped: RunFolder, tmp_path: Path, changed_run: RunFolder) -> None:
    write_report(Run(changed_run))  # the same files elsewhere
    written = [*shipped.path("figures").iterdir(), *shipped.path("tables").iterdir()]
    for name in ["report.html", *(str(path.relative_to(shipped.root)) for path in written)]:
        assert (changed_run.root / name).read_bytes() == (shipped.root / name).read_bytes()
