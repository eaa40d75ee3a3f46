"""Makes a site of the documents (`make docs`): mkdocs calls the functions named `on_…`.

README.md and the other documents at the top of the clone become pages, the reference is made from the code, and links
between documents, which are written for the clone, are turned to where the pages stand.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
MOVED = {  # path in the clone to path on the site; what lies in docs/ keeps its name
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "LICENSE": "LICENSE.txt",
    "docs/notebook.ipynb": "notebook.md",
    "src/nestvec/serving/page/favicon.svg": "favicon.svg",
}
_WRITTEN = {page: source for source, page in MOVED.items()} | {"reference/files.md": "docs/data.md"}
_CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from notebook_page import make_notebook_page
        from reference_pages import make_pages
    finally:
        sys.path.pop(0)
    for source, page in MOVED.items():
        if not source.startswith("docs/"):
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for page, text in make_pages().items():
        files.append(File.generated(config, page, content=text))
    for page, content in make_notebook_page(ROOT / "docs" / "notebook.ipynb").items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a page's links; code stays as it is."""
    here = page.file.src_uri
    if page.parent is None:  # a tab of a single page: nothing to list beside it
        page.meta["hide"] = ["navigation"]
    if here == "notebook.md" or (here.startswith("reference/") and here not in _WRITTEN):
        return markdown  # written for the site
    source = _WRITTEN.get(here, f"docs/{here}")
    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(lambda link: _turn_link(link, source, here), part) for part in parts[::2]]
    return "".join(parts)


def _turn_link(link: re.Match[str], source: str, page: str) -> str:
    """A link from a document of the clone as a link between pages; only its text, where its target is no page."""
    text, target = link.groups()
    path, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target) or (not path and _find_page(source) == page):
        return link.group()
    in_clone = os.path.normpath(PurePosixPath(source).parent / path) if path else source
    on_site = _find_page(in_clone)
    if on_site is None:
        return text
    relative = os.path.relpath(on_site, PurePosixPath(page).parent)
    return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"


def _find_page(in_clone: str) -> str | None:
    """Where a file of the clone stands on the site; None where it does not."""
    return MOVED.get(in_clone) or (in_clone.removeprefix("docs/") if in_clone.startswith("docs/") else None)
