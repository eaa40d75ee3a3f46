"""Makes docs/report.png: the first screen of a run's report, as a desktop shows it.

Run: python scripts/report_picture.py runs/demo [docs/report.png]. Needs Playwright and a Chromium of the system.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1280, "height": 800}
SHARPNESS = 1.5  # pixels of the picture to one of the page, each way


def take_picture(run: Path, picture: Path) -> None:
    """Open the run's report in Chromium and write its first screen as a PNG file."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("No Chromium was found. Install it: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", device_scale_factor=SHARPNESS)
        page.goto((run / "report.html").resolve().as_uri())
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Name a run's folder: python scripts/report_picture.py runs/demo")
    take_picture(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/report.png"))
