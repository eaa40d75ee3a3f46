"""Chromium for tests: a page from disk, and all that happened on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from nestvec.runs.folder import RunFolder

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTSIDE = """elements => elements.filter(element => !element.closest('.scroll, svg, .hidden')
    && element.getBoundingClientRect().right > innerWidth + 0.5).map(element => element.outerHTML.slice(0, 80))"""
OPEN_FOLDS = "document.querySelectorAll('.fold').forEach(entry => { entry.open = true })"
OPEN_ALL = "document.querySelectorAll('details').forEach(entry => { entry.open = true })"


def launched() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium found: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


class Visit:
    """A page and all that happened on it."""

    def __init__(self, browser: Browser, place: RunFolder | Path, width: int = 1280, scheme: str = "light") -> None:
        self.url = (place if isinstance(place, Path) else place.path("report")).as_uri()
        self.context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(self.url)

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *failure: object) -> None:
        self.context.close()
        if failure[0] is None:
            assert self.said == []
            assert self.requests == [self.url]
