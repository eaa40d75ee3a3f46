"""An index in PostgreSQL with pgvector: HNSW finds candidates, and the very codes that were measured score them.

`nestvec_indexes` says of each index what it serves, by which codecs, and which table holds its documents. A build is
one transaction: it fills a new table, which takes the place of the old one at its end. A killed one leaves nothing.

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
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from nestvec.errors import InputError, MissingExtraError

try:
    import psycopg
except ImportError as error:
    raise MissingExtraError("psycopg", "postgres") from error
from psycopg import errors

from nestvec.stores.postgres import catalogue, statements
from nestvec.stores.postgres.columns import Columns
from nestvec.stores.postgres.connection import open_connection, redact_url, require_pgvector, translated_errors
from nestvec.stores.postgres.copying import copy_stream, escape_text, unescape_text
from nestvec.stores.postgres.finding import Finder, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.stores.store import About, Batch, Condition, Hit
    from nestvec.vectors.codecs import Codec

    Connection = psycopg.Connection[tuple[Any, ...]]

_NAME = 40  # bytes: PostgreSQL cuts a table's name at 63
_GRAPH = 1000  # bytes of a document in an HNSW graph that is being built, beside its vector
_MEMORY = 4 * 2**20  # kB for building at the most
_PATIENCE = "5s"  # for another builder to let go: the server needs a second to notice one that was killed
_IDS = 50_000  # removed at a time
T = TypeVar("T")


class PostgresStore:
    """A store (see `Store`) in a database.

    Args:
        url: `postgresql://user:password@host:port/database`.
        name: of the index: any printable text of at most 40 bytes.

    Raises:
        InputError: the URL or the name cannot be used, or no server answers.

    Attributes:
        name: as given.
    """

    def __init__(self, url: str, name: str = "nestvec") -> None:
        if not 0 < len(name.encode(errors="replace")) <= _NAME or not name.isprintable():
            raise InputError(f"an index cannot be named {name!r}", f"1 to {_NAME} bytes of printable text")
        self._url, self.name = url, name
        self._place = f"{redact_url(url)}, index {name!r}"
        self._held = open_connection(url)
        self._finder: Finder | None = None
        self._alone = RLock()

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
                self._set_local(limit, "0")
            old = catalogue.find_table(self._connection(), self.name, self._place)
            readable = re.sub(r"[^a-z0-9_]", "_", self.name.lower())
            table = f"nestvec_{readable}_{secrets.token_hex(4)}"
            self._connection().execute(statements.make_table(table, columns))
            self._connection().execute(statements.keep_inline(table, columns))
            for batch in batches:
                self._load_batch(table, columns, batch)
            self._make_index(table, columns)
            catalogue.save_entry(self._connection(), catalogue.Entry(self.name, columns, table))
            if old:
                self._connection().execute(statements.fill_name(statements.DROP, old))
        self._finder = None

    def upsert(self, batches: Iterable[Batch]) -> None:
        """Add documents, and replace those whose id is there; see `Store`."""
        for batch in batches:
            with self._one_at_a_time(), self._connection().transaction():
                entry = self._lock_for_writing()
                self._load_batch(entry.table, entry.columns, batch)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; see `Store`."""
        with self._one_at_a_time(), self._connection().transaction():
            statement = statements.fill_name(statements.DELETE, self._lock_for_writing().table)
            parts = [list(map(escape_text, ids[at : at + _IDS])) for at in range(0, len(ids), _IDS)]
            return sum(self._connection().execute(statement, [part]).rowcount for part in parts)

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that no document has; see `Store`."""
        with self._one_at_a_time(), self._connection().transaction():
            statement = statements.select_ids(self._lock_for_writing().table, [])
            known = {
                unescape_text(identifier)
                for at in range(0, len(ids), _IDS)
                for (identifier,) in self._connection().execute(
                    statement, [list(map(escape_text, ids[at : at + _IDS]))]
                )
            }
        return [identifier for identifier in dict.fromkeys(ids) if identifier not in known]

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The best documents of each query; see `Store`."""

        def find(finder: Finder) -> list[list[Hit]]:
            self._check_width(finder.columns.about, queries)
            return finder.find(SearchRequest(queries, k, tuple(where)), exact) if len(queries) else []

        return self._use_finder(find)

    def __len__(self) -> int:
        """How many documents there are."""
        if self.about is None:
            return 0
        return self._use_finder(lambda finder: self._read_number(statements.fill_name(statements.COUNT, finder.table)))

    def size(self) -> int:
        """Bytes on disk: the table with its indexes."""
        return sum(self.sizes().values())

    def sizes(self) -> dict[str, int]:
        """Bytes on disk: of the documents' `table`, of its index by `ids`, and of the approximate one of `vectors`."""
        if self.about is None:
            return {}
        parts = {"table": statements.TABLE_SIZE, "ids": statements.IDS_SIZE, "vectors": statements.VECTORS_SIZE}
        return self._use_finder(
            lambda finder: {
                part: self._read_number(text, [statements.quote_table(finder.table)]) for part, text in parts.items()
            }
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._held.close()

    # What is there

    def _use_finder(self, work: Callable[[Finder], T]) -> T:
        """Search the index as it was last seen or, if another process has replaced it, the new one."""
        with self._one_at_a_time():
            self._connection()  # a new one drops what was seen by the old
            finder = self._finder or self._make_finder()
            try:
                self._finder = finder
                return work(finder)
            except errors.UndefinedTable:
                self._finder = self._make_finder()
                if self._finder.table == finder.table:
                    raise InputError("its documents are gone", "to be built again", file=self._place) from None
                return work(self._finder)

    def _make_finder(self) -> Finder:
        entry = self._require_entry()
        return Finder(self._connection(), entry.table, entry.columns)

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
        self._set_local("lock_timeout", _PATIENCE)
        self._connection().execute(statements.fill_name(statements.LOCK, how), [statements.lock_key(self.name)])
        self._connection().execute("SET LOCAL lock_timeout TO DEFAULT")

    def _load_batch(self, table: str, columns: Columns, batch: Batch) -> None:
        if not len(batch.ids):
            return
        self._check_width(columns.about, batch.vectors)
        cursor = self._connection().cursor()
        cursor.execute(statements.fill_name(statements.MAKE_BATCH, table))
        with cursor.copy(statements.COPY) as copy:
            copy.write(copy_stream(columns, batch))
        cursor.execute(statements.merge_batch(table, columns))
        cursor.execute(statements.EMPTY)

    def _make_index(self, table: str, columns: Columns) -> None:
        """Build the approximate index, in memory if the server can."""
        count, connection = self._read_number(statements.fill_name(statements.COUNT, table)), self._connection()
        graph = count * (_GRAPH + 4 * columns.about.stages[0].dimension) // 1024
        allowed = self._read_number("SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'")
        self._set_local("maintenance_work_mem", f"{max(allowed, min(graph, _MEMORY))}kB")
        try:
            with connection.transaction():
                connection.execute(statements.make_index(table, columns))
        except errors.DiskFull:  # or a container's shared memory, through which parallel workers build, is small
            self._set_local("max_parallel_maintenance_workers", "0")
            connection.execute(statements.make_index(table, columns))

    def _check_width(self, about: About, vectors: NDArray[np.float32]) -> None:
        if vectors.shape[1] != about.full_dimension:
            problem = f"holds vectors of {about.full_dimension} numbers, not of {vectors.shape[1]}"
            raise InputError(problem, f"those of system {about.system!r}", file=self._place)

    # The connection

    def _connection(self) -> Connection:
        """The open connection; a new one where the server has closed it."""
        if self._held.closed:
            self._held, self._finder = open_connection(self._url), None
        return self._held

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """One thread at a time, as there is one connection; what the server refuses becomes one message."""
        with self._alone, translated_errors(self._place):
            yield

    def _set_local(self, name: str, value: str) -> None:
        """Change a setting until the transaction ends."""
        self._connection().execute(statements.LOCAL, [name, value])

    def _read_number(self, text: statements.Text | str, values: Sequence[object] = ()) -> int:
        row = self._connection().execute(text, values).fetchone()
        return int(row[0]) if row else 0
