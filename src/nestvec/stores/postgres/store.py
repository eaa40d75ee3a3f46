"""An index in PostgreSQL with pgvector: HNSW finds candidates, and the very codes that were measured score them.

`nestvec_indexes` says of each index what it serves, by which codecs, and which table holds its documents. A build is
one transaction: it fills a new table, which takes the place of the old one at its end. A killed one leaves nothing.
Words are in a table beside it (`word_table.py`); a search by words, or by both, is in `finding_words.py`.

How codes become columns is said in `columns.py`. A search (`finding.py`) asks the HNSW index for some more documents
than are wanted, scores their codes here, as everywhere in nestvec, and then reads the texts of the best. Where the
index finds fewer than are wanted, as behind a strict filter, and where `exact` is said, all codes that the filter lets
through are read and scored.

Raises:
    MissingExtraError: on import, if psycopg is not installed.
"""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError, MissingExtraError

try:
    import psycopg
except ImportError as error:
    raise MissingExtraError("psycopg", "postgres") from error
from psycopg import errors

from nestvec.stores.postgres import catalogue, statements
from nestvec.stores.postgres.columns import Columns
from nestvec.stores.postgres.connection import (
    open_connection,
    read_number,
    redact_url,
    require_pgvector,
    set_local,
    translated_errors,
)
from nestvec.stores.postgres.copying import escape_text, unescape_text
from nestvec.stores.postgres.finding import Finder, SearchRequest
from nestvec.stores.postgres.finding_words import WordFinder
from nestvec.stores.postgres.word_table import name_words
from nestvec.stores.postgres.writing import Writer, check_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.stores.store import About, Batch, Condition, Hit
    from nestvec.vectors.codecs import Codec

    Connection = psycopg.Connection[tuple[Any, ...]]

_NAME = 40  # bytes: PostgreSQL cuts a table's name at 63
_PATIENCE = "5s"  # for another builder to let go: the server needs a second to notice one that was killed
_IDS = 50_000  # looked up at a time
_TRIES = 20  # to read an index that builds replace one after the other


