"""An open index of a run: searches it, adds and removes documents, and compares its results with the run's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import ChangedError, InputError
from nestvec.indexing.index_query import REBUILDS, IndexAnswer, IndexQuery, RebuiltError, answer_query
from nestvec.indexing.index_settings import (
    FUSED,
    VECTORS,
    WORDS,
    Columns,
    SearchSettings,
)
from nestvec.indexing.query_encoder import open_query_encoder
from nestvec.models.model_hashes import refuse_changes
from nestvec.models.prompts import QUERY
from nestvec.point import Point
from nestvec.progress import Silent
from nestvec.runs.point_files import read_stated, select_point
from nestvec.settings import CUTOFF
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.indexing.verify_index import Verified
    from nestvec.models.base_encoder import Encoder
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.runs.run import Run
    from nestvec.stores.store import About, Hit, Store


class Index:
    """An open index of a run.

    If another process rebuilds the index, even with another system or vector format, the next search uses the new one.

    Args:
        run: the run.
        store: the store that holds the index.

    Raises:
        InputError: there is no index, it is damaged or made by a newer nestvec, or it was built with another model than
            the run's.

    Attributes:
        store: the store that holds the index.
    """

    def __init__(self, run: Run, store: Store) -> None:
        self.store = store
        self._run, self._place = run, run.folder.path("index")
        self._encoders: dict[str, Encoder] = {}
        with store.one_state() as about:
            pass
        self._served = about, self._select_point(about)

    @property
    def about(self) -> About:
        """The description of the index, when it was last read: its system, vector formats and keyword settings."""
        return self._served[0]

    @property
    def selection(self) -> Selection:
        """The measured system, dimension and precision that the index held when it was last read."""
        return self._served[1]

    def describe(self) -> tuple[Point, int]:
        """Return the system, dimension and precision that the index holds now, and its number of documents."""
        with self.store.one_state() as about:
            documents = len(self.store)
        self._follow(about)
        return self.selection.point, documents

    def follow(self) -> None:
        """Read the index's description again; if another process rebuilt the index, update `about` and `selection`."""
        with self.store.one_state() as about:
            pass
        self._follow(about)

    def _follow(self, about: About) -> None:
        if about != self.about:
            self._served = about, self._select_point(about)

    def _select_point(self, about: About) -> Selection:
        """Find the system, dimension and precision of an index in the run; ChangedError if the model has changed."""
        selection = select_point(self._run, Point.of(about.system, about.served))
        if selection.model.sha256 != about.model_sha256:
            problem = f"was built with another model (sha256 {about.model_sha256[:12]}…)"
            wanted = f"{about.system} of this run ({selection.model.sha256[:12]}…): build the index again"
            raise ChangedError(problem, wanted, file=self._place)
        if about.model:
            model = selection.model
            refuse_changes(about.model, model.hashes, model.path, f"when {self._place} was built")
        return selection

    def search(
        self,
        query: str,
        k: int = CUTOFF,
        where: Sequence[Condition] = (),
        exact: bool = False,
        mode: str | None = None,
    ) -> list[Hit]:
        """Find the best documents for a query.

        Args:
            query: the query's text.
            k: number of documents, at least 1.
            where: conditions on fields; a document must fulfil all of them.
            exact: skip the approximate index, if the store has one, and compare all documents.
            mode: `words` for keyword search, `vectors`, or `fused` for both. None takes `fused` if the run recommends
                fused search and the index was built as recommended, else `vectors`.

        Returns:
            At most k hits, best first.

        Raises:
            InputError: the query is empty, the mode is unknown, the mode needs keyword search and the index was built
                without it, or the store cannot be used.
        """
        return self.ask(query, SearchSettings(k, exact=exact, mode=mode), where).hits[0]

    def ask(self, query: str, settings: SearchSettings, where: Sequence[Condition] = ()) -> IndexAnswer:
        """Find the best documents for a query; the answer also holds the query with corrected spelling.

        Args:
            query: the query's text.
            settings: the options of the search; their field `where` is ignored, see the argument `where`.
            where: conditions on fields; a document must fulfil all of them.

        Returns:
            The documents found, and the query as keyword search used it.

        Raises:
            InputError: the query is empty, `settings.top` is less than 1, the mode needs keyword search and the index
                was built without it, or the store cannot be used.
        """
        if not query.strip():
            raise InputError("the query is empty", "a text to search for")
        if settings.top < 1:
            raise InputError(f"--top is {settings.top}", "a whole number of at least 1")
        for _ in range(REBUILDS):
            with suppress(RebuiltError):
                return self.answer(self._prepare(query, settings, where))
        raise RebuiltError(self._place)

    def answer(self, asked: IndexQuery) -> IndexAnswer:
        """Search the index for queries that are already encoded.

        Args:
            asked: the queries, their vectors, and the index's description that they were encoded for.

        Returns:
            The documents found for each query.

        Raises:
            RebuiltError: the index was rebuilt with other settings; `about` and `selection` are updated, so that the
                caller can encode the queries again.
            InputError: the store cannot be used.
        """
        answer = answer_query(self.store, asked)
        if isinstance(answer, IndexAnswer):
            return answer
        self._follow(answer)
        raise RebuiltError(self._place)

    def _prepare(self, query: str, settings: SearchSettings, where: Sequence[Condition]) -> IndexQuery:
        """Encode a query for the index and choose the mode; the first query that needs the model loads it."""
        about, selection = self._served
        mode = settings.mode or (FUSED if about.fuses else VECTORS)
        if mode != VECTORS:
            about.require_words(self._place)  # fail before loading the model
        vectors = None if mode == WORDS else self._encode_queries(selection, [query])
        return IndexQuery(about, [query], vectors, mode, settings.top, where, settings.exact)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents by their ids, which must match byte for byte.

        Args:
            ids: the ids; ids that no document has are skipped, and `find_missing` lists them.

        Returns:
            Number of documents removed.

        Raises:
            InputError: an id is not a string, or the store cannot be used; nothing was removed.
        """
        return self.store.delete(self._stored_ids(ids))

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """Return the given ids that no document has, in order, without repeats; InputError if an id is not a string."""
        stored = self._stored_ids(ids)
        missing = set(self.store.find_missing(stored))
        return list(dict.fromkeys(name for name, form in zip(ids, stored, strict=True) if form in missing))

    def upsert(self, source: Path, columns: Columns | None = None, reporter: Reporter | None = None) -> int:
        """Add a file's documents to the index, replacing documents with the same ids.

        Args:
            source: a CSV, TSV, JSONL or Parquet file.
            columns: the file's columns to read; None finds them by well-known names.
            reporter: receives progress.

        Returns:
            Number of distinct documents in the file; if an id occurs in several rows, its last row counts.

        Raises:
            InputError: the file cannot be used, or another process rebuilt the index with other settings; nothing was
                changed.
        """
        from nestvec.indexing.document_batches import encode_documents, remove_work_folder

        self.follow()
        about, selection = self._served
        count, batches = encode_documents(selection, source, columns or Columns(), reporter or Silent())
        self.store.upsert((replace(batch, ids=list(map(about.stored_id, batch.ids))) for batch in batches), about)
        remove_work_folder(selection)
        return count

    def verify(self, exact: bool = False, reporter: Reporter | None = None) -> Verified:
        """Check that the model still gives the measured vectors, and that the index finds what the run measured.

        Args:
            exact: skip the approximate index, if the store has one, and compare all documents.
            reporter: receives progress.

        Returns:
            The index's recall@10 of the test queries, beside the recall@10 that the run measured.

        Raises:
            ChangedError: the index's number of documents differs from the run's, or the model's vectors have changed.
            InputError: the index was changed during the verification.
        """
        from nestvec.indexing.verify_index import refuse_other_vectors, verify_index

        reporter, version = reporter or Silent(), self.store.version()
        self.follow()
        files = self.selection.files
        if not read_stated(files.run, files.system).model:
            reporter.say("The model's files are not checked: an earlier nestvec made this run and recorded no hashes")
        refuse_other_vectors(self.selection, self._open_encoder(self.selection), reporter)
        is_exact = exact or isinstance(self.store, EmbeddedStore)
        verified = verify_index(self.selection, self.store, is_exact, reporter)
        if self.store.version() != version:  # `one_state` would make writers wait until the end of the verification
            problem = "the index was changed while it was verified"
            wanted = "an index that no other process changes: verify it again"
            raise InputError(problem, wanted, file=self._place)
        return verified

    def close(self) -> None:
        """Close all files and connections of the index."""
        self.store.close()

    def __enter__(self) -> Index:
        """Return the open index itself; the end of the `with` block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the index at the end of the `with` block."""
        self.close()

    def _stored_ids(self, ids: Sequence[str]) -> list[str]:
        """Convert ids to the form in which the index stores them; raises InputError if an id is not a string."""
        if isinstance(ids, str):
            raise InputError("ids is a string", "a list of strings")
        for row, identifier in enumerate(ids):
            if not isinstance(identifier, str):
                raise InputError(f"ids[{row}] is {type(identifier).__name__}", "a string")
        return list(map(self.about.stored_id, ids))

    def _encode_queries(self, selection: Selection, texts: list[str]) -> NDArray[np.float32]:
        """Encode q queries with the model of the index's system; gives (q, full width) float32."""
        return self._open_encoder(selection).encode(texts, QUERY)

    def _open_encoder(self, selection: Selection) -> Encoder:
        """Return the encoder of the index's system, which is opened at the first use and then kept."""
        files = selection.files
        if files.system not in self._encoders:
            self._encoders[files.system] = open_query_encoder(files)
        return self._encoders[files.system]
