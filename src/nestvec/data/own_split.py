"""Decides whether a column called `split` is used as the source's own split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.data.source import SET_ASIDE, Finding, Rejects
from nestvec.data.split import read_label
from nestvec.data.values import text_column

if TYPE_CHECKING:
    from nestvec.data.source import Source

NO_SPLIT = "none"  # `--split-column none`: the source's own split is not used
_EXAMPLES = 3


def judge_split(source: Source, column: str) -> tuple[bool, Finding]:
    """Check whether a column names the parts of a split.

    Args:
        source: an opened table.
        column: the name of the column; it is read completely.

    Returns:
        Whether every row names a part, and train and test both occur; and the finding to report.
    """
    rows, labels = 0, dict[str, None]()
    for batch in source.read([column], Rejects(SET_ASIDE)):
        labels.update(dict.fromkeys(text or "" for text in text_column(batch, column).unique().to_pylist()))
        rows += batch.values.num_rows
    parts = {label: read_label(label) for label in labels}
    if None not in parts.values() and {"train", "test"} <= set(parts.values()):
        action = f"Used as it is; the column {column!r} names the parts. --split-column {NO_SPLIT} makes a new split."
        return True, Finding("own split", rows, action)
    strange = [label for label, part in parts.items() if part is None] or list(parts)
    shown = ", ".join(repr(label[:40]) for label in strange[:_EXAMPLES])
    action = (
        f"Ignored, and a new split was made; the column {column!r} holds {shown}, so it does not name both train and "
        "test."
    )
    return False, Finding("own split not used", rows, action)
