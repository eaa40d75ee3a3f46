"""An index of a finished run: built of the vectors and words that were measured, kept up to date, searched, verified.

index/store.json   which store was built last, for searches that name none
index/embedded/    the embedded store
index/graphs/      a graph of each system's model, see `query_encoder`
index/work/        documents on their way in; gone when they are there
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
    """Build an index of a run's documents, or of a file's.

    Args:
        run: the folder of a finished run.
        store: `embedded`, or the URL of a PostgreSQL database.
        name: of the index in a database; None takes the folder's.
        columns: what is where in a file of documents.
        reporter: is told of progress.
        options: the fields of `IndexSettings`, such as `system="mnr"`, `dimension=48` and `shortlist="48.int8"`.

    Returns:
        The index, open.

    Raises:
        InputError: something is wrong with the run, the point, the file or the store; an index that was there stays.
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
    """Whether a run has an index, in whatever store."""
    return location_file(RunFolder(run)).is_file()


def open_index(
    run: str | Path | Run, store: str | None = None, name: str | None = None, limit: float | None = None
) -> Index:
    """Open a run's index.

    Args:
        run: a finished run, or its folder.
        store: as for `build_index`; None takes the one that was built last.
        name: as for `build_index`; None takes the one that was built last.
        limit: seconds that it may wait for other processes, see `StoreLocation.open`.

    Returns:
        The index.

    Raises:
        InputError: there is none, it is damaged or newer, or it was built with another model than the run's.
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
    """Find the best documents of a query in a run's index.

    Args:
        run: the folder of a finished run with an index.
        query: a text.
        k: how many.
        where: conditions on fields, such as `price<=20`; all must hold.
        store: as for `open_index`.
        mode: `fused`, `vectors` or `words`; None: fused in an index of what the run recommends beside
                keyword search, else vectors.

    Returns:
        At most k, best first.

    Raises:
        InputError: there is no usable index, it has no words, or a condition or the mode cannot be read.
    """
    conditions = [Condition.parse(text) for text in where]
    with open_index(run, store) as opened:
        return opened.search(query, k, conditions, mode=mode)
