"""A generation: one complete build of an embedded index, a folder to which documents can be added.

    documents.sqlite             each document's id, text, fields and row number, and where each word's postings are
    codecs.safetensors           the codecs, which encode vectors and decode the stored ones
    000000000000.48.int8.faiss   encoded vectors of a segment (`segment.py`), named by the segment's first row
    000000000000.words.npy       the segment's postings: which documents contain which word

Documents that are added together form a segment. A writer first writes the segment's files. Then one SQLite transaction
adds its rows and marks the rows of replaced documents as gone. A reader sees the state before or after that
transaction, and the next writer overwrites files that a killed writer left.

A search reads everything between `begin` and `end`, in one SQLite transaction, and so sees one state. SQLite uses its
rollback journal, because readers then need no write permission. A writer's commit waits for reads in progress, and new
reads wait for the commit.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.stores import field_table, postings
from nestvec.stores.postings import Postings
from nestvec.stores.scan import Scan
from nestvec.stores.segment import Segment, read_stamp
from nestvec.stores.sqlite_file import EXPECTED, create_file, open_reader, open_writer, sqlite_errors
from nestvec.stores.word_index import WordIndex
from nestvec.vectors.stored import load_codecs, save_codecs
from nestvec.vectors.topk import tie_order

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.stores.postings import Span
    from nestvec.stores.store import About, Condition, Value
    from nestvec.vectors.codecs import Codec

DOCUMENTS, _CODECS = "documents.sqlite", "codecs.safetensors"
_ROWS = 2**31 - 1  # most rows of a generation: the files of words hold row numbers of 32 bits
_TEXTS = 10_000  # most parameters in one SQL statement
_TABLES = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, rows INTEGER NOT NULL, checks TEXT NOT NULL);
CREATE TABLE documents (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE gone (row INTEGER PRIMARY KEY);
"""
_SCHEMA = (_TABLES, field_table.TABLE, postings.TABLE)


@dataclass(frozen=True)
class StoredDocument:
    """A document as the index's SQLite file stores it: row number, id, text and fields."""

    row: int
    id: str
    text: str
    fields: dict[str, Value]

    @classmethod
    def parse(cls, file: Path, row: int, identifier: object, text: object, fields: object) -> StoredDocument:
        """Make a document from the values that SQLite returned; raises InputError if a value has the wrong type."""
        if not isinstance(identifier, str) or not isinstance(text, str):
            raise InputError(f"is damaged: the document in row {row} has no id or no text", EXPECTED, file=file)
        return cls(row, identifier, text, _parse_object(fields, file))


