"""Settings for building and searching an index."""

from __future__ import annotations

from collections.abc import Sequence  # at run time, too: the command line reads the fields' types
from dataclasses import dataclass
from pathlib import Path

from nestvec.data.source import STOP, Rejects
from nestvec.errors import InputError
from nestvec.runs.choose_point import PointArguments, PointSettings
from nestvec.settings import option

FUSED, VECTORS, WORDS = MODES = "fused", "vectors", "words"  # what an index ranks documents by


@dataclass(frozen=True)
class StoreSettings:
    """Where an index is stored: in the run's folder or in a database. None means where the last index was built."""

    store: str | None = option(None, "Where the index is: `embedded` in DIR, or postgresql://user@host:port/database.")
    name: str | None = option(None, "The index's name in a database (the name of DIR).")


class IndexArguments(PointArguments, total=False):
    """Keyword arguments of `nestvec.build_index`: the fields of `IndexSettings`."""

    shortlist: str | None
    candidates: int
    documents: Path | None
    alone: bool


@dataclass(frozen=True)
class IndexSettings(PointSettings):
    """What an index holds: the documents, their vector format, an optional shortlist, and keyword search or not."""

    shortlist: str | None = option(None, "Vector format, such as 48.int8, that first finds a shortlist (no shortlist).")
    candidates: int = option(100, "Documents in the shortlist, which the larger vectors re-rank.")
    documents: Path | None = option(None, "A file of documents to index in place of the run's documents.")
    alone: bool = option(False, "Index vectors only, without keyword search.")


@dataclass(frozen=True)
class Columns:
    """Which columns of a file of documents to read; columns that are None are found by well-known names."""

    document: str | None = option(None, "Column(s) with the text in a file of documents (found by well-known names).")
    document_id: str | None = option(None, "Column with the id in a file of documents (found by well-known names).")
    fields: Sequence[str] | None = option(
        None, "Columns of a file of documents to filter searches by, separated by commas (all others)."
    )
    on_bad_row: str = option(
        STOP, "What to do with a bad row of a file of documents: stop, or set-aside into DIR/index/rejected.parquet."
    )

    def __post_init__(self) -> None:
        """Raise InputError if `on_bad_row` is neither `stop` nor `set-aside`."""
        Rejects(self.on_bad_row)


@dataclass(frozen=True)
class SearchSettings:
    """Options of a search: number of documents, conditions on fields, exact or approximate, and the mode."""

    top: int = option(10, "Number of documents to show.")
    where: tuple[str, ...] = option((), "A condition on a field, such as 'price<=20'; may be repeated.", repeat=True)
    exact: bool = option(False, "Compare all documents instead of using an approximate index.")
    mode: str | None = option(
        None, "Rank by `words` (keyword search), `vectors`, or `fused` for both (as recommended)."
    )

    def __post_init__(self) -> None:
        """Raise InputError if `mode` is given and is not `fused`, `vectors` or `words`."""
        if self.mode is not None and self.mode not in MODES:
            raise InputError(f"--mode is {self.mode!r}", f"one of {', '.join(MODES)}")
