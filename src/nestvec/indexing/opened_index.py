"""A run's index, open: searched, changed, compared with what was measured."""

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
    """A run's index, open: the point whose vectors it holds, and the store where they are.

    Another process may build it anew, for another point; a search finds that out and follows it.

    Args:
        run: the run.
        store: where the index is.

    Raises:
        InputError: there is none, it is damaged or newer, or it was built with another model than the run's.

    Attributes:
        store: as given.
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
        """What was served when it was last looked at."""
        return self._served[0]

    @property
    def selection(self) -> Selection:
        """The run's point that was served then."""
        return self._served[1]

    def describe(self) -> tuple[Point, int]:
        """The run's point that is served now, and how many documents there are."""
        with self.store.one_state() as about:
            documents = len(self.store)
        self._follow(about)
        return self.selection.point, documents

    def follow(self) -> None:
        """Take notice of what is served now, should another process have built the index anew."""
        with self.store.one_state() as about:
            pass
        self._follow(about)

    def _follow(self, about: About) -> None:
        if about != self.about:
            self._served = about, self._select_point(about)

    def _select_point(self, about: About) -> Selection:
        """The run's point that what is served was made of."""
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
        return self.ask(query, SearchSettings(k, exact=exact, mode=mode), where).hits[0]

    def ask(self, query: str, settings: SearchSettings, where: Sequence[Condition] = ()) -> IndexAnswer:
        """Search as `search` does; the answer says what was searched, too.

        Args:
            query: a text.
            settings: all but its `where`.
            where: what documents must fulfil.

        Returns:
            The answer, of one query.

        Raises:
            InputError: as of `search`.
        """
        if not query.strip():
            raise InputError("the query is empty", "a text to search for")
        if settings.top < 1:
            raise InputError(f"--top is {settings.top}", "a whole number from 1 on")
        for _ in range(REBUILDS):
            with suppress(RebuiltError):
                return self.answer(self._prepare(query, settings, where))
        raise RebuiltError(self._place)

    def answer(self, asked: IndexQuery) -> IndexAnswer:
        """Answer queries that were prepared for what the index serves.

        Args:
            asked: the queries.

        Returns:
            The answer.

        Raises:
            RebuiltError: it serves something else by now: `about` and `selection` say what.
            InputError: the store cannot be used.
        """
        answer = answer_query(self.store, asked)
        if isinstance(answer, IndexAnswer):
            return answer
        self._follow(answer)
        raise RebuiltError(self._place)

    def _prepare(self, query: str, settings: SearchSettings, where: Sequence[Condition]) -> IndexQuery:
        """A query as what the index serves is asked it; a model is loaded when it is first needed."""
        about, selection = self._served
        mode = settings.mode or (FUSED if about.fuses else VECTORS)
        if mode != VECTORS:
            about.require_words(self._place)  # before a model is loaded
        vectors = None if mode == WORDS else self._encode_queries(selection, [query])
        return IndexQuery(about, [query], vectors, mode, settings.top, where, settings.exact)

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
            InputError: the file cannot be used, or the index was built anew for another point; nothing was changed.
        """
        from nestvec.indexing.document_batches import encode_documents, remove_work_folder

        self.follow()
        about, selection = self._served
        count, batches = encode_documents(selection, source, columns or Columns(), reporter or Silent())
        self.store.upsert((replace(batch, ids=list(map(about.stored_id, batch.ids))) for batch in batches), about)
        remove_work_folder(selection)
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
            InputError: the index changed meanwhile.
        """
        from nestvec.indexing.verify_index import refuse_other_vectors, verify_index

        reporter, version = reporter or Silent(), self.store.version()
        self.follow()
        files = self.selection.files
        if not read_stated(files.run, files.system).model:
            reporter.say(
                "An earlier nestvec made this run: it does not state its model's files, so they are not checked"
            )
        refuse_other_vectors(self.selection, self._open_encoder(self.selection), reporter)
        is_exact = exact or isinstance(self.store, EmbeddedStore)
        verified = verify_index(self.selection, self.store, is_exact, reporter)
        if self.store.version() != version:  # one state is not held so long, as writers would wait for its end
            raise InputError("was changed while it was verified", "to be verified again", file=self._place)
        return verified

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

    def _encode_queries(self, selection: Selection, texts: list[str]) -> NDArray[np.float32]:
        """Encode queries to (q, full width) by the model of a point."""
        return self._open_encoder(selection).encode(texts, QUERY)

    def _open_encoder(self, selection: Selection) -> Encoder:
        """The encoder of a point's system, opened when it is first needed; it stays open."""
        files = selection.files
        if files.system not in self._encoders:
            self._encoders[files.system] = open_query_encoder(files)
        return self._encoders[files.system]
