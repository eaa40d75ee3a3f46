"""Writes documents to a search index in PostgreSQL: builds the index, adds documents to it, and removes documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import errors

from nestvec.errors import InputError
from nestvec.stores.postgres import statements, word_statements
from nestvec.stores.postgres.connection import read_number, set_local
from nestvec.stores.postgres.copying import copy_stream, escape_text
from nestvec.stores.postgres.word_table import WordTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import psycopg
    from numpy.typing import NDArray

    from nestvec.stores.postgres.catalogue import Entry
    from nestvec.stores.store import About, Batch

_GRAPH = 1000  # bytes per document of an HNSW graph in construction, not counting the vector
_MEMORY = 4 * 2**20  # most kB of memory for building the graph
_IDS = 50_000  # documents removed per statement
_STAGED = "nestvec_staged"


class Writer:
    """Writes the documents of one search index to PostgreSQL.

    Args:
        connection: a connection in a transaction that has locked the index.
        entry: the index's row in the table `nestvec_indexes`.
        place: the name that error messages give the index.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], entry: Entry, place: str) -> None:
        self._connection = connection
        self._table, self._columns = entry.table, entry.columns
        self._place = place
        self._words = WordTable(connection, entry.table) if entry.columns.about.hybrid else None

    def build(self, batches: Iterable[Batch]) -> None:
        """Create and fill the index's tables and build the HNSW index; of documents with the same id, keep the last."""
        self._connection.execute(statements.make_table(self._table, self._columns))
        self._connection.execute(statements.keep_inline(self._table, self._columns))
        if self._words is None:
            for batch in batches:
                self._load(self._table, batch)
        else:  # documents are numbered in the order of ids, so all documents are staged first
            self._connection.execute(statements.fill_name(word_statements.STAGE, self._table))
            for batch in batches:
                self._load(_STAGED, batch)
            self._connection.execute(statements.take_staged(self._table, self._columns))
            self._connection.execute(word_statements.UNSTAGE)
            self._words.make()
        self._make_index()

    def upsert(self, batch: Batch) -> None:
        """Add documents to the index; a document whose id exists already replaces the old document."""
        self._load(self._table, batch, self._words)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed."""
        removed = 0
        for first in range(0, len(ids), _IDS):
            part = list(map(escape_text, ids[first : first + _IDS]))
            if self._words is not None:
                text = statements.fill_name(word_statements.WORDS_OF_IDS, self._table)
                self._words.replace(self._words.read_documents(text, [part]), {})
            removed += self._connection.execute(statements.fill_name(statements.DELETE, self._table), [part]).rowcount
        return removed

    def _load(self, table: str, batch: Batch, words: WordTable | None = None) -> None:
        """Write a batch of documents to a table; if `words` is given, also update this table of postings."""
        if not len(batch.ids):
            return
        check_width(self._columns.about, batch.vectors, self._place)
        self._connection.execute(statements.fill_name(statements.MAKE_BATCH, self._table))
        with self._connection.cursor().copy(statements.COPY) as copy:
            copy.write(copy_stream(self._columns, batch))
        merge = statements.merge_batch(table, self._columns)
        if words is None:
            self._connection.execute(merge, [0] if self._words else [])
        else:
            text = statements.fill_name(word_statements.WORDS_OF_BATCH, table)
            before = words.read_documents(text)
            self._connection.execute(merge, [words.next_number()])
            words.replace(before, words.read_documents(text))
        self._connection.execute(statements.EMPTY)

    def _make_index(self) -> None:
        """Build the HNSW index; raise the server's memory limit to what the index's graph needs, at most to 4 GB."""
        connection, width = self._connection, self._columns.about.stages[0].dimension
        count = read_number(connection, statements.fill_name(statements.COUNT, self._table))
        graph = count * (_GRAPH + 4 * width) // 1024
        allowed = read_number(connection, "SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'")
        set_local(connection, "maintenance_work_mem", f"{max(allowed, min(graph, _MEMORY))}kB")
        try:
            with connection.transaction():
                connection.execute(statements.make_index(self._table, self._columns))
        except errors.DiskFull:  # also raised if parallel workers find too little shared memory, as in a container
            set_local(connection, "max_parallel_maintenance_workers", "0")
            connection.execute(statements.make_index(self._table, self._columns))


def check_width(about: About, vectors: NDArray[np.float32], place: str) -> None:
    """Raise InputError if vectors do not have the number of dimensions that the index was built for."""
    if vectors.shape[1] != about.full_dimension:
        problem = f"holds vectors of {about.full_dimension} dimensions, not of {vectors.shape[1]}"
        raise InputError(problem, f"vectors of system {about.system!r}", file=place)
