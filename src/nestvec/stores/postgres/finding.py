"""A search in PostgreSQL: candidates by the approximate index or all there are, scored by their codes, then read.

It goes in one transaction that sees one state of the database (`Finder.snapshot`), and queries are sent without waiting
for each other.
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

_EFFORT = 400  # documents that HNSW keeps an eye on, at the least
_MOST_EFFORT = 1000  # pgvector's own bound
_MORE = 10  # candidates beyond those wanted, so that rounding to half precision loses none
_SIGNS_MORE = 20  # candidates by signs alone, times those wanted
_SIGNS_FEW = 4  # the same times those that are only to take part in a fusion
_TOGETHER = 32  # queries on their way at a time
_READ = 20_000  # documents read at a time
ScoredIds = list[tuple[float, str]]  # score and id as the database has it, best first


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for.

    Attributes:
        queries: (q, full dimension) float32, rows of unit length.
        k: how many documents are wanted.
        where: what they must fulfil.
        shown: how many of them are shown in the end; None: all, so that none of them should be missed.
    """

    queries: NDArray[np.float32]
    k: int
    where: tuple[Condition, ...]
    shown: int | None = None


class Finder:
    """Searches one table.

    Args:
        connection: not in a transaction.
        table: of the documents.
        columns: of the table.

    Attributes:
        table: as given.
        columns: as given.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], table: str, columns: Columns) -> None:
        self._connection = connection
        self._touch = statements.fill_name(statements.TOUCH, table)
        self.table = table
        self.columns = columns

    def find(self, request: SearchRequest, exact: bool) -> list[list[Hit]]:
        """The best documents of each query, as `Store.search` has them, in a snapshot."""
        return self.read_hits(self.rank(request, exact))

    def rank(self, request: SearchRequest, exact: bool) -> list[ScoredIds]:
        """The best documents of each query, in a snapshot."""
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
        """A transaction that reads one state of the database, its statements sent without waiting.

        It has read the table once when the block begins, so that no build can drop it before the block ends. Raises
        psycopg's UndefinedTable where one was faster.
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
        """Send a statement, whose results come in binary."""
        return self._connection.cursor(binary=True).execute(text, values)

    # The first stage

    def _find_near(self, request: SearchRequest, wanted: int) -> list[ScoredIds]:
        """The best `wanted` of what the approximate index finds."""
        candidates = self._candidate_count(request)
        self.execute(statements.EFFORT, [str(min(max(candidates, _EFFORT), _MOST_EFFORT))])
        text = _nearest_statement(self.table, self.columns, candidates, request.where)
        conditions = statements.condition_values(request.where)
        values = ([*conditions, self.columns.format_query(query)] for query in request.queries)
        return [scored[:wanted] for scored in self._score_answers(0, request.queries, text, values, wanted)]

    def _find_all(self, request: SearchRequest, wanted: int) -> list[ScoredIds]:
        """The best `wanted` of all documents, which all queries share a pass over."""
        columns, best = self.columns, [list[tuple[float, str]]() for _ in request.queries]
        cut = columns.codecs[0].cut(request.queries)
        for rows in self._read_passing(request.where):
            rows.sort(reverse=True, key=lambda row: str(row[0]))  # code points are in the order of UTF-8's bytes
            codes = columns.parse_codes(0, [row[1:] for row in rows])
            rows_by_query, scores = top_k(cut, codes, wanted, columns.codecs[0].decode)
            for query, (best_rows, values) in enumerate(zip(rows_by_query.tolist(), scores.tolist(), strict=True)):
                new = [(value, rows[row][0]) for value, row in zip(values, best_rows, strict=True)]
                best[query] = sorted(best[query] + new, reverse=True)[:wanted]
        return best

    def _read_passing(self, where: tuple[Condition, ...]) -> Iterator[list[tuple[Any, ...]]]:
        """Ids and the first stage's columns of all documents that fulfil the conditions, some at a time."""
        text = statements.select_all(self.table, self.columns.needed_columns(0), where)
        self.execute(statements.declare_cursor(text), statements.condition_values(where))
        while rows := self.execute(statements.fetch_rows(_READ)).fetchall():
            yield rows
        self.execute(statements.DONE)

    def _first_stage_count(self, k: int) -> int:
        """How many documents the first stage is to find for k of the last."""
        about = self.columns.about
        return k if len(about.stages) == 1 else max(k, about.shortlist)

    def _candidate_count(self, request: SearchRequest) -> int:
        """How many documents the approximate index is asked for."""
        wanted = self._first_stage_count(request.k)
        if not self.columns.by_signs:
            return wanted + _MORE
        shown = wanted if request.shown is None else self._first_stage_count(request.shown)
        return max(_SIGNS_MORE * shown, _SIGNS_FEW * wanted)

    # The second stage, and the texts

    def _rerank_shortlists(self, queries: NDArray[np.float32], shortlists: Sequence[ScoredIds]) -> list[ScoredIds]:
        """The shortlists, ranked by the second stage's codes."""
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
        """Score what a statement answers with each query's values, or the best; some are on their way at a time."""
        for first in range(0, len(queries), _TOGETHER):
            part = queries[first : first + _TOGETHER]
            cursors = [self.execute(text, row) for row in islice(values, len(part))]
            for query, cursor in zip(part, cursors, strict=True):
                yield self.score_rows(query[None], cursor.fetchall(), stage, wanted)

    def score_rows(
        self, query: NDArray[np.float32], rows: list[tuple[Any, ...]], stage: int, wanted: int | None = None
    ) -> ScoredIds:
        """Documents by a stage's codes, best first, of equal scores the greater id first.

        Args:
            query: (1, full dimension).
            rows: ids, and what the columns that the stage needs hold.
            stage: 0, or 1 for the second.
            wanted: how many of the best are needed; None: all.

        Returns:
            All, or the best and some that come close to them.
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
        """The documents with their texts and fields."""
        ids = sorted({identifier for scored in ranked for _, identifier in scored})
        rows = self.execute(statements.select_ids(self.table, ["text", "fields"]), [ids]).fetchall()
        documents = {identifier: (unescape_text(text), unescape_fields(fields)) for identifier, text, fields in rows}
        return [
            [Hit(unescape_text(identifier), score, *documents[identifier]) for score, identifier in scored]
            for scored in ranked
        ]


@lru_cache(maxsize=64)
def _nearest_statement(table: str, columns: Columns, count: int, where: tuple[Condition, ...]) -> bytes:
    """The statement that asks the approximate index, put together once."""
    return statements.select_nearest(table, columns, count, where).as_bytes(None)
