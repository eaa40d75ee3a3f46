"""Opens SQLite files that may come from untrusted sources, and limits the time and memory that reading them can take.

A file is refused unless it has exactly the tables and indexes that nestvec creates, because a view, trigger or
generated column in a crafted file would run inside nestvec's statements. Readers open a file read-only. Callers must
check the type of each value that they read: SQLite stores any type in any column.
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
_ROLLBACK = b"\x01\x01"  # bytes 18 and 19 of a file that uses a rollback journal, as nestvec's files do
_NAMED = bytes.fromhex("d9d505f920a163d7")  # ends a journal that names another file, which SQLite would delete
_STEPS, _STEPS_A_BYTE = 10**8, 100  # limit on SQLite's steps in a statement: far more than nestvec's statements take
_EVERY = 10_000  # steps between two checks of the limit
_ROOM = 2**20  # least limit on the bytes of a text or parameter, however small the file

Schema = tuple[str, ...]  # scripts of CREATE statements
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


class Reader(sqlite3.Connection):
    """A read-only SQLite connection that limits the duration of a statement and the size of a value.

    In a damaged file, pages can point to each other in a circle, so that a statement never ends, and a value can claim
    more bytes than the file has. The limits grow with the file's size and never stop a statement on a valid file.
    """

    path: Path
    limit: float
    _looks: int

    def guard(self, path: Path, limit: float) -> None:
        """Limit the duration of statements and the size of values, according to the size of the file at `path`.

        `limit` is the seconds to wait while another process has locked the file.
        """
        self.path, self.limit, self._looks, self._most = path, limit, 0, 1
        self.set_progress_handler(self._is_beyond, _EVERY)
        self.fit_limits()

    def fit_limits(self) -> None:
        """Adjust the limits on statements and values to the file's size, which other processes may have changed."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:  # a build has removed the file while this connection still reads it
            return
        self._most = (_STEPS + _STEPS_A_BYTE * size) // _EVERY
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(size, _ROOM), 2**30))

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401 - as SQLite takes them
        """Run a statement; if a killed process left a transaction unfinished, roll that transaction back first."""
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
    """Create an SQLite file with the empty tables and indexes of a schema."""
    with sqlite_errors(path), closing(sqlite3.connect(path)) as base:
        base.executescript("".join(schema))


def open_reader(path: Path, limit: float, required: Schema, optional: Schema = ()) -> Reader:
    """Open an SQLite file for reading; one thread at a time may use the connection.

    Args:
        path: the SQLite file.
        limit: seconds to wait while another process has locked the file.
        required: the tables and indexes that the file must have.
        optional: further tables and indexes that the file may have.

    Returns:
        The connection; the caller closes it.

    Raises:
        InputError: the file is missing or damaged, or has tables, indexes, views or triggers that nestvec never makes.
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
    """Open an SQLite file for writing, after `open_reader` has checked it.

    Raises InputError if the file is a symbolic link, or if its journal names another file, which SQLite would delete.
    `limit` is the seconds to wait while another process has locked the file.
    """
    if path.is_symlink():
        raise InputError("is a symbolic link", "a regular file, because nestvec writes to it", file=path)
    journal = path.with_name(f"{path.name}-journal")
    if journal.is_file() and journal.read_bytes()[-8:] == _NAMED:
        problem = "is a journal that names another file, which SQLite would delete"
        raise InputError(problem, "a journal that nestvec wrote", file=journal)
    base = _connect(path, limit, "rw", sqlite3.Connection)
    base.execute("PRAGMA cache_spill = OFF")  # so that a writer locks readers out only while it commits
    return base


@contextmanager
def sqlite_errors(path: Path, limit: float = 0) -> Iterator[None]:
    """Open a `with` block that turns SQLite's errors about a file into nestvec's errors.

    `limit` is the seconds that SQLite waits for a locked file; the error message names it.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")  # errors about text that is not UTF-8 have no name
        if name.startswith("SQLITE_BUSY"):
            problem = f"is locked by another process, which did not release the file within {limit:g} s"
            raise InputError(problem, "an unlocked file: try again when that process is done", file=path) from error
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")):
            raise NestvecError(f"{path} cannot be written ({error}); finished work is kept") from error
        is_endless = name == "SQLITE_INTERRUPT"
        problem = "is damaged: a statement did not end" if is_endless else f"cannot be used ({error})"
        raise InputError(problem, EXPECTED, file=path) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite's message may quote bytes of the file
        raise InputError(f"is damaged ({error})", EXPECTED, file=path) from error


def _connect(path: Path, limit: float, mode: str, kind: type[_Connection]) -> _Connection:
    """Open an SQLite connection for one thread at a time; transactions begin only with an explicit BEGIN."""
    url = f"file:{quote(str(path.absolute()))}?mode={mode}"
    base = sqlite3.connect(url, limit, isolation_level=None, check_same_thread=False, factory=kind, uri=True)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON"):
        sqlite3.Connection.execute(base, f"PRAGMA {setting}")
    return base


def _require_plain_file(path: Path) -> None:
    """Raise InputError unless the path is a regular file, and an SQLite file in journal mode "rollback".

    In another journal mode, SQLite would read further files beside this one.
    """
    if not path.is_file():
        raise InputError("is not a file" if path.exists() else "is missing", EXPECTED, file=path)
    with path.open("rb") as stream:
        head = stream.read(20)
    if head[18:] not in (b"", _ROLLBACK):
        raise InputError("is damaged: its journal mode is not rollback", EXPECTED, file=path)


def _check_schema(base: sqlite3.Connection, path: Path, required: Schema, optional: Schema) -> None:
    """Raise InputError if an SQLite file lacks a required table or index, or has any that nestvec does not make."""
    found = {row[1]: row for row in base.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}
    wanted = _describe_schema(required)
    known = _describe_schema(required + optional)
    for name, row in found.items():
        if row != known.get(name):
            problem = f"is damaged: its {str(row[0])[:40]} {str(name)[:40]!r} was not made by nestvec"
            raise InputError(problem, EXPECTED, file=path)
    missing = next((name for name in wanted if name not in found), None)
    if missing:
        raise InputError(f"is damaged: it lacks {missing}", EXPECTED, file=path)


@lru_cache(maxsize=8)
def _describe_schema(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return SQLite's own record (type, name, table, CREATE statement) of each table and index of a schema, by name."""
    with closing(sqlite3.connect(":memory:")) as base:
        base.executescript("".join(schema))
        return {row[1]: row for row in base.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}
