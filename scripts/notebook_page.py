"""The notebook as a page of the site: its words, its code, and what came out when it was last run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbconvert import MarkdownExporter

if TYPE_CHECKING:
    from pathlib import Path

_NOTE = "\n[This page as a notebook](notebook.ipynb), to run and to change.\n"


def make_notebook_page(notebook: Path) -> dict[str, str | bytes]:
    """The page and its pictures: paths on the site, and their content."""
    text, resources = MarkdownExporter().from_filename(str(notebook))
    heading, rest = text.lstrip().split("\n", 1)
    pictures = {f"notebook_{name}": content for name, content in resources["outputs"].items()}
    text = re.sub(r"\]\((output_[^)]+)\)", r"](notebook_\1)", f"{heading}\n{_NOTE}{rest}")
    return {"notebook.md": text, **pictures}
