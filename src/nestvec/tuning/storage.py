"""Storage and locks of a tuning study: a journal and file locks in its folder, or PostgreSQL with advisory locks.

A lock is released whenever the process that holds it dies: the kernel releases file locks, and PostgreSQL releases the
advisory locks of a session. So a trial that is marked as running while no process holds its lock was killed. Optuna's
heartbeats would show this, too, but only after a grace period, and only in a database.
"""

from __future__ import annotations

import fcntl
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nestvec.errors import InputError, MissingExtraError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optuna.storages import BaseStorage

JOURNAL, LOCKS = "study.journal", ".locks"


class Locks(Protocol):
    """Named locks of a tuning study, with which several processes share the trials."""

    def take(self, name: str) -> bool:
        """Take a lock unless another process holds it; return whether this process holds the lock now."""

    def wait(self, name: str) -> None:
        """Wait until no other process holds a lock, then take the lock."""

    def release(self, name: str) -> None:
        """Release a lock that this process holds."""

    def close(self) -> None:
        """Release every lock that this process holds."""


class FileLocks:
    """Locks of a tuning study as locked files in a folder, which is created; for processes on one machine."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[str, Any] = {}

    def take(self, name: str) -> bool:
        """Take a lock unless another process holds it; return whether this process holds the lock now."""
        stream = (self._folder / name).open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return False
        self._held[name] = stream
        return True

    def wait(self, name: str) -> None:
        """Wait until no other process holds a lock, then take the lock."""
        stream = (self._folder / name).open("ab")
        fcntl.flock(stream, fcntl.LOCK_EX)
        self._held[name] = stream

    def release(self, name: str) -> None:
        """Release a lock that this process holds."""
        self._held.pop(name).close()

    def close(self) -> None:
        """Release every lock that this process holds."""
        for name in list(self._held):
            self.release(name)


class ServerLocks:
    """Locks of a tuning study as advisory locks of a PostgreSQL session; studies with other names have other locks."""

    def __init__(self, url: str, study: str) -> None:
        try:
            from nestvec.stores.postgres.connection import open_connection
        except ImportError as error:
            raise MissingExtraError(error.name or "psycopg", "postgres") from error
        self._connection = open_connection(url)
        self._study = zlib.crc32(f"nestvec tune {study}".encode()) - 2**31

    def take(self, name: str) -> bool:
        """Take a lock unless another process holds it; return whether this process holds the lock now."""
        return bool(self._call_server("pg_try_advisory_lock", name))

    def wait(self, name: str) -> None:
        """Wait until no other process holds a lock, then take the lock."""
        self._call_server("pg_advisory_lock", name)

    def release(self, name: str) -> None:
        """Release a lock that this process holds."""
        self._call_server("pg_advisory_unlock", name)

    def close(self) -> None:
        """Release every lock that this process holds."""
        self._connection.close()

    def _call_server(self, function: str, name: str) -> object:
        """Call a PostgreSQL lock function with two keys: one made from the study's name, one from the lock's name."""
        import psycopg

        keys = self._study, zlib.crc32(name.encode()) - 2**31
        try:
            row = self._connection.execute(f"SELECT {function}(%s::int4, %s::int4)", keys).fetchone()
        except psycopg.Error as error:
            raise _database_error(error) from error
        return None if row is None else row[0]


class JournalLock:
    """A file lock for Optuna's writes to a study's journal; the kernel releases the lock when its process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Any = None

    def acquire(self) -> bool:
        """Wait until no other process holds the lock, then take the lock."""
        stream = self._path.open("ab")
        fcntl.flock(stream, fcntl.LOCK_EX)
        self._stream = stream
        return True

    def release(self) -> None:
        """Release the journal's lock."""
        self._stream.close()


@dataclass(frozen=True)
class StudyStorage:
    """The open storage of a tuning study: Optuna's storage of the trials, and the study's locks."""

    storage: BaseStorage
    locks: Locks

    def close(self) -> None:
        """Release all locks of the study and close all connections to its database."""
        self.locks.close()
        engine = getattr(self.storage, "engine", None)
        if engine is not None:
            engine.dispose()


@contextmanager
def holding_lock(locks: Locks, name: str) -> Iterator[None]:
    """Take a lock of a study, after waiting if necessary, and release it when the `with` block ends."""
    locks.wait(name)
    try:
        yield
    finally:
        locks.release(name)


def open_study_storage(root: Path, url: str | None, study: str) -> StudyStorage:
    """Open the storage of the tuning study with the name `study`; the caller must close the storage.

    `url` names a PostgreSQL database; None uses a journal file in the study's folder, `root`. Raises InputError if the
    journal is damaged or no server answers, and MissingExtraError if Optuna is not installed.
    """
    try:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    if url is not None:
        locks: Locks = ServerLocks(url, study)
        with holding_lock(locks, "tables"):  # two processes must not create the tables at the same time
            return StudyStorage(_open_database(url), locks)
    locks = FileLocks(root / LOCKS)
    path, lock = root / JOURNAL, JournalLock(root / LOCKS / "journal")
    lock.acquire()
    try:
        _cut_torn_line(path)
    finally:
        lock.release()
    try:
        return StudyStorage(JournalStorage(JournalFileBackend(str(path), lock_obj=lock)), locks)  # type: ignore[arg-type]
    except Exception as error:  # Optuna raises different errors for different kinds of damaged lines
        wanted = "the journal of a tuning study: restore the file, or begin the study again with another --out"
        raise InputError(f"is damaged ({error})", wanted, file=path) from error


def _cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line from a journal, as a killed process may leave it."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _open_database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    address = "postgresql+psycopg://" + url.partition("://")[2]
    try:
        return RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    except (SQLAlchemyError, RuntimeError) as error:
        raise _database_error(error) from error


def _database_error(error: Exception) -> NestvecError:
    """Make the error that reports a failure of the study's database."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return NestvecError(
        f"the study's database failed ({lines[0][:200]}); finished trials are kept: run the same command to continue"
    )
