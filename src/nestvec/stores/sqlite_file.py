"""SQLite files that may come from anybody: only tables that nestvec makes are read, in bounded time and memory.

Readers open a file read-only. A view, a trigger or a column of somebody else's would run as a part of our statements,
so the schema must be ours to the letter. The values are the callers' to check: SQLite stores any type in any column.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from nestvec.errors import InputError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPECTED = "an index that `nestvec index` built: build it again"
_ROLLBACK = b"\x01\x01"  # bytes 18 and 19 of a file whose transactions are in a journal beside it, as nestvec's are
_NAMED = bytes.fromhex("d9d505f920a163d7")  # ends a journal that names another file, which SQLite would remove
_STEPS, _STEPS_A_BYTE = 10**8, 100  # of SQLite's machine in one statement: far more than any of ours takes
_EVERY = 10_000  # steps between two looks at their number
_ROOM = 2**20  # bytes of a text or a parameter, where the file is smaller

Schema = tuple[str, ...]  # scripts of CREATE statements
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


class Reader(sqlite3.Connection):
    """A connection that only reads.

    A damaged tree of pages can lead to itself, so that a statement would go on for ever, and a cell can claim more
    bytes than there are. No statement takes more steps, and no value more bytes, than a file of this size can need.
    """

    path: Path
    limit: float
    _looks: int

    def guard(self, path: Path, limit: float) -> None:
        """Keep to what the size of the file at `path` allows; `limit` are the seconds to wait for other processes."""
        self.path, self.limit, self._looks, self._most = path, limit, 0, 1
        self.set_progress_handler(self._is_beyond, _EVERY)
        self.fit_limits()

    def fit_limits(self) -> None:
        """Take notice of the file's size, which other processes may have changed."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:  # a build has removed what this connection still reads
            return
        self._most = (_STEPS + _STEPS_A_BYTE * size) // _EVERY
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(size, _ROOM), 2**30))

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401 - as SQLite takes them
        """Run a statement; what a killed writer left half done is undone first."""
        self._looks = 0
        try:
            return super().execute(statement, parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
        with closing(open_writer(self.path, self.limit)) as writer:
            writer.execute("SELECT 1 FROM sqlite_schema").fetchall()
        return super().execute(statement, parameters)

    def _is_beyond(self) -> bool:
        self._looks += 1
        return self._looks > self._most


def create_file(path: Path, schema: Schema) -> None:
    """Make a file with empty tables."""
    with sqlite_errors(path), closing(sqlite3.connect(path)) as base:
        base.executescript("".join(schema))


def open_reader(path: Path, limit: float, required: Schema, optional: Schema = ()) -> Reader:
    """Open a file to read it, for any one thread at a time.

    Args:
        path: the file.
        limit: seconds to wait for other processes that have locked it.
        required: the tables and indexes that it must have.
        optional: those that it may have besides.

    Returns:
        The connection, to be closed.

    Raises:
        InputError: the file is missing, damaged, or holds anything else.
    """
    _require_plain_file(path)
    with sqlite_errors(path, limit):
        base = _connect(path, limit, "ro", Reader)
        try:
            base.guard(path, limit)
            base.execute("PRAGMA query_only = ON")
            _check_schema(base, path, required, optional)
        except BaseException:
            base.close()
            raise
    return base


def open_writer(path: Path, limit: float) -> sqlite3.Connection:
    """Open a file that `open_reader` has checked to write to it; raises InputError where that could harm another.

    `limit` are the seconds to wait for other processes that have locked it.
    """
    if path.is_symlink():
        raise InputError("is a symbolic link", "a file in the index's own folder, to write to it", file=path)
    journal = path.with_name(f"{path.name}-journal")
    if journal.is_file() and journal.read_bytes()[-8:] == _NAMED:
        raise InputError("names another file, which SQLite would remove", "a journal that nestvec left", file=journal)
    base = _connect(path, limit, "rw", sqlite3.Connection)
    base.execute("PRAGMA cache_spill = OFF")  # a writer locks readers out when it commits, not before
    return base


@contextmanager
def sqlite_errors(path: Path, limit: float = 0) -> Iterator[None]:
    """Raise SQLite's errors about a file as nestvec's; `limit` is how many seconds it waits for other processes."""
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")  # text that is not UTF-8 has none
        if name.startswith("SQLITE_BUSY"):
            problem = f"is locked by another process, which has not let go within {limit:g} s"
            raise InputError(problem, "to be tried again when that process is done", file=path) from error
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")):
            raise NestvecError(f"{path} cannot be written ({error}); what was finished before stays") from error
        problem = "is damaged: a statement does not end" if name == "SQLITE_INTERRUPT" else f"cannot be used ({error})"
        raise InputError(problem, EXPECTED, file=path) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a message of SQLite's may quote bytes of the file
        raise InputError(f"is damaged ({error})", EXPECTED, file=path) from error


def _connect(path: Path, limit: float, mode: str, kind: type[_Connection]) -> _Connection:
    """A connection for any one thread at a time, which begins a transaction only where it is told to."""
    url = f"file:{quote(str(path.absolute()))}?mode={mode}"
    base = sqlite3.connect(url, limit, isolation_level=None, check_same_thread=False, factory=kind, uri=True)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON"):
        sqlite3.Connection.execute(base, f"PRAGMA {setting}")
    return base


def _require_plain_file(path: Path) -> None:
    """Raise unless it is a regular file that keeps its transactions in a journal: of others SQLite reads more files."""
    if not path.is_file():
        raise InputError("is no file" if path.exists() else "is missing", EXPECTED, file=path)
    with path.open("rb") as stream:
        head = stream.read(20)
    if head[18:] not in (b"", _ROLLBACK):
        raise InputError("is damaged: it has another kind of journal", EXPECTED, file=path)


def _check_schema(base: sqlite3.Connection, path: Path, required: Schema, optional: Schema) -> None:
    """Raise where the file has anything but our tables and indexes, or lacks one."""
    found = {row[1]: row for row in base.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}
    wanted = _describe_schema(required)
    known = _describe_schema(required + optional)
    for name, row in found.items():
        if row != known.get(name):
            raise InputError(f"is damaged: it holds another {row[0]!r} {str(name)[:40]!r}", EXPECTED, file=path)
    missing = next((name for name in wanted if name not in found), None)
    if missing:
        raise InputError(f"is damaged: it lacks {missing}", EXPECTED, file=path)


@lru_cache(maxsize=8)
def _describe_schema(schema: Schema) -> dict[str, tuple[str, ...]]:
    """What SQLite keeps of each table and index, by its name."""
    with closing(sqlite3.connect(":memory:")) as base:
        base.executescript("".join(schema))
        return {row[1]: row for row in base.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}
