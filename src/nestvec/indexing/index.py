"""Builds, opens and searches an index of a finished run, with the vectors and keyword settings that were measured.

The run's folder holds:
index/store.json   where the index was built last: embedded or in a database; searches use it if --store is not given
index/embedded/    the index itself, unless it is in a database
index/graphs/      an ONNX graph of each indexed system's model, which encodes queries without PyTorch
index/work/        documents from a file while they are encoded and added; removed afterwards
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from nestvec.indexing.index_settings import (
    Columns,
    IndexArguments,
    IndexSettings,
)
from nestvec.indexing.location import EMBEDDED, StoreLocation, find_location, location_file
from nestvec.indexing.opened_index import Index
from nestvec.progress import Silent
from nestvec.runs.folder import RunFolder
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.settings import CUTOFF, from_keywords
from nestvec.stores.store import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestvec.progress import Reporter
    from nestvec.runs.run import Run
    from nestvec.stores.store import Hit


def build_index(
    run: str | Path,
    store: str = EMBEDDED,
    *,
    name: str | None = None,
    columns: Columns | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[IndexArguments],
) -> Index:
    """Build an index of a run's documents, or of the documents in a file.

    Args:
        run: the folder of a finished run.
        store: `embedded`, or the URL of a PostgreSQL database.
        name: the index's name in a database; None derives it from the name of the run's folder.
        columns: which columns to read if `documents` names a file.
        reporter: receives progress.
        options: the fields of `IndexSettings`, such as `system="mnr"`, `dimension=48` and `shortlist="48.int8"`.

    Returns:
        The open index; close it, or use it in a `with` block.

    Raises:
        InputError: the run, the file of documents or the store cannot be used, or the system, dimension or precision
            was not measured; an existing index is kept.
    """
    from nestvec.indexing.document_batches import encode_documents, measured_batches, remove_work_folder
    from nestvec.indexing.plan import plan_index
    from nestvec.indexing.query_encoder import keep_graph

    opened, reporter = load_run(run), reporter or Silent()
    settings = from_keywords(IndexSettings, options, "build_index")
    selection = select(opened, settings.system, settings.dimension, settings.precision, axes=settings.axes)
    about, codecs = plan_index(selection, settings, reporter)
    location = StoreLocation.of(opened.folder, store, name)
    opened_store = location.open(opened.folder)
    try:
        if settings.documents is None:
            opened_store.build(about, codecs, measured_batches(selection, reporter))
        else:
            _, batches = encode_documents(selection, settings.documents, columns or Columns(), reporter)
            opened_store.build(about, codecs, batches)
            remove_work_folder(selection)
        location.remember(opened.folder)
        keep_graph(selection.files, reporter)
        return Index(opened, opened_store)
    except BaseException:
        opened_store.close()
        raise


def is_built(run: Path) -> bool:
    """Return whether an index was ever built for a run, in the run's folder or in a database."""
    return location_file(RunFolder(run)).is_file()


def open_index(
    run: str | Path | Run, store: str | None = None, name: str | None = None, limit: float | None = None
) -> Index:
    """Open a run's index.

    Args:
        run: a finished run, or its folder.
        store: `embedded`, or the URL of a PostgreSQL database; None takes the store that was built last.
        name: the index's name in a database; None takes the name that was built last.
        limit: most seconds to wait if another process has locked the index; None takes the store's default.

    Returns:
        The open index; close it, or use it in a `with` block.

    Raises:
        InputError: there is no index, it is damaged or made by a newer nestvec, or it was built with another model than
            the run's.
    """
    opened = load_run(run)
    opened_store = find_location(opened.folder, store, name).open(opened.folder, limit)
    try:
        return Index(opened, opened_store)
    except BaseException:
        opened_store.close()
        raise


def search(
    run: str | Path,
    query: str,
    k: int = CUTOFF,
    where: Iterable[str] = (),
    store: str | None = None,
    mode: str | None = None,
) -> list[Hit]:
    """Find the best documents for a query in a run's index.

    Args:
        run: the folder of a finished run with an index.
        query: the query's text.
        k: number of documents.
        where: conditions on fields, such as `price<=20`; a document must fulfil all of them.
        store: `embedded`, or the URL of a PostgreSQL database; None takes the store that was built last.
        mode: `words` for keyword search, `vectors`, or `fused` for both. None takes `fused` if the run recommends fused
            search and the index was built as recommended, else `vectors`.

    Returns:
        At most k hits, best first.

    Raises:
        InputError: there is no usable index, the mode needs keyword search and the index was built without it, or a
            condition or the mode is malformed.
    """
    conditions = [Condition.parse(text) for text in where]
    with open_index(run, store) as opened:
        return opened.search(query, k, conditions, mode=mode)