class Generation:
    """One complete build of an embedded index (a generation), opened from its folder.

    Args:
        folder: the generation's folder.
        about: description of the index: its system, vector formats and search settings.
        limit: seconds to wait while another process has locked the SQLite file.

    Raises:
        InputError: a file is missing, damaged, from another index, or locked for longer than `limit`.

    Attributes:
        folder: the generation's folder.
        about: the description of the index.
        codecs: one codec for each vector format of the index.
        segments: the segments that SQLite lists, in the order of their rows.
        gone: row numbers of documents that have been removed or replaced.
        version: an object that is replaced by a new one whenever documents change.
    """

    def __init__(self, folder: Path, about: About, limit: float) -> None:
        self.folder, self.about = folder, about
        self._limit = limit
        codecs = load_codecs(folder / _CODECS)
        missing = [stage.name for stage in about.stages if stage.name not in codecs]
        if missing:
            raise InputError(f"is damaged: it lacks the codec of {missing[0]}", EXPECTED, file=folder / _CODECS)
        self.codecs = tuple(codecs[stage.name] for stage in about.stages)
        empty = (np.zeros((0, stage.dimension), dtype=np.float32) for stage in about.stages)
        self._no_codes = tuple(codec.encode(none) for codec, none in zip(self.codecs, empty, strict=True))
        self._documents = folder / DOCUMENTS
        self._opened = read_stamp(self._documents)
        required = len(_SCHEMA) if about.hybrid else len(_SCHEMA) - 1  # older indexes have no table of words
        self._base = open_reader(self._documents, limit, _SCHEMA[:required], _SCHEMA[required:])
        self._segments: dict[int, Segment] = {}
        self._seen = -1
        self._words: WordIndex | None = None
        self.version = object()
        self.segments: tuple[Segment, ...] = ()
        self.gone: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create_empty(cls, folder: Path, about: About, codecs: Sequence[Codec], limit: float) -> Generation:
        """Create a new folder with a generation that has no documents yet, and open it.

        `codecs` has one codec for each vector format in `about.stages`.
        """
        folder.mkdir()
        save_codecs(folder / _CODECS, {stage.name: codec for stage, codec in zip(about.stages, codecs, strict=True)})
        create_file(folder / DOCUMENTS, _SCHEMA)
        return cls(folder, about, limit)

    def close(self) -> None:
        """Close the generation's files."""
        self._base.close()
        self.segments, self._segments, self._words = (), {}, None

    def __len__(self) -> int:
        """Number of documents, without removed ones."""
        return self.row_count - len(self.gone)

    @property
    def row_count(self) -> int:
        """Number of rows in all segments, including rows whose documents were removed."""
        return self.segments[-1].first + self.segments[-1].row_count if self.segments else 0

    @property
    def words(self) -> WordIndex:
        """The keyword index (BM25) of all documents, to be used by one thread at a time.

        Raises InputError if the index was built without keyword search.
        """
        if self._words is None:
            lexical = self.about.require_words(self.folder).lexical
            parts = [segment.postings for segment in self.segments if segment.postings]
            self._words = WordIndex(parts, self.live_rows(), lexical, self._find_spans, self._read_texts)
        return self._words

    @property
    def is_replaced(self) -> bool:
        """Whether the SQLite file was removed, or replaced by another file of the same name."""
        found = read_stamp(self._documents)
        return found is None or self._opened is None or found.inode != self._opened.inode

    def begin(self) -> None:
        """Start a read transaction: load what other processes have committed, and read this state until `end`."""
        with self._translated_errors():
            self._base.execute("BEGIN")
            try:
                version = self._base.execute("PRAGMA data_version").fetchone()[0]  # the first read fixes the state
                if version != self._seen or not all(segment.is_unchanged for segment in self.segments):
                    self._read_state()
                    self._seen = version
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End the read transaction, so that other processes can write again."""
        with self._translated_errors():
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")  # nothing was written

    def refresh(self) -> None:
        """Load the changes that other processes, or this one, have committed."""
        self.begin()
        self.end()

    def _read_state(self) -> None:
        """Open segments that are new or whose files have changed, and read the rows of removed documents."""
        self._seen = -1  # if this method fails, the next `begin` calls it again
        self._base.fit_limits()
        listed = self._read_segments()
        gone = self._fetch_rows(self._base.execute("SELECT row FROM gone"), sum(rows for _, rows, _ in listed))
        for first, rows, checks in listed:
            held = self._segments.get(first)
            if held is None or not held.is_unchanged:
                segment = Segment.open(self.folder, self.about, self.codecs, (first, rows), checks)
                self._segments[first] = segment
        self.segments = tuple(self._segments[first] for first, _, _ in listed)
        self.gone = gone
        self._words, self.version = None, object()

    def add_documents(
        self,
        ids: Sequence[str],  # n, each once
        texts: Sequence[str],
        fields: Sequence[Mapping[str, Value]],
        codes: Sequence[NDArray[np.generic]],  # (n, …) for each stage
    ) -> None:
        """Add documents in one transaction, as a new segment; present documents with the same ids are replaced."""
        if not ids:
            return
        order, first = tie_order(ids), self.row_count
        ids, texts, fields = ([column[row] for row in order] for column in (ids, texts, fields))
        scans = [Scan.of(codec, coded[order]) for codec, coded in zip(self.codecs, codes, strict=True)]
        hybrid = self.about.hybrid
        counted, spans = Postings.count(texts, hybrid.lexical.forms, first) if hybrid else (None, {})
        checks = Segment(first, len(ids), tuple(scans), counted).save(self.folder, self.about)
        rows = range(first, first + len(ids))
        with self._write_transaction() as base:
            _mark_gone(base, ids)
            base.execute("INSERT INTO segments VALUES (?, ?, ?)", (first, len(ids), json.dumps(checks)))
            written = (json.dumps(dict(entries), ensure_ascii=False, allow_nan=False) for entries in fields)
            base.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", zip(rows, ids, texts, written))  # noqa: B905
            base.executemany(field_table.INSERT, field_table.field_rows(rows, fields))
            if spans:  # an index without keyword search may lack the table of words
                base.executemany(postings.INSERT, ((word, first, *span) for word, span in spans.items()))
        self.refresh()

    def remove_documents(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed."""
        with self._write_transaction() as base:
            removed = _mark_gone(base, ids)
        self.refresh()
        return removed

    def documents_at(self, rows: NDArray[np.int64]) -> list[StoredDocument]:
        """Read the documents with the given row numbers, in any order; none of them may have been removed."""
        stored = self._select_rows("SELECT row, id, text, fields FROM documents", rows)
        return [StoredDocument.parse(self._documents, *values) for values in stored]

    def ids_at(self, rows: NDArray[np.int64]) -> dict[int, str]:
        """Read the ids of the documents with the given row numbers; none of them may have been removed."""
        found = dict(self._select_rows("SELECT row, id FROM documents", rows))
        self._require(all(isinstance(identifier, str) for identifier in found.values()), "an id is not text")
        return found

    def matching_rows(self, where: Sequence[Condition]) -> NDArray[np.int64]:
        """Find the row numbers, ascending, of documents that fulfil all conditions; there must be at least one."""
        statement, values = field_table.select_rows(where)
        with self._translated_errors():
            return self._fetch_rows(self._base.execute(statement, values), self.row_count)

    def codes_at(self, stage: int, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Read the encoded vectors (codes) of the given rows in the vector format number `stage`."""
        firsts = np.array([segment.first for segment in self.segments])
        owners = np.searchsorted(firsts, rows, side="right") - 1
        codes = np.empty((len(rows), *self._no_codes[stage].shape[1:]), dtype=self._no_codes[stage].dtype)
        for owner in np.unique(owners).tolist():
            segment, mask = self.segments[owner], owners == owner
            codes[mask] = segment.scans[stage].codes_at(rows[mask] - segment.first)
        return codes

    def live_rows(self) -> NDArray[np.bool_]:
        """Return a boolean array over all rows: whether the row's document is still in the index."""
        live = np.ones(self.row_count, dtype=np.bool_)
        live[self.gone] = False
        return live

    def size(self) -> int:
        """Size of the generation's files on disk, in bytes."""
        files = (read_stamp(self.folder / name) for name in (DOCUMENTS, _CODECS))
        return sum(file.size for file in files if file) + sum(segment.size for segment in self.segments)

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of the given ids that a document in the index has."""
        with self._translated_errors():
            return {
                identifier
                for condition, part in _among("id", ids)
                for (identifier,) in self._base.execute(f"SELECT id FROM documents WHERE {condition}", part)
            }

    def _find_spans(self, words: Sequence[str]) -> dict[str, dict[int, Span]]:
        """Look up where each segment's postings of the given words begin and end.

        Returns, for each word, its range of columns in the postings file of each segment, by the segment's number.
        """
        numbers = {segment.first: number for number, segment in enumerate(self.segments)}
        spans: dict[str, dict[int, Span]] = {}
        with self._translated_errors():
            for condition, part in _among("word", words):
                statement = f"SELECT word, first, start, stop FROM words WHERE {condition}"
                for word, first, start, stop in self._base.execute(statement, part):
                    is_known = first in numbers and type(start) is type(stop) is int
                    self._require(is_known, "the postings of a word are missing")
                    spans.setdefault(word, {})[numbers[first]] = start, stop
        return spans

    def _read_texts(self) -> Iterator[str]:
        """Yield the texts of all documents in the order of their rows."""
        with self._translated_errors():
            last = -1
            for row, text in self._base.execute("SELECT row, text FROM documents ORDER BY row"):
                is_next = last < row < self.row_count and isinstance(text, str)
                self._require(is_next, "a document is not text, or its row number is out of order")
                last = row
                yield text

    def _select_rows(self, statement: str, rows: NDArray[np.int64]) -> list[tuple[Any, ...]]:
        """Run a SELECT statement for the given row numbers; raises InputError if SQLite lacks one of these rows."""
        chosen = f"{statement} WHERE row IN (SELECT value FROM json_each(?))"
        with self._translated_errors():
            stored = self._base.execute(chosen, (json.dumps(rows.tolist()),)).fetchall()
        self._require(len(stored) == len(rows), f"it lacks {len(rows) - len(stored)} documents")
        return stored

    def _read_segments(self) -> list[tuple[int, int, dict[str, str]]]:
        """Read the list of segments from SQLite: each segment's first row, number of rows and files' checksums."""
        listed: list[tuple[int, int, dict[str, str]]] = []
        for first, rows, checks in self._base.execute("SELECT first, rows, checks FROM segments ORDER BY first"):
            wanted = listed[-1][0] + listed[-1][1] if listed else 0
            is_next = first == wanted and type(rows) is int and 0 < rows < _ROWS - first
            self._require(is_next, "its segments leave a gap or overlap")
            listed.append((first, rows, _parse_object(checks, self._documents)))
        return listed

    def _fetch_rows(self, selected: sqlite3.Cursor, row_count: int) -> NDArray[np.int64]:
        """Fetch the row numbers that a SELECT statement returns, and sort them.

        Raises InputError if a row number occurs twice or is not from 0 to `row_count` - 1.
        """
        found = selected.fetchmany(row_count + 1)
        try:
            rows = np.sort(np.fromiter((row for (row,) in found), np.int64, len(found)))
        except (TypeError, ValueError, OverflowError):
            rows = np.array([-1])
        is_right = not len(rows) or (rows[0] >= 0 and rows[-1] < row_count and bool((np.diff(rows) > 0).all()))
        self._require(is_right, "it names rows that do not exist")
        return rows

    @contextmanager
    def _write_transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a `with` block that writes to SQLite in one transaction: committed at its end, rolled back on error."""
        with self._translated_errors(), closing(open_writer(self._documents, self._limit)) as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise

    def _require(self, is_whole: bool, problem: str) -> None:
        """Raise InputError that the SQLite file is damaged, with the given problem, unless `is_whole` is true."""
        if not is_whole:
            raise InputError(f"is damaged: {problem}", EXPECTED, file=self._documents)

    def _translated_errors(self) -> AbstractContextManager[None]:
        return sqlite_errors(self._documents, self._limit)


def _mark_gone(base: sqlite3.Connection, ids: Sequence[str]) -> int:
    """Remove the documents with the given ids from SQLite's tables and list their rows as gone.

    Call this inside a transaction. Returns how many documents were removed.
    """
    marked = 0
    for condition, part in _among("id", ids):
        chosen = f"SELECT row FROM documents WHERE {condition}"
        gone = base.execute(f"INSERT INTO gone {chosen}", part).rowcount
        if gone:
            base.execute(f"DELETE FROM fields WHERE row IN ({chosen})", part)
            base.execute(f"DELETE FROM documents WHERE row IN ({chosen})", part)
        marked += gone
    return marked


def _parse_object(text: object, file: Path) -> dict[str, Any]:
    """Parse a text from SQLite as a JSON object; raises InputError if it is not text or not a JSON object."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"is damaged: it holds {str(text)[:40]!r}", "a JSON object", file=file)
    return value


def _among(column: str, texts: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the SQL condition that a column equals one of the texts, in parts of 10,000 texts, with its parameters.

    Each text is a parameter of its own, because SQLite's JSON functions would end a text at U+0000.
    """
    for first in range(0, len(texts), _TEXTS):
        part = texts[first : first + _TEXTS]
        yield f"{column} IN ({','.join('?' * len(part))})", part