class PostgresStore:
    """A store (see `Store`) in a database.

    Args:
        url: `postgresql://user:password@host:port/database`.
        name: of the index: any printable text of at most 40 bytes.
        limit: seconds that a statement may take; None: as long as it takes, but `PATIENCE` to wait for a lock.

    Raises:
        InputError: the URL or the name cannot be used, or no server answers.

    Attributes:
        name: as given.
    """

    def __init__(self, url: str, name: str = "nestvec", limit: float | None = None) -> None:
        if not 0 < len(name.encode(errors="replace")) <= _NAME or not name.isprintable():
            raise InputError(f"an index cannot be named {name!r}", f"1 to {_NAME} bytes of printable text")
        self._url, self.name, self._limit = url, name, limit
        self._place = f"{redact_url(url)}, index {name!r}"
        self._held = open_connection(url, limit)
        self._finder: Finder | None = None
        self._word_finder: WordFinder | None = None
        self._alone = RLock()
        self._is_reading = False

    @property
    def about(self) -> About | None:
        """What it serves; None where nothing was built yet."""
        with self._one_at_a_time():
            entry = catalogue.find_entry(self._connection(), self.name, self._place)
        return entry.columns.about if entry else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Put up an index in place of the one that is there, unless another process builds it; see `Store`."""
        columns = Columns(about, tuple(codecs))
        columns.check_width()
        with self._one_at_a_time():
            self._prepare_server()
        with self._one_at_a_time(), self._connection().transaction():
            self._take_lock("pg_advisory_xact_lock")
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # a build takes what it takes
                set_local(self._connection(), limit, "0")
            old = catalogue.find_table(self._connection(), self.name, self._place)
            readable = re.sub(r"[^a-z0-9_]", "_", self.name.lower())
            entry = catalogue.Entry(self.name, columns, f"nestvec_{readable}_{secrets.token_hex(4)}")
            Writer(self._connection(), entry, self._place).build(batches)
            catalogue.save_entry(self._connection(), entry)
            for table in [old, name_words(old)] if old else []:
                self._connection().execute(statements.fill_name(statements.DROP, table))
        self._finder = None

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents, and replace those whose id is there; see `Store`."""
        for batch in batches:
            with self._one_at_a_time(), self._connection().transaction():
                self._open_writer(about).upsert(batch)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; see `Store`."""
        with self._one_at_a_time(), self._connection().transaction():
            return self._open_writer().delete(ids)

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that no document has; see `Store`."""
        with self._reading() as finder:
            statement = statements.select_ids(finder.table, [])
            known = {
                unescape_text(identifier)
                for at in range(0, len(ids), _IDS)
                for (identifier,) in self._connection().execute(
                    statement, [list(map(escape_text, ids[at : at + _IDS]))]
                )
            }
        return [identifier for identifier in dict.fromkeys(ids) if identifier not in known]

    @contextmanager
    def one_state(self) -> Iterator[About]:
        """A block that reads one state; see `Store`."""
        with self._reading() as finder:
            yield finder.columns.about

    def version(self) -> object:
        """What changes with the documents; see `Store`."""
        with self._reading() as finder:
            statement = statements.fill_name(statements.VERSION, finder.table)
            return finder.table, self._connection().execute(statement).fetchone()

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The best documents of each query; see `Store`."""
        with self._reading() as finder:
            check_width(finder.columns.about, queries, self._place)
            return finder.find(SearchRequest(queries, k, tuple(where)), exact) if len(queries) else []

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Queries as their words are searched; see `Store`."""
        with self._reading() as finder:
            has_words = finder.columns.about.hybrid is not None
            return self._open_word_finder(finder).correct(texts) if has_words else list(texts)

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """The best documents of each query by the words they share with it; see `Store`."""
        with self._reading() as finder:
            return self._open_word_finder(finder).find(texts, k, tuple(where))

    def search_fused(
        self,
        texts: Sequence[str],
        queries: NDArray[np.float32],
        k: int,
        where: Sequence[Condition] = (),
        exact: bool = False,
        weight: float | None = None,
    ) -> list[list[Hit]]:
        """The best documents of each query by words and vectors; see `Store`."""
        with self._reading() as finder:
            words = self._open_word_finder(finder)
            check_width(finder.columns.about, queries, self._place)
            fusion = words.hybrid.fusion.weighted(weight)
            return words.find_fused(texts, SearchRequest(queries, k, tuple(where)), exact, fusion)

    def __len__(self) -> int:
        """How many documents there are."""
        if self.about is None:
            return 0
        with self._reading() as finder:
            return read_number(self._connection(), statements.fill_name(statements.COUNT, finder.table))

    def size(self) -> int:
        """Bytes on disk: the tables with their indexes."""
        return sum(self.sizes().values())

    def sizes(self) -> dict[str, int]:
        """Bytes on disk.

        Of the documents' `table`, of its index by `ids`, of the approximate one of `vectors`, and of `words`: their
        table and the index that finds their documents.
        """
        if self.about is None:
            return {}
        with self._reading() as finder:
            has_words = finder.columns.about.hybrid is not None
            return catalogue.read_sizes(self._connection(), finder.table, has_words)

    def close(self) -> None:
        """Let go of the connection; a thread that waits for the server meanwhile is told that it is closed."""
        self._held.close()

    # What is there

    @contextmanager
    def _reading(self) -> Iterator[Finder]:
        """The index in one state until the block ends; a block within another sees the same."""
        with self._one_at_a_time():
            if self._is_reading and self._finder is not None:
                yield self._finder
                return
            with ExitStack() as snapshot:
                self._finder = self._begin(snapshot)
                self._is_reading = True
                try:
                    yield self._finder
                finally:
                    self._is_reading = False

    def _begin(self, snapshot: ExitStack) -> Finder:
        """Begin to read the index as it was last seen or, if another process has replaced it, the new one."""
        self._connection()  # a new one drops what was seen by the old
        finder = self._finder or self._make_finder()
        for _ in range(_TRIES):
            try:
                snapshot.enter_context(finder.snapshot())
                return finder
            except errors.UndefinedTable:
                gone, finder = finder, self._make_finder()
                if finder.table == gone.table:
                    raise InputError("its documents are gone", "to be built again", file=self._place) from None
        raise InputError("is built anew again and again", "an index that stays while it is read", file=self._place)

    def _make_finder(self) -> Finder:
        entry = self._require_entry()
        return Finder(self._connection(), entry.table, entry.columns)

    def _open_word_finder(self, finder: Finder) -> WordFinder:
        """What searches words, too; InputError where the index has none."""
        if self._word_finder is None or self._word_finder.finder is not finder:
            hybrid = finder.columns.about.require_words(self._place)
            self._word_finder = WordFinder(self._connection(), finder, hybrid)
        return self._word_finder

    def _require_entry(self) -> catalogue.Entry:
        entry = catalogue.find_entry(self._connection(), self.name, self._place)
        if entry is None:
            raise InputError("there is no such index", "one that was built", file=self._place)
        return entry

    # Writing

    def _prepare_server(self) -> None:
        """See that there is pgvector and a place for what indexes serve."""
        with self._connection().transaction():
            self._connection().execute("SELECT pg_advisory_xact_lock(%s)", [statements.lock_key("")])
            require_pgvector(self._connection(), self._place)
            self._connection().execute(statements.METADATA)

    def _lock_for_writing(self) -> catalogue.Entry:
        """Keep the index as it is until the transaction ends, and give its entry."""
        self._take_lock("pg_advisory_xact_lock_shared")
        return self._require_entry()

    def _take_lock(self, how: str) -> None:
        """Keep builders apart from each other and from writers until the transaction ends."""
        set_local(self._connection(), "lock_timeout", _PATIENCE)
        try:
            self._connection().execute(statements.fill_name(statements.LOCK, how), [statements.lock_key(self.name)])
        except errors.LockNotAvailable as error:
            raise InputError("is being built by another process", "one builder at a time", file=self._place) from error
        self._connection().execute("SET LOCAL lock_timeout TO DEFAULT")

    def _open_writer(self, about: About | None = None) -> Writer:
        """What writes into the index, which stays as it is until the transaction ends; writers of words take turns.

        Raises InputError where it serves something else than what is given.
        """
        entry = self._lock_for_writing()
        entry.columns.about.require_same(about, self._place)
        if entry.columns.about.hybrid:
            lock = statements.fill_name(statements.LOCK, "pg_advisory_xact_lock")
            self._connection().execute(lock, [statements.lock_key(f"{self.name}\nwords")])  # no name has a line break
        return Writer(self._connection(), entry, self._place)

    # The connection

    def _connection(self) -> Connection:
        """The open connection; a new one where the server has closed it."""
        if self._held.closed:
            self._held, self._finder = open_connection(self._url, self._limit), None
        return self._held

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """One thread at a time, as there is one connection; what the server refuses becomes one message."""
        with self._alone, translated_errors(self._place):
            yield
