"""Builds, opens and searches an index of a finished run, with the measured vectors and keyword settings.

index/store.json   records which store was built last, for searches that name none
index/embedded/    the embedded store
index/graphs/      an ONNX graph of each system's model, see `query_encoder`
index/work/        a file's documents while they are encoded and added; removed afterwards
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
        name: the index's name in a database; None derives a name from the folder's.
        columns: which columns of a file of documents to read.
        reporter: receives progress.
        options: the fields of `IndexSettings`, such as `system="mnr"`, `dimension=48` and `shortlist="48.int8"`.

    Returns:
        The open index; close it, or use it in a `with` block.

    Raises:
        InputError: the run, the point, the file or the store cannot be used; an existing index is kept.
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
    """Return whether an index was built for a run, in any store."""
    return location_file(RunFolder(run)).is_file()


def open_index(
    run: str | Path | Run, store: str | None = None, name: str | None = None, limit: float | None = None
) -> Index:
    """Open a run's index.

    Args:
        run: a finished run, or its folder.
        store: as for `build_index`; None takes the store that was built last.
        name: as for `build_index`; None takes the name that was built last.
        limit: most seconds to wait for other processes, see `StoreLocation.open`.

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
        store: as for `open_index`.
        mode: `fused`, `vectors` or `words`. None searches `fused` if the index is of the point that the run recommends
            beside keyword search, else by `vectors`.

    Returns:
        At most k hits, best first.

    Raises:
        InputError: there is no usable index, the mode needs words and the index has none, or a condition or the mode is
            malformed.
    """
    conditions = [Condition.parse(text) for text in where]
    with open_index(run, store) as opened:
        return opened.search(query, k, conditions, mode=mode)
