"""A generation of the embedded store: documents in SQLite, codes in faiss's files, and the one way to add and remove.

    documents.sqlite             ids, texts, fields, and which row of the codes each has
    codecs.safetensors           how the codes of each stage are read
    000000000000.48.int8.faiss   a segment: codes of the rows from that number on, never changed once they count

SQLite says what counts. A segment's files are written first; then a transaction makes its rows known, and those gone
that they replace. So a reader sees the one state or the other, and files of a killed writer are written over.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.files import replacing
from nestvec.stores import field_table
from nestvec.stores.scan import Scan
from nestvec.vectors.stored import load_codecs, save_codecs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.stores.store import About, Condition, Value
    from nestvec.vectors.codecs import Codec

DOCUMENTS, _CODECS = "documents.sqlite", "codecs.safetensors"
_EXPECTED = "an index that nestvec made"
_PAGE, _PAGES = 4096, 256  # bytes at a time, and how many of them a check reads at most
_IDS = 10_000  # named in a statement at a time
_BUSY = 60.0  # seconds that a reader waits for a writer's transaction
_TABLES = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, rows INTEGER NOT NULL, checks TEXT NOT NULL);
CREATE TABLE documents (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE gone (row INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True)
class Segment:
    """Rows of the codes that were written together.

    Attributes:
        first: the number of its first row.
        row_count: how many.
        scans: its codes, one for each stage.
    """

    first: int
    row_count: int
    scans: tuple[Scan, ...]


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

    Raises:
        InputError: a file is missing, damaged, or another index's.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about
        codecs = load_codecs(folder / _CODECS)
        missing = [stage.name for stage in about.stages if stage.name not in codecs]
        if missing:
            raise InputError(f"is damaged: it lacks {missing[0]}", _EXPECTED, file=folder / _CODECS)
        self.codecs = tuple(codecs[stage.name] for stage in about.stages)
        path = folder / DOCUMENTS
        if not path.is_file():
            raise InputError("is missing", _EXPECTED, file=path)
        self._base = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        self._segments: dict[int, Segment] = {}
        self._seen = -1
        self.segments: tuple[Segment, ...] = ()
        self.gone: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create_empty(cls, folder: Path, about: About, codecs: Sequence[Codec]) -> Generation:
        """Begin one in a folder that does not exist yet, with a codec for each stage; it stays open."""
        folder.mkdir()
        save_codecs(folder / _CODECS, {stage.name: codec for stage, codec in zip(about.stages, codecs, strict=True)})
        with _sqlite_errors(folder / DOCUMENTS), closing(sqlite3.connect(folder / DOCUMENTS)) as base:
            base.executescript(_TABLES + field_table.TABLE)
        return cls(folder, about)

    def close(self) -> None:
        """Let go of the files."""
        self._base.close()
        self.segments, self._segments = (), {}

    def __len__(self) -> int:
        """How many documents there are."""
        with self._translated_errors():
            return int(self._base.execute("SELECT count(*) FROM documents").fetchone()[0])

    @property
    def row_count(self) -> int:
        """Rows of the codes, those gone included."""
        return self.segments[-1].first + self.segments[-1].row_count if self.segments else 0

    def refresh(self) -> None:
        """Take notice of what other processes have written."""
        with self._translated_errors():
            version = self._base.execute("PRAGMA data_version").fetchone()[0]
            if version == self._seen:
                return
            self._base.execute("BEGIN")  # segments and gone rows of the same state
            listed = self._base.execute("SELECT first, rows, checks FROM segments ORDER BY first").fetchall()
            gone = self._base.execute("SELECT row FROM gone ORDER BY row").fetchall()
            self._base.execute("COMMIT")
            for first, rows, checks in listed:
                if first not in self._segments:
                    self._segments[first] = self._open_segment(first, rows, json.loads(checks))
        self.segments = tuple(self._segments[first] for first, _, _ in listed)
        self.gone = np.array([row for (row,) in gone], dtype=np.int64)
        self._seen = version

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
        first, checks = self.row_count, {}
        for stage, codec, coded in zip(self.about.stages, self.codecs, codes, strict=True):
            path = self._segment_path(first, stage.name)
            with replacing(path) as temporary:
                Scan.of(codec, coded).save(temporary)
                checks[stage.name] = _file_checksum(temporary)
        rows = range(first, first + len(ids))
        with self._write_transaction():
            self._mark_gone(ids)
            self._base.execute("INSERT INTO segments VALUES (?, ?, ?)", (first, len(ids), json.dumps(checks)))
            written = (json.dumps(dict(entries), ensure_ascii=False, allow_nan=False) for entries in fields)
            self._base.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", zip(rows, ids, texts, written))  # noqa: B905
            self._base.executemany(field_table.INSERT, field_table.field_rows(rows, fields))
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
        """The documents of (r,) rows, in any order; rows that are gone are passed over."""
        statement = "SELECT row, id, text, fields FROM documents WHERE row IN (SELECT value FROM json_each(?))"
        with self._translated_errors():
            stored = self._base.execute(statement, (json.dumps(rows.tolist()),)).fetchall()
        return [StoredDocument(row, identifier, text, json.loads(fields)) for row, identifier, text, fields in stored]

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
        codes = self.codecs[stage].encode(np.zeros((0, self.about.stages[stage].dimension), "f4"))
        codes = np.empty((len(rows), *codes.shape[1:]), dtype=codes.dtype)
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
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def _segment_path(self, first: int, stage: str) -> Path:
        return self.folder / f"{first:012d}.{stage}.faiss"

    def _open_segment(self, first: int, row_count: int, checks: Mapping[str, str]) -> Segment:
        """Open a segment whose files have the checksums given."""
        scans = []
        for stage, codec in zip(self.about.stages, self.codecs, strict=True):
            path = self._segment_path(first, stage.name)
            if not path.is_file():
                raise InputError("is missing", _EXPECTED, file=path)
            if _file_checksum(path) != checks.get(stage.name):
                raise InputError("is damaged or another index's: its checksum is another", _EXPECTED, file=path)
            scans.append(Scan.open(codec, path))
        return Segment(first, row_count, tuple(scans))

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that a document has."""
        with self._translated_errors():
            return {
                identifier
                for condition, part in _among(ids)
                for (identifier,) in self._base.execute(f"SELECT id FROM documents WHERE {condition}", part)
            }

    def _mark_gone(self, ids: Sequence[str]) -> int:
        """Make the rows of some ids gone, inside a transaction; how many there were."""
        marked = 0
        for condition, part in _among(ids):
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
        return _sqlite_errors(self.folder / DOCUMENTS)


def _among(ids: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Conditions that a document has one of the ids, and their parameters: SQLite's JSON would end a text at U+0000."""
    for first in range(0, len(ids), _IDS):
        part = ids[first : first + _IDS]
        yield f"id IN ({','.join('?' * len(part))})", part


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors about a file as nestvec's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")):
            raise NestvecError(f"{path} cannot be written ({error}); what was finished before stays") from error
        raise InputError(f"cannot be used ({error})", _EXPECTED, file=path) from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"is damaged ({error})", _EXPECTED, file=path) from error


def _file_checksum(path: Path) -> str:
    """A file's size, and a CRC-32 of pages spread over it: a swapped or shortened file shows, at any size at once."""
    size, checksum = path.stat().st_size, 0
    with path.open("rb") as stream:
        for offset in np.unique(np.linspace(0, max(0, size - _PAGE), _PAGES).astype(np.int64)).tolist():
            stream.seek(offset)
            checksum = zlib.crc32(stream.read(_PAGE), checksum)
    return f"{size}:{checksum:08x}"
