"""Searches vectors in PostgreSQL: the HNSW index, or a read of all documents, gives candidates, which are then scored.

An exact search reads the stored vectors of all documents instead. A search is one transaction, which sees one state of
the database. Its statements are sent in pipeline mode: each is sent without waiting for the answer to the one before.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.postgres import statements
from nestvec.stores.postgres.copying import unescape_fields, unescape_text
from nestvec.stores.scan import find_possible
from nestvec.stores.store import Hit
from nestvec.vectors.topk import rerank, top_k

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    from numpy.typing import NDArray

    from nestvec.stores.postgres.columns import Columns
    from nestvec.stores.store import Condition

_EFFORT = 400  # least hnsw.ef_search
_MOST_EFFORT = 1000  # greatest hnsw.ef_search that pgvector accepts
_MORE = 10  # extra candidates, so that rounding to half precision loses no document
_SIGNS_MORE = 20  # if the index is over signs: candidates for each document to return
_SIGNS_FEW = 4  # if the index is over signs: candidates for each document that only takes part in a fusion
_TOGETHER = 32  # queries in the pipeline at a time
_READ = 20_000  # documents read at a time
ScoredIds = list[tuple[float, str]]  # score and escaped id, best first


@dataclass(frozen=True)
class SearchRequest:
    """The queries of a search, how many documents to find, and the filter conditions.

    Attributes:
        queries: float32 array with a vector of unit length for each query, in the system's full dimension.
        k: number of documents to find for each query.
        where: conditions of a filter; a document must fulfil all of them.
        shown: number of documents that the user will see, if fewer than k, as in a fused search; the search takes more
            candidates so as not to miss these. None means all k.
    """

    queries: NDArray[np.float32]
    k: int
    where: tuple[Condition, ...]
    shown: int | None = None


class Finder:
    """Vector search among the documents of one PostgreSQL table.

    Args:
        connection: a connection that is not in a transaction.
        table: name of the table of documents.
        columns: the columns of this table that hold vectors.

    Attributes:
        table: name of the table of documents.
        columns: the columns of this table that hold vectors.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], table: str, columns: Columns) -> None:
        self._connection = connection
        self._touch = statements.fill_name(statements.TOUCH, table)
        self.table = table
        self.columns = columns

    def find(self, request: SearchRequest, exact: bool) -> list[list[Hit]]:
        """Find the best documents for each query, as hits; call this inside the `with` block of `snapshot`."""
        return self.read_hits(self.rank(request, exact))

    def rank(self, request: SearchRequest, exact: bool) -> list[ScoredIds]:
        """Find scores and ids of the best documents for each query; call this in the `with` block of `snapshot`."""
        wanted = self._first_stage_count(request.k)
        ranked: list[ScoredIds] = [] if exact else self._find_near(request, wanted)
        missed = [row for row in range(len(request.queries)) if exact or len(ranked[row]) < wanted]
        if missed:
            ranked = ranked or [[] for _ in missed]
            again = self._find_all(SearchRequest(request.queries[missed], request.k, request.where), wanted)
            for row, scored in zip(missed, again, strict=True):
                ranked[row] = scored
        if len(self.columns.about.stages) > 1:
            ranked = self._rerank_shortlists(request.queries, ranked)
        return [scored[: request.k] for scored in ranked]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Open a `with` block in a read-only transaction, in which all statements see the same state of the database.

        The transaction begins with a read of the table, so that no build can drop the table before the block ends.
        Raises psycopg's UndefinedTable if a build has dropped the table already.
        """
        try:
            with self._connection.pipeline():
                self._connection.execute(statements.BEGIN)
                self._connection.execute(self._touch).fetchall()
                yield
                self._connection.execute(statements.COMMIT)
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise

    def execute(self, text: statements.Text, values: Sequence[object] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Send an SQL statement to the server; its results will be in PostgreSQL's binary format."""
        return self._connection.cursor(binary=True).execute(text, values)

    # The first stage

    def _find_near(self, request: SearchRequest, wanted: int) -> list[ScoredIds]:
        """Find the `wanted` best documents for each query among those that the HNSW index finds."""
        candidates = self._candidate_count(request)
        self.execute(statements.EFFORT, [str(min(max(candidates, _EFFORT), _MOST_EFFORT))])
        text = _nearest_statement(self.table, self.columns, candidates, request.where)
        conditions = statements.condition_values(request.where)
        values = ([*conditions, self.columns.format_query(query)] for query in request.queries)
        return [scored[:wanted] for scored in self._score_answers(0, request.queries, text, values, wanted)]

    def _find_all(self, request: SearchRequest, wanted: int) -> list[ScoredIds]:
        """Find the `wanted` best documents for each query exactly; all documents are read once for all queries."""
        columns, best = self.columns, [list[tuple[float, str]]() for _ in request.queries]
        cut = columns.codecs[0].cut(request.queries)
        for rows in self._read_passing(request.where):
            rows.sort(reverse=True, key=lambda row: str(row[0]))  # Python's order of texts is that of their UTF-8 bytes
            codes = columns.parse_codes(0, [row[1:] for row in rows])
            rows_by_query, scores = top_k(cut, codes, wanted, columns.codecs[0].decode)
            for query, (best_rows, values) in enumerate(zip(rows_by_query.tolist(), scores.tolist(), strict=True)):
                new = [(value, rows[row][0]) for value, row in zip(values, best_rows, strict=True)]
                best[query] = sorted(best[query] + new, reverse=True)[:wanted]
        return best

    def _read_passing(self, where: tuple[Condition, ...]) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all documents that fulfil the conditions, in portions: ids and the first vector format's columns."""
        text = statements.select_all(self.table, self.columns.needed_columns(0), where)
        self.execute(statements.declare_cursor(text), statements.condition_values(where))
        while rows := self.execute(statements.fetch_rows(_READ)).fetchall():
            yield rows
        self.execute(statements.DONE)

    def _first_stage_count(self, k: int) -> int:
        """Return how many documents the first vector format must find, so that k remain after re-ranking."""
        about = self.columns.about
        return k if len(about.stages) == 1 else max(k, about.shortlist)

    def _candidate_count(self, request: SearchRequest) -> int:
        """Return how many documents the approximate (HNSW) index is asked for."""
        wanted = self._first_stage_count(request.k)
        if not self.columns.by_signs:
            return wanted + _MORE
        shown = wanted if request.shown is None else self._first_stage_count(request.shown)
        return max(_SIGNS_MORE * shown, _SIGNS_FEW * wanted)

    # The second stage, and the texts

    def _rerank_shortlists(self, queries: NDArray[np.float32], shortlists: Sequence[ScoredIds]) -> list[ScoredIds]:
        """Re-rank each query's shortlist with the codes of the second vector format."""
        text = statements.select_ids(self.table, self.columns.needed_columns(1))
        values = ([[identifier for _, identifier in shortlist]] for shortlist in shortlists)
        return list(self._score_answers(1, queries, text, values))

    def _score_answers(
        self,
        stage: int,
        queries: NDArray[np.float32],
        text: statements.Text,
        values: Iterator[Sequence[object]],
        wanted: int | None = None,
    ) -> Iterator[ScoredIds]:
        """Run a statement once for each query, and score the returned rows by their codes in one vector format.

        `values` yields the statement's parameters for each query. `wanted` is the number of best documents that are
        needed; None: all.
        """
        for first in range(0, len(queries), _TOGETHER):
            part = queries[first : first + _TOGETHER]
            cursors = [self.execute(text, row) for row in islice(values, len(part))]
            for query, cursor in zip(part, cursors, strict=True):
                yield self.score_rows(query[None], cursor.fetchall(), stage, wanted)

    def score_rows(
        self, query: NDArray[np.float32], rows: list[tuple[Any, ...]], stage: int, wanted: int | None = None
    ) -> ScoredIds:
        """Score documents by their codes in the index's first or second vector format.

        Args:
            query: the query's vector as an array with one row, in the system's full dimension.
            rows: for each document its id and the values of the columns that `Columns.needed_columns` names.
            stage: number of the vector format to use: 0 for the first, 1 for the one that re-ranks.
            wanted: number of best documents that must be in the result; None returns all documents.

        Returns:
            Scores and ids, best first; of equal scores, the greater id first. There may be more than `wanted`.
        """
        if not rows:
            return []
        rows.sort(reverse=True, key=lambda row: str(row[0]))
        codes, codec = self.columns.parse_codes(stage, [row[1:] for row in rows]), self.columns.codecs[stage]
        cut = self.columns.codecs[stage].cut(query)
        kept = np.arange(len(rows)) if wanted is None else np.flatnonzero(find_possible(codec, cut[0], codes, wanted))
        places, scores = rerank(cut, codes, kept[None], codec.decode)
        return [(score, rows[row][0]) for row, score in zip(places[0].tolist(), scores[0].tolist(), strict=True)]

    def read_hits(self, ranked: Sequence[ScoredIds]) -> list[list[Hit]]:
        """Read the texts and fields of documents that a search has ranked."""
        ids = sorted({identifier for scored in ranked for _, identifier in scored})
        rows = self.execute(statements.select_ids(self.table, ["text", "fields"]), [ids]).fetchall()
        documents = {identifier: (unescape_text(text), unescape_fields(fields)) for identifier, text, fields in rows}
        return [
            [Hit(unescape_text(identifier), score, *documents[identifier]) for score, identifier in scored]
            for scored in ranked
        ]


@lru_cache(maxsize=64)
def _nearest_statement(table: str, columns: Columns, count: int, where: tuple[Condition, ...]) -> bytes:
    """Return the SQL query that searches the HNSW index; the result is cached, because composing SQL takes time."""
    return statements.select_nearest(table, columns, count, where).as_bytes(None)
