"""A generation of the embedded store: documents in SQLite, codes and words in files, and the one way to add and remove.

    documents.sqlite             ids, texts, fields, which row of the codes each has, and where each word's entries are
    codecs.safetensors           how the codes of each stage are read
    000000000000.48.int8.faiss   a segment (`segment.py`): codes of the rows from that number on
    000000000000.words.npy       and its words

SQLite says what counts. A segment's files are written first; then a transaction makes its rows known, and those gone
that they replace. So a reader sees the one state or the other, and files of a killed writer are written over.

Whoever reads does so inside `begin` and `end`: one transaction of SQLite, in which segments, rows that are gone, words
and documents are of one state. SQLite's rollback journal is kept, as readers then need no right to write. A writer's
commit waits for the reads that have begun, and reads that begin wait for the commit.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.stores import field_table, postings
from nestvec.stores.postings import Postings
from nestvec.stores.scan import Scan
from nestvec.stores.segment import EXPECTED, Segment, read_stamp
from nestvec.stores.word_index import WordIndex
from nestvec.vectors.stored import load_codecs, save_codecs
from nestvec.vectors.topk import tie_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.stores.postings import Span
    from nestvec.stores.store import About, Condition, Value
    from nestvec.vectors.codecs import Codec

DOCUMENTS, _CODECS = "documents.sqlite", "codecs.safetensors"
_TEXTS = 10_000  # named in a statement at a time
_TABLES = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, rows INTEGER NOT NULL, checks TEXT NOT NULL);
CREATE TABLE documents (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE gone (row INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True)
class StoredDocument:
    """A document as SQLite has it."""

    row: int
    id: str
    text: str
    fields: dict[str, Value]


class Generation:
    """An open generation.

    Args:
        folder: where it lies.
        about: what it serves.
        limit: seconds to wait for other processes that have locked the documents.

    Raises:
        InputError: a file is missing, damaged, another index's, or locked for longer.

    Attributes:
        folder: as given.
        about: as given.
        codecs: of the stages.
        segments: those that count, in the order of their rows.
        gone: (g,) rows whose documents have been removed or replaced.
        version: another object after each change of the documents.
    """

    def __init__(self, folder: Path, about: About, limit: float) -> None:
        self.folder, self.about = folder, about
        self._limit = limit
        codecs = load_codecs(folder / _CODECS)
        missing = [stage.name for stage in about.stages if stage.name not in codecs]
        if missing:
            raise InputError(f"is damaged: it lacks {missing[0]}", EXPECTED, file=folder / _CODECS)
        self.codecs = tuple(codecs[stage.name] for stage in about.stages)
        empty = (np.zeros((0, stage.dimension), dtype=np.float32) for stage in about.stages)
        self._no_codes = tuple(codec.encode(none) for codec, none in zip(self.codecs, empty, strict=True))
        self._documents = folder / DOCUMENTS
        self._opened = read_stamp(self._documents)
        if self._opened is None:
            raise InputError("is missing", EXPECTED, file=self._documents)
        with self._translated_errors():  # a folder that is just being removed must not get a new file
            address = f"{self._documents.resolve().as_uri()}?mode=rw"
            self._base = sqlite3.connect(
                address, timeout=limit, uri=True, isolation_level=None, check_same_thread=False
            )
            self._base.execute("PRAGMA cache_spill = OFF")  # a writer locks readers out when it commits, not before
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
        """Make one in a folder that does not exist yet, with a codec for each stage; it stays open."""
        folder.mkdir()
        save_codecs(folder / _CODECS, {stage.name: codec for stage, codec in zip(about.stages, codecs, strict=True)})
        with _sqlite_errors(folder / DOCUMENTS), closing(sqlite3.connect(folder / DOCUMENTS)) as base:
            base.executescript(_TABLES + field_table.TABLE + postings.TABLE)
        return cls(folder, about, limit)

    def close(self) -> None:
        """Let go of the files."""
        self._base.close()
        self.segments, self._segments, self._words = (), {}, None

    def __len__(self) -> int:
        """How many documents there are."""
        return self.row_count - len(self.gone)

    @property
    def row_count(self) -> int:
        """Rows of the codes, those gone included."""
        return self.segments[-1].first + self.segments[-1].row_count if self.segments else 0

    @property
    def words(self) -> WordIndex:
        """Its words, which one thread at a time may search; InputError where the index holds vectors alone."""
        if self._words is None:
            lexical = self.about.require_words(self.folder).lexical
            parts = [segment.postings for segment in self.segments if segment.postings]
            self._words = WordIndex(parts, self.live_rows(), lexical, self._find_spans, self._read_texts)
        return self._words

    @property
    def is_replaced(self) -> bool:
        """Whether the documents' file is gone, or there is another of its name."""
        found = read_stamp(self._documents)
        return found is None or self._opened is None or found.inode != self._opened.inode

    def begin(self) -> None:
        """Take notice of what other processes have written, and read that state until `end`."""
        with self._translated_errors():
            self._base.execute("BEGIN")
            try:
                version = self._base.execute("PRAGMA data_version").fetchone()[0]  # the first read: from here on
                if version != self._seen or not all(segment.is_unchanged for segment in self.segments):
                    self._read_state()
                    self._seen = version
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """Let others write again."""
        with self._translated_errors():
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")  # nothing was written

    def refresh(self) -> None:
        """Take notice of what has been written."""
        self.begin()
        self.end()

    def _read_state(self) -> None:
        """Open the segments that count, unless they are open and unchanged, and learn which rows are gone."""
        self._seen = -1  # should this fail, it is done again
        listed = self._base.execute("SELECT first, rows, checks FROM segments ORDER BY first").fetchall()
        gone = self._base.execute("SELECT row FROM gone ORDER BY row").fetchall()
        for first, rows, checks in listed:
            held = self._segments.get(first)
            if held is None or not held.is_unchanged:
                segment = Segment.open(self.folder, self.about, self.codecs, (first, rows), json.loads(checks))
                self._segments[first] = segment
        self.segments = tuple(self._segments[first] for first, _, _ in listed)
        self.gone = np.array([row for (row,) in gone], dtype=np.int64)
        self._words, self.version = None, object()

    def add_documents(
        self,
        ids: Sequence[str],  # n, each once
        texts: Sequence[str],
        fields: Sequence[Mapping[str, Value]],
        codes: Sequence[NDArray[np.generic]],  # (n, …) for each stage
    ) -> None:
        """Add documents as one segment; earlier ones with the same ids are gone. All of it happens, or nothing."""
        if not ids:
            return
        order, first = tie_order(ids), self.row_count
        ids, texts, fields = ([column[row] for row in order] for column in (ids, texts, fields))
        scans = [Scan.of(codec, coded[order]) for codec, coded in zip(self.codecs, codes, strict=True)]
        hybrid = self.about.hybrid
        counted, spans = Postings.count(texts, hybrid.lexical.forms, first) if hybrid else (None, {})
        checks = Segment(first, len(ids), tuple(scans), counted).save(self.folder, self.about)
        rows = range(first, first + len(ids))
        with self._write_transaction():
            self._mark_gone(ids)
            self._base.execute("INSERT INTO segments VALUES (?, ?, ?)", (first, len(ids), json.dumps(checks)))
            written = (json.dumps(dict(entries), ensure_ascii=False, allow_nan=False) for entries in fields)
            self._base.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", zip(rows, ids, texts, written))  # noqa: B905
            self._base.executemany(field_table.INSERT, field_table.field_rows(rows, fields))
            if spans:  # an index of before there were words has no table of them
                self._base.executemany(postings.INSERT, ((word, first, *span) for word, span in spans.items()))
        self._seen = -1  # a connection is not told of its own changes
        self.refresh()

    def remove_documents(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        with self._write_transaction():
            removed = self._mark_gone(ids)
        self._seen = -1
        self.refresh()
        return removed

    def documents_at(self, rows: NDArray[np.int64]) -> list[StoredDocument]:
        """The documents of (r,) rows that are not gone, in any order."""
        stored = self._select_rows("SELECT row, id, text, fields FROM documents", rows)
        return [StoredDocument(row, identifier, text, json.loads(fields)) for row, identifier, text, fields in stored]

    def ids_at(self, rows: NDArray[np.int64]) -> dict[int, str]:
        """The ids of (r,) rows that are not gone."""
        return dict(self._select_rows("SELECT row, id FROM documents", rows))

    def matching_rows(self, where: Sequence[Condition]) -> NDArray[np.int64]:
        """(m,) rows, ascending, of the documents that fulfil all conditions, of which there is one at least."""
        statement, values = field_table.select_rows(where)
        with self._translated_errors():
            matching = self._base.execute(statement, values).fetchall()
        return np.sort(np.array([row for (row,) in matching], dtype=np.int64))

    def codes_at(self, stage: int, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """(r, …) codes of (r,) rows at a stage."""
        firsts = np.array([segment.first for segment in self.segments])
        owners = np.searchsorted(firsts, rows, side="right") - 1
        codes = np.empty((len(rows), *self._no_codes[stage].shape[1:]), dtype=self._no_codes[stage].dtype)
        for owner in np.unique(owners).tolist():
            segment, mask = self.segments[owner], owners == owner
            codes[mask] = segment.scans[stage].codes_at(rows[mask] - segment.first)
        return codes

    def live_rows(self) -> NDArray[np.bool_]:
        """(rows,) which rows hold a document."""
        live = np.ones(self.row_count, dtype=np.bool_)
        live[self.gone] = False
        return live

    def size(self) -> int:
        """Bytes on disk."""
        files = (read_stamp(self.folder / name) for name in (DOCUMENTS, _CODECS))
        return sum(file.size for file in files if file) + sum(segment.size for segment in self.segments)

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that a document has."""
        with self._translated_errors():
            return {
                identifier
                for condition, part in _among("id", ids)
                for (identifier,) in self._base.execute(f"SELECT id FROM documents WHERE {condition}", part)
            }

    def _find_spans(self, words: Sequence[str]) -> dict[str, dict[int, Span]]:
        """Where the segments that are open have the entries of some words: the word's spans by a segment's number."""
        numbers = {segment.first: number for number, segment in enumerate(self.segments)}
        spans: dict[str, dict[int, Span]] = {}
        with self._translated_errors():
            for condition, part in _among("word", words):
                statement = f"SELECT word, first, start, stop FROM words WHERE {condition}"
                for word, first, *span in self._base.execute(statement, part):
                    spans.setdefault(word, {})[numbers[first]] = (span[0], span[1])
        return spans

    def _read_texts(self) -> Iterator[str]:
        """The texts of all documents, some at a time."""
        with self._translated_errors():
            yield from (text for (text,) in self._base.execute("SELECT text FROM documents"))

    def _select_rows(self, statement: str, rows: NDArray[np.int64]) -> list[tuple[Any, ...]]:
        """What a statement selects of the documents of (r,) rows; InputError where it lacks any of them."""
        chosen = f"{statement} WHERE row IN (SELECT value FROM json_each(?))"
        with self._translated_errors():
            stored = self._base.execute(chosen, (json.dumps(rows.tolist()),)).fetchall()
        if len(stored) != len(rows):
            problem = f"is damaged: it lacks {len(rows) - len(stored)} documents"
            raise InputError(problem, EXPECTED, file=self._documents)
        return stored

    def _mark_gone(self, ids: Sequence[str]) -> int:
        """Make the rows of some ids gone, inside a transaction; how many there were."""
        marked = 0
        for condition, part in _among("id", ids):
            chosen = f"SELECT row FROM documents WHERE {condition}"
            gone = self._base.execute(f"INSERT INTO gone {chosen}", part).rowcount
            if gone:
                self._base.execute(f"DELETE FROM fields WHERE row IN ({chosen})", part)
                self._base.execute(f"DELETE FROM documents WHERE row IN ({chosen})", part)
            marked += gone
        return marked

    @contextmanager
    def _write_transaction(self) -> Iterator[None]:
        """A transaction: all of the block, or nothing."""
        with self._translated_errors():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def _translated_errors(self) -> AbstractContextManager[None]:
        return _sqlite_errors(self._documents, self._limit)


def _among(column: str, texts: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Conditions that a column has one of the texts, with parameters: SQLite's JSON would end a text at U+0000."""
    for first in range(0, len(texts), _TEXTS):
        part = texts[first : first + _TEXTS]
        yield f"{column} IN ({','.join('?' * len(part))})", part


@contextmanager
def _sqlite_errors(path: Path, limit: float = 0) -> Iterator[None]:
    """Raise SQLite's errors about a file as nestvec's; `limit` is how many seconds it waits for other processes."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            problem = f"is locked by another process, which has not let go within {limit:g} s"
            raise InputError(problem, "to be tried again when that process is done", file=path) from error
        if error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")):
            raise NestvecError(f"{path} cannot be written ({error}); what was finished before stays") from error
        raise InputError(f"cannot be used ({error})", EXPECTED, file=path) from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"is damaged ({error})", EXPECTED, file=path) from error
