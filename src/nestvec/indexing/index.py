"""An index of a finished run: built of the vectors and words that were measured, kept up to date, searched, verified.

index/store.json   which store was built last, for searches that name none
index/embedded/    the embedded store
index/work/        documents on their way in; gone when they are there
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from nestvec.errors import ChangedError, InputError
from nestvec.indexing.document_batches import encode_documents, measured_batches, remove_work_folder
from nestvec.indexing.index_settings import (
    FUSED,
    VECTORS,
    WORDS,
    Columns,
    IndexArguments,
    IndexSettings,
    SearchSettings,
)
from nestvec.indexing.location import EMBEDDED, StoreLocation, find_location, location_file
from nestvec.indexing.plan import plan_index
from nestvec.indexing.verify_index import refuse_other_vectors, verify_index
from nestvec.models.model_hashes import refuse_changes
from nestvec.models.prompts import QUERY
from nestvec.point import Point
from nestvec.progress import Silent
from nestvec.runs.folder import RunFolder
from nestvec.runs.point_files import read_stated, select, select_point
from nestvec.runs.run import load_run
from nestvec.settings import CUTOFF, from_keywords
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import About, Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.indexing.verify_index import Verified
    from nestvec.models.base_encoder import Encoder
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.runs.run import Run
    from nestvec.stores.store import Hit, Store


class Index:
    """A run's index, open: the point whose vectors it holds, and the store where they are."""

    def __init__(self, selection: Selection, store: Store) -> None:
        self.selection = selection
        self.store = store
        self._loaded: Encoder | None = None

    @property
    def about(self) -> About:
        """What is served."""
        about = self.store.about
        if about is None:
            raise InputError("holds no index", "`nestvec index` first", file=self.selection.run.folder.path("index"))
        return about

    def search(
        self,
        query: str,
        k: int = CUTOFF,
        where: Sequence[Condition] = (),
        exact: bool = False,
        mode: str | None = None,
    ) -> list[Hit]:
        """Find the best documents of a query.

        Args:
            query: a text.
            k: how many, at least 1.
            where: what they must fulfil.
            exact: don't use an approximate index where the store has one.
            mode: `fused`, `vectors` or `words`; None: fused in an index of what the run recommends beside
                keyword search, else vectors.

        Returns:
            At most k, best first.

        Raises:
            InputError: the query is empty, there is no such mode, the index has no words, or the store cannot be used.
        """
        settings = SearchSettings(k, exact=exact, mode=mode)
        if not query.strip():
            raise InputError("the query is empty", "a text to search for")
        if k < 1:
            raise InputError(f"--top is {k}", "a whole number from 1 on")
        about = self.about
        chosen = self.choose_mode(settings.mode)
        if chosen != VECTORS:
            about.require_words(self.selection.run.folder.path("index"))  # before a model is loaded
        if chosen == WORDS:
            return self.store.search_words([query], k, where)[0]
        vectors = self._encode_queries([query])
        if chosen == FUSED:
            return self.store.search_fused([query], vectors, k, where, exact)[0]
        return self.store.search(vectors, k, where, exact)[0]

    def choose_mode(self, mode: str | None) -> str:
        """By what a search ranks that names this mode, or none: `fused`, `vectors` or `words`."""
        return mode or (FUSED if self.about.fuses else VECTORS)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents by their ids, byte for byte; how many were there.

        Args:
            ids: texts; those that no document has are passed over, see `find_missing`.

        Returns:
            How many documents were removed.

        Raises:
            InputError: an id is no text, or the store cannot be used; nothing was removed.
        """
        return self.store.delete(self._stored_ids(ids))

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that no document has, in the order given, each once; raises InputError as `delete` does."""
        stored = self._stored_ids(ids)
        missing = set(self.store.find_missing(stored))
        return list(dict.fromkeys(name for name, form in zip(ids, stored, strict=True) if form in missing))

    def upsert(self, source: Path, columns: Columns | None = None, reporter: Reporter | None = None) -> int:
        """Add the documents of a file, and replace those whose id is there.

        Args:
            source: a CSV, TSV, JSONL or Parquet file.
            columns: where it has what.
            reporter: is told of progress.

        Returns:
            How many documents were taken in: of an id that stands in several rows, the last row counts.

        Raises:
            InputError: the file cannot be used; nothing was changed.
        """
        about = self.about  # there is one
        count, batches = encode_documents(self.selection, source, columns or Columns(), reporter or Silent())
        self.store.upsert(replace(batch, ids=list(map(about.stored_id, batch.ids))) for batch in batches)
        remove_work_folder(self.selection)
        return count

    def verify(self, exact: bool = False, reporter: Reporter | None = None) -> Verified:
        """Encode some texts again, ask the test queries again, and compare with what was measured.

        Args:
            exact: don't use an approximate index where the store has one.
            reporter: is told of progress.

        Returns:
            The recall of both.

        Raises:
            ChangedError: the index holds other documents than were measured, or the model gives other vectors.
        """
        reporter, files = reporter or Silent(), self.selection.files
        if not read_stated(files.run, files.system).model:
            reporter.say(
                "An earlier nestvec made this run: it does not state its model's files, so they are not checked"
            )
        refuse_other_vectors(self.selection, self._open_encoder(), reporter)
        return verify_index(self.selection, self.store, exact or isinstance(self.store, EmbeddedStore), reporter)

    def close(self) -> None:
        """Let go of files and connections."""
        self.store.close()

    def __enter__(self) -> Index:
        """For a `with` block, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _stored_ids(self, ids: Sequence[str]) -> list[str]:
        """Ids as the store holds them; InputError where one is no text."""
        if isinstance(ids, str):
            raise InputError("ids is one text", "a list of ids")
        for row, identifier in enumerate(ids):
            if not isinstance(identifier, str):
                raise InputError(f"ids[{row}] is {type(identifier).__name__}", "a text")
        return list(map(self.about.stored_id, ids))

    def _encode_queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode queries to (q, full width)."""
        return self._open_encoder().encode(texts, QUERY)

    def _open_encoder(self) -> Encoder:
        """The system's model, loaded when it is first needed."""
        from nestvec.models.torch_encoder import open_torch

        files = self.selection.files
        self._loaded = self._loaded or open_torch(files.model, files.width, "float32")
        return self._loaded


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
    opened, reporter = load_run(run), reporter or Silent()
    settings = from_keywords(IndexSettings, options, "build_index")
    selection = select(opened, settings.system, settings.dimension, settings.precision)
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
    except BaseException:
        opened_store.close()
        raise
    return Index(selection, opened_store)


