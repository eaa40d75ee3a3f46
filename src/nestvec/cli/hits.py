"""Print search results in the terminal; separate from `cli/output.py`, whose imports would slow down a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nestvec.errors import replace_unprintable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from nestvec.stores.store import Hit


def print_hits(hits: Sequence[Hit], console: Console) -> None:
    """Print a table of search results: score, document id, text, and fields if any document has fields."""
    if not hits:
        console.print("no documents found")
        return
    table = Table(box=None, pad_edge=False)
    for name, justify in (("score", "right"), ("id", "left"), ("text", "left"), ("fields", "left")):
        if name != "fields" or any(hit.fields for hit in hits):
            table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for hit in hits:
        fields = ", ".join(f"{name}={value}" for name, value in hit.fields.items())
        cells = [f"{hit.score:.4f}", hit.id, hit.text, fields][: len(table.columns)]
        table.add_row(*(Text(replace_unprintable(cell)) for cell in cells))
    console.print(table)
