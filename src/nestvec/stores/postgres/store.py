"""A search index in PostgreSQL with pgvector: an HNSW index finds candidates, which nestvec then scores exactly.

The table `nestvec_indexes` has a row for each index: its description, its codecs, and the name of its table of
documents. A build is one transaction: it fills a new table, which replaces the old one at the end. A killed build
leaves nothing behind. Keyword search (`finding_words.py`) uses a second table, the postings (`word_table.py`).

Vectors are stored at the precision that nestvec measured (`columns.py`). A vector search (`finding.py`) asks the HNSW
index for some more documents than are wanted, computes their exact scores in this process, and then reads the texts of
the best. If the HNSW index finds too few documents, as with a strict filter, or if `exact` is set, the vectors of all
documents that pass the filter are read and scored.

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

_NAME = 40  # most bytes of an index's name: PostgreSQL cuts a table's name at 63
_PATIENCE = "5s"  # wait for another builder's lock; the server needs a second to notice a killed builder
_IDS = 50_000  # ids looked up per statement
_TRIES = 20  # attempts to read an index while builds keep replacing it


class PostgresStore:
    """The `Store` that keeps documents and vectors in a PostgreSQL database with pgvector.

    Args:
        url: `postgresql://user:password@host:port/database`.
        name: the index's name, printable text of at most 40 bytes.
        limit: most seconds that a statement may take; None limits only the wait for a locked index, to 60 seconds.

    Raises:
        InputError: the URL or the name cannot be used, or no server answers.

    Attributes:
        name: the index's name.
    """

    def __init__(self, url: str, name: str = "nestvec", limit: float | None = None) -> None:
        if not 0 < len(name.encode(errors="replace")) <= _NAME or not name.isprintable():
            raise InputError(f"an index cannot be named {name!r}", f"a name of 1 to {_NAME} bytes of printable text")
        self._url, self.name, self._limit = url, name, limit
        self._place = f"{redact_url(url)}, index {name!r}"
        self._held = open_connection(url, limit)
        self._finder: Finder | None = None
        self._word_finder: WordFinder | None = None
        self._alone = RLock()
        self._is_reading = False

    @property
    def about(self) -> About | None:
        """Description of the index: its system, vector formats and search settings; None before the first build."""
        with self._one_at_a_time():
            entry = catalogue.find_entry(self._connection(), self.name, self._place)
        return entry.columns.about if entry else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Build a new index from batches of documents; when complete, it replaces the present index, see `Store`.

        Raises InputError if another process is building the index.
        """
        columns = Columns(about, tuple(codecs))
        columns.check_width()
        with self._one_at_a_time():
            self._prepare_server()
        with self._one_at_a_time(), self._connection().transaction():
            self._take_lock("pg_advisory_xact_lock")
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # a build may take hours
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
        """Add documents to the index; a document whose id exists already replaces the old document, see `Store`."""
        for batch in batches:
            with self._one_at_a_time(), self._connection().transaction():
                self._open_writer(about).upsert(batch)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed."""
        with self._one_at_a_time(), self._connection().transaction():
            return self._open_writer().delete(ids)

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """Return those of the given ids that no document in the index has."""
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
        """Open a `with` block in which all reads see the same state of the index, whatever other processes write."""
        with self._reading() as finder:
            yield finder.columns.about

    def version(self) -> object:
        """Return a value that changes whenever documents are added, replaced or removed."""
        with self._reading() as finder:
            statement = statements.fill_name(statements.VERSION, finder.table)
            return finder.table, self._connection().execute(statement).fetchone()

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """Find the documents whose vectors are most similar to each query's vector; see `Store`."""
        with self._reading() as finder:
            check_width(finder.columns.about, queries, self._place)
            return finder.find(SearchRequest(queries, k, tuple(where)), exact) if len(queries) else []

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with corrected spelling, as keyword search uses them."""
        with self._reading() as finder:
            has_words = finder.columns.about.hybrid is not None
            return self._open_word_finder(finder).correct(texts) if has_words else list(texts)

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """Find the best documents for each query by keyword search (BM25); see `Store`."""
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
        """Find the best documents for each query by fused keyword and vector scores; see `Store`."""
        with self._reading() as finder:
            words = self._open_word_finder(finder)
            check_width(finder.columns.about, queries, self._place)
            fusion = words.hybrid.fusion.weighted(weight)
            return words.find_fused(texts, SearchRequest(queries, k, tuple(where)), exact, fusion)

    def __len__(self) -> int:
        """Number of documents in the index."""
        if self.about is None:
            return 0
        with self._reading() as finder:
            return read_number(self._connection(), statements.fill_name(statements.COUNT, finder.table))

    def size(self) -> int:
        """Size on disk, in bytes, of the search index: its PostgreSQL tables and their indexes."""
        return sum(self.sizes().values())

    def sizes(self) -> dict[str, int]:
        """Return how many bytes each part of the search index takes on disk.

        The parts are `table`, the table of documents; `ids`, its index by id; `vectors`, its HNSW index; and, with
        keyword search, `words`: the table of postings and the index of document numbers.
        """
        if self.about is None:
            return {}
        with self._reading() as finder:
            has_words = finder.columns.about.hybrid is not None
            return catalogue.read_sizes(self._connection(), finder.table, has_words)

    def close(self) -> None:
        """Close the connection to PostgreSQL; a thread that is waiting for the server's answer gets an error."""
        self._held.close()

    # Reading

    @contextmanager
    def _reading(self) -> Iterator[Finder]:
        """Open a `with` block in a read transaction, so that all its searches see the same state of the index.

        A block inside another one uses the same transaction.
        """
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
        """Start a read transaction on the index's tables; if a build has replaced the tables, on the new ones."""
        self._connection()  # reconnecting drops the finder of the old connection
        finder = self._finder or self._make_finder()
        for _ in range(_TRIES):
            try:
                snapshot.enter_context(finder.snapshot())
                return finder
            except errors.UndefinedTable:
                gone, finder = finder, self._make_finder()
                if finder.table == gone.table:
                    problem = "its documents are gone: their table was dropped"
                    raise InputError(problem, "a complete index: build it again", file=self._place) from None
        problem = f"other processes replaced the index {_TRIES} times while it was being opened"
        raise InputError(problem, "no builds in progress: try again when they are done", file=self._place)

    def _make_finder(self) -> Finder:
        entry = self._require_entry()
        return Finder(self._connection(), entry.table, entry.columns)

    def _open_word_finder(self, finder: Finder) -> WordFinder:
        """Return the object that does keyword search; raises InputError if the index has no keyword search."""
        if self._word_finder is None or self._word_finder.finder is not finder:
            hybrid = finder.columns.about.require_words(self._place)
            self._word_finder = WordFinder(self._connection(), finder, hybrid)
        return self._word_finder

    def _require_entry(self) -> catalogue.Entry:
        entry = catalogue.find_entry(self._connection(), self.name, self._place)
        if entry is None:
            raise InputError("there is no such index", "an index that `nestvec index` built", file=self._place)
        return entry

    # Writing

    def _prepare_server(self) -> None:
        """Enable the extension pgvector and create the table `nestvec_indexes`, unless that is done already."""
        with self._connection().transaction():
            self._connection().execute("SELECT pg_advisory_xact_lock(%s)", [statements.lock_key("")])
            require_pgvector(self._connection(), self._place)
            self._connection().execute(statements.METADATA)

    def _lock_for_writing(self) -> catalogue.Entry:
        """Prevent builds from replacing the index until the transaction ends; returns its row in `nestvec_indexes`."""
        self._take_lock("pg_advisory_xact_lock_shared")
        return self._require_entry()

    def _take_lock(self, how: str) -> None:
        """Lock the index until the transaction ends; raises InputError if another process is building the index.

        `how` is the PostgreSQL function that takes the advisory lock, alone or shared.
        """
        set_local(self._connection(), "lock_timeout", _PATIENCE)
        try:
            self._connection().execute(statements.fill_name(statements.LOCK, how), [statements.lock_key(self.name)])
        except errors.LockNotAvailable as error:
            wanted = "no build in progress: try again when that process is done"
            raise InputError("is being built by another process", wanted, file=self._place) from error
        self._connection().execute("SET LOCAL lock_timeout TO DEFAULT")

    def _open_writer(self, about: About | None = None) -> Writer:
        """Lock the index until the transaction ends, and return the object that adds and removes documents.

        With keyword search, only one process at a time may write. Raises InputError if `about` is given and differs
        from the index's description.
        """
        entry = self._lock_for_writing()
        entry.columns.about.require_same(about, self._place)
        if entry.columns.about.hybrid:
            lock = statements.fill_name(statements.LOCK, "pg_advisory_xact_lock")
            self._connection().execute(lock, [statements.lock_key(f"{self.name}\nwords")])  # no name has a line break
        return Writer(self._connection(), entry, self._place)

    # The connection

    def _connection(self) -> Connection:
        """Return the connection to PostgreSQL; connect again if it is closed."""
        if self._held.closed:
            self._held, self._finder = open_connection(self._url, self._limit), None
        return self._held

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Open a `with` block in which only this thread uses the connection, and errors become nestvec's errors."""
        with self._alone, translated_errors(self._place):
            yield