def is_built(run: Path) -> bool:
    """Whether a run has an index, in whatever store."""
    return location_file(RunFolder(run)).is_file()


def open_index(run: str | Path | Run, store: str | None = None, name: str | None = None) -> Index:
    """Open a run's index.

    Args:
        run: a finished run, or its folder.
        store: as for `build_index`; None takes the one that was built last.
        name: as for `build_index`; None takes the one that was built last.

    Returns:
        The index.

    Raises:
        InputError: there is none, it is damaged or newer, or it was built with another model than the run's.
    """
    opened = load_run(run)
    folder, file = opened.folder, opened.folder.path("index")
    opened_store = find_location(folder, store, name).open(folder)
    try:
        about = opened_store.about
        if about is None:
            raise InputError("holds no index", "`nestvec index` first", file=file)
        selection = select_point(opened, Point(about.system, about.served.dimension, about.served.precision))
        if selection.model.sha256 != about.model_sha256:
            problem = f"was built with another model (sha256 {about.model_sha256[:12]}…)"
            wanted = f"{about.system} of this run ({selection.model.sha256[:12]}…): build the index again"
            raise ChangedError(problem, wanted, file=file)
        if about.model:
            refuse_changes(about.model, selection.model.hashes, selection.model.path, f"when {file} was built")
    except BaseException:
        opened_store.close()
        raise
    return Index(selection, opened_store)


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
