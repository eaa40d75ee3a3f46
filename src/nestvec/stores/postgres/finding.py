"""A search in PostgreSQL: candidates by the approximate index or all there are, scored by their codes, then read.

It goes in one transaction that sees one state of the database, and queries are sent without waiting for each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.stores.postgres import statements
from nestvec.stores.postgres.copying import fields_given, given
from nestvec.stores.store import Hit
from nestvec.vectors.codecs import prefix
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
_TOGETHER = 32  # queries on their way at a time
_READ = 20_000  # documents read at a time
Scored = list[tuple[float, str]]  # score and id as the database has it, best first


@dataclass(frozen=True)
class Asked:
    """A search.

    Attributes:
        queries: (q, full dimension) float32, rows of unit length.
        k: how many documents are wanted.
        where: what they must fulfil.
    """

    queries: NDArray[np.float32]
    k: int
    where: tuple[Condition, ...]


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
        self._effort = ""
        self.table = table
        self.columns = columns

    def find(self, asked: Asked, exact: bool) -> list[list[Hit]]:
        """The best documents of each query, as `Store.search` has them."""
        about = self.columns.about
        wanted = asked.k if len(about.stages) == 1 else max(asked.k, about.shortlist)
        if not exact:
            self._take_care(self._candidates(wanted))
        with self._snapshot():
            found: list[Scored] = [] if exact else self._near(asked, wanted)
            missed = [row for row in range(len(asked.queries)) if exact or len(found[row]) < wanted]
            if missed:
                found = found or [[] for _ in missed]
                again = self._all(Asked(asked.queries[missed], asked.k, asked.where), wanted)
                for row, scored in zip(missed, again, strict=True):
                    found[row] = scored
            if len(about.stages) > 1:
                found = self._again(asked.queries, found)
            return self._read([scored[: asked.k] for scored in found])

    # The first stage

    def _near(self, asked: Asked, wanted: int) -> list[Scored]:
        """The best `wanted` of what the approximate index finds."""
        text = _nearest(self.table, self.columns, self._candidates(wanted), asked.where)
        conditions = statements.values(asked.where)
        found: list[Scored] = []
        for first in range(0, len(asked.queries), _TOGETHER):
            part = asked.queries[first : first + _TOGETHER]
            cursors = [self._execute(text, [*conditions, self.columns.asked(query)]) for query in part]
            found += [
                self._scored(query[None], cursor.fetchall(), 0)[:wanted]
                for query, cursor in zip(part, cursors, strict=True)
            ]
        return found

    def _all(self, asked: Asked, wanted: int) -> list[Scored]:
        """The best `wanted` of all documents, which all queries share a pass over."""
        columns, best = self.columns, [list[tuple[float, str]]() for _ in asked.queries]
        cut = prefix(asked.queries, columns.about.stages[0].dimension)
        for rows in self._passing(asked.where):
            rows.sort(reverse=True, key=lambda row: str(row[0]))  # code points are in the order of UTF-8's bytes
            codes = columns.codes(0, [row[1:] for row in rows])
            places, scores = top_k(cut, codes, wanted, columns.codecs[0].decode)
            for query, (place, score) in enumerate(zip(places.tolist(), scores.tolist(), strict=True)):
                new = [(each, rows[row][0]) for each, row in zip(score, place, strict=True)]
                best[query] = sorted(best[query] + new, reverse=True)[:wanted]
        return best

    def _passing(self, where: tuple[Condition, ...]) -> Iterator[list[tuple[Any, ...]]]:
        """Ids and the first stage's columns of all documents that fulfil the conditions, some at a time."""
        text = statements.everything(self.table, self.columns.needed(0), where)
        self._execute(statements.declare(text), statements.values(where))
        while rows := self._execute(statements.fetch(_READ)).fetchall():
            yield rows
        self._execute(statements.DONE)

    def _candidates(self, wanted: int) -> int:
        """How many documents the approximate index is asked for."""
        return wanted * _SIGNS_MORE if self.columns.by_signs else wanted + _MORE

    # The second stage, and the texts

    def _again(self, queries: NDArray[np.float32], found: Sequence[Scored]) -> list[Scored]:
        """The shortlists, ranked by the second stage's codes."""
        text = statements.some(self.table, self.columns.needed(1))
        again: list[Scored] = []
        for first in range(0, len(found), _TOGETHER):
            part = range(first, min(first + _TOGETHER, len(found)))
            cursors = [self._execute(text, [[each for _, each in found[row]]]) for row in part]
            again += [
                self._scored(queries[row][None], cursor.fetchall(), 1)
                for row, cursor in zip(part, cursors, strict=True)
            ]
        return again

    def _scored(self, query: NDArray[np.float32], rows: list[tuple[Any, ...]], stage: int) -> Scored:
        """Documents by a stage's codes, best first, of equal scores the greater id first."""
        if not rows:
            return []
        rows.sort(reverse=True, key=lambda row: str(row[0]))
        codes = self.columns.codes(stage, [row[1:] for row in rows])
        cut = prefix(query, self.columns.about.stages[stage].dimension)
        places, scores = rerank(cut, codes, _all_rows(len(rows)), self.columns.codecs[stage].decode)
        return [(score, rows[row][0]) for row, score in zip(places[0].tolist(), scores[0].tolist(), strict=True)]

    def _read(self, found: Sequence[Scored]) -> list[list[Hit]]:
        """The documents themselves."""
        ids = sorted({each for scored in found for _, each in scored})
        rows = self._execute(statements.some(self.table, ["text", "fields"]), [ids]).fetchall()
        held = {each: (given(text), fields_given(fields)) for each, text, fields in rows}
        return [[Hit(given(each), score, *held[each]) for score, each in scored] for scored in found]

    # The connection

    def _take_care(self, candidates: int) -> None:
        """Have HNSW look at enough documents; the session keeps it."""
        effort = str(min(max(candidates, _EFFORT), _MOST_EFFORT))
        if self._effort != effort:
            self._connection.execute(statements.EFFORT, [effort])
            self._effort = effort

    def _execute(self, text: statements.Text, values: Sequence[object] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Send a statement, whose results come in binary."""
        return self._connection.cursor(binary=True).execute(text, values)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """A transaction that reads one state of the database, its statements sent without waiting."""
        try:
            with self._connection.pipeline():
                self._connection.execute(statements.BEGIN)
                yield
                self._connection.execute(statements.COMMIT)
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise


def _all_rows(count: int) -> NDArray[np.int64]:
    """(1, count) rows of one query."""
    return np.arange(count, dtype=np.int64)[None]


@lru_cache(maxsize=64)
def _nearest(table: str, columns: Columns, count: int, where: tuple[Condition, ...]) -> bytes:
    """The statement, put together once."""
    return statements.nearest(table, columns, count, where).as_bytes(None)
