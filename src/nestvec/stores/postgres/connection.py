"""Connects to a PostgreSQL server, and turns the server's errors into nestvec's errors, which never show a password."""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import conninfo, errors, sql

from nestvec.errors import InputError, NestvecError
from nestvec.stores.store import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECRET = ("password", "sslpassword")
_WAIT = "10"  # seconds to wait for a server that does not answer
_EXTENSION = (0, 8)  # the first pgvector with iterative scans, which go on searching if a filter leaves too few
_SESSION = (
    "SET client_connection_check_interval = '1s'",  # so that the server stops a build whose client was killed
    "SET jit = off",  # compiling a query costs more than running it
    "SET plan_cache_mode = force_custom_plan",  # a plan that suits one filter may be bad for another
    "SET hnsw.iterative_scan = relaxed_order",  # nestvec sorts the candidates itself
)


def redact_url(url: str) -> str:
    """Rewrite a database's URL, or `name=value` pairs, as a URL without the password, to show it in messages.

    Raises InputError if the URL is malformed.
    """
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:  # whose message quotes the URL
        raise InputError("the database's URL cannot be read", "postgresql://user:password@host:port/database") from None
    host, port, database = (parts.get(name, "") for name in ("host", "port", "dbname"))
    if "@" in host + port + database or not (port or "0").replace(",", "").isdigit():
        wanted = "special characters such as @ and / in a password written as %40 and %2F"
        raise InputError("the database's URL cannot be read", wanted)
    user = f"{parts['user']}@" if "user" in parts else ""
    host = f"[{host}]" if ":" in host and not host.startswith("/") else host
    shown = f"{user}{host if not host.startswith('/') else ''}{f':{port}' if port else ''}/{database}"
    return f"postgresql://{shown}{f'?host={host}' if host.startswith('/') else ''}"


def open_connection(url: str, limit: float | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to a PostgreSQL database in autocommit mode: a transaction begins only when one is started explicitly.

    Args:
        url: the database's URL.
        limit: most seconds that a statement may take or the server may be silent; None limits only the wait for a
            locked index, to 60 seconds.

    Returns:
        The connection.

    Raises:
        InputError: no server answers, or the server refuses the login.
    """
    given, waits, settings = conninfo.conninfo_to_dict(url), {"connect_timeout": _WAIT}, list(_SESSION)
    if limit is None:
        settings.append(f"SET lock_timeout = {_milliseconds(PATIENCE)}")
    else:  # the lock's timeout is shorter, so that the message names the lock; TCP timeouts notice a vanished server
        settings.append(f"SET lock_timeout = {_milliseconds(0.9 * limit)}")
        settings.append(f"SET statement_timeout = {_milliseconds(limit)}")
        waits["connect_timeout"] = str(min(int(_WAIT), math.ceil(limit)))
        waits |= {"keepalives_idle": str(math.ceil(limit)), "tcp_user_timeout": str(_milliseconds(limit))}
    address = conninfo.make_conninfo(url, **{name: value for name, value in waits.items() if not given.get(name)})
    try:
        connection = psycopg.connect(address, autocommit=True, client_encoding="UTF8")
    except psycopg.OperationalError as error:
        raise InputError(
            f"cannot be reached ({_first_line(error)})", "a running PostgreSQL server", file=redact_url(url)
        ) from None
    for setting in settings:
        with suppress(psycopg.Error):  # a server without this setting works, too
            connection.execute(setting.encode())
    return connection


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Open a `with` block that turns PostgreSQL's errors into nestvec's errors, with messages of one line."""
    try:
        yield
    except errors.DiskFull as error:
        raise NestvecError(f"{place}: the server has no space left ({_first_line(error)})") from error
    except errors.LockNotAvailable as error:
        problem = "is locked by another process, which did not release the lock in time"
        raise InputError(problem, "an unlocked index: try again when that process is done", file=place) from error
    except errors.InsufficientPrivilege as error:
        raise InputError(_first_line(error), "a database role with that permission", file=place) from error
    except psycopg.OperationalError as error:
        raise NestvecError(f"{place}: the server did not complete a statement ({_first_line(error)})") from error
    except psycopg.Error as error:
        raise NestvecError(f"{place}: the server refused a statement ({_first_line(error)})") from error


def require_pgvector(connection: psycopg.Connection[tuple[Any, ...]], place: str) -> None:
    """Enable the extension pgvector in the database, unless it is enabled already; call this in a transaction.

    Raises InputError if pgvector is not installed on the server or too old, or if the role may not enable it.
    """
    wanted = f"pgvector {'.'.join(map(str, _EXTENSION))} or newer"
    version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    if connection.execute(version).fetchone() is None:
        try:
            connection.execute("CREATE EXTENSION vector")
        except errors.InsufficientPrivilege as error:
            expected = "an administrator to run CREATE EXTENSION vector once in this database"
            raise InputError("this database role may not add pgvector", expected, file=place) from error
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise InputError("the server has no pgvector", wanted, file=place) from error
    installed = connection.execute(version).fetchone()
    if installed is None or tuple(int(part) for part in installed[0].split(".")[:2]) < _EXTENSION:
        raise InputError(f"the server has pgvector {installed and installed[0]}", wanted, file=place)


def set_local(connection: psycopg.Connection[tuple[Any, ...]], name: str, value: str) -> None:
    """Change a setting of the PostgreSQL session until the transaction ends."""
    connection.execute("SELECT set_config(%s, %s, true)", [name, value])


def read_number(
    connection: psycopg.Connection[tuple[Any, ...]],
    text: sql.SQL | sql.Composed | LiteralString,
    values: Sequence[object] = (),
) -> int:
    """Run a SQL statement that returns one integer; returns 0 if the statement returns no row or NULL."""
    row = connection.execute(text, values).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _milliseconds(seconds: float) -> int:
    """Convert seconds to milliseconds for a PostgreSQL setting; at least 1, because 0 would mean no limit."""
    return max(1, round(1000 * seconds))


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message; psycopg's later lines quote the SQL statement."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
