"""A connection to PostgreSQL, and what its errors mean; a password is never shown."""

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
_WAIT = "10"  # seconds for a server that does not answer
_EXTENSION = (0, 8)  # the first pgvector that goes on searching where a filter leaves too few
_SESSION = (
    "SET client_connection_check_interval = '1s'",  # a killed client's build ends, too
    "SET jit = off",  # compiling costs more than any search
    "SET plan_cache_mode = force_custom_plan",  # a plan for one filter need not suit another
    "SET hnsw.iterative_scan = relaxed_order",  # candidates are put in order here
)


def redact_url(url: str) -> str:
    """A URL, or `name=value` pairs, as a URL without the password; InputError where it cannot be read."""
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:  # whose message quotes the URL
        raise InputError("the database's URL cannot be read", "postgresql://user:password@host:port/database") from None
    host, port, database = (parts.get(name, "") for name in ("host", "port", "dbname"))
    if "@" in host + port + database or not (port or "0").replace(",", "").isdigit():
        raise InputError("the database's URL cannot be read", "signs such as @ and / in a password as %40 and %2F")
    user = f"{parts['user']}@" if "user" in parts else ""
    host = f"[{host}]" if ":" in host and not host.startswith("/") else host
    shown = f"{user}{host if not host.startswith('/') else ''}{f':{port}' if port else ''}/{database}"
    return f"postgresql://{shown}{f'?host={host}' if host.startswith('/') else ''}"


def open_connection(url: str, limit: float | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection that begins a transaction only where it is told to.

    Args:
        url: of the database.
        limit: seconds that a statement may take, or a server be silent; None: as long as it takes, but `PATIENCE` to
            wait for a lock.

    Returns:
        The connection.

    Raises:
        InputError: no server lets us in.
    """
    given, waits, settings = conninfo.conninfo_to_dict(url), {"connect_timeout": _WAIT}, list(_SESSION)
    if limit is None:
        settings.append(f"SET lock_timeout = {_milliseconds(PATIENCE)}")
    else:  # a server that is gone without a word holds nobody longer, either; a lock is named before a timeout is
        settings.append(f"SET lock_timeout = {_milliseconds(0.9 * limit)}")
        settings.append(f"SET statement_timeout = {_milliseconds(limit)}")
        waits["connect_timeout"] = str(min(int(_WAIT), math.ceil(limit)))
        waits |= {"keepalives_idle": str(math.ceil(limit)), "tcp_user_timeout": str(_milliseconds(limit))}
    address = conninfo.make_conninfo(url, **{name: value for name, value in waits.items() if not given.get(name)})
    try:
        connection = psycopg.connect(address, autocommit=True, client_encoding="UTF8")
    except psycopg.OperationalError as error:
        raise InputError(
            f"cannot be reached ({_first_line(error)})", "a PostgreSQL server", file=redact_url(url)
        ) from None
    for setting in settings:
        with suppress(psycopg.Error):  # an older server, or a system that has no such thing, is served less well
            connection.execute(setting.encode())
    return connection


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Turn what the server refuses into one message."""
    try:
        yield
    except errors.DiskFull as error:
        raise NestvecError(f"{place}: the server has no room left ({_first_line(error)})") from error
    except errors.LockNotAvailable as error:
        problem = "is locked by another process, which has not let go in time"
        raise InputError(problem, "to be tried again when that process is done", file=place) from error
    except errors.InsufficientPrivilege as error:
        raise InputError(_first_line(error), "a role that may do so", file=place) from error
    except psycopg.OperationalError as error:
        raise NestvecError(f"{place}: the server is gone or gave up ({_first_line(error)})") from error
    except psycopg.Error as error:
        raise NestvecError(f"{place}: the server refused ({_first_line(error)})") from error


def require_pgvector(connection: psycopg.Connection[tuple[Any, ...]], place: str) -> None:
    """Put up pgvector where it is not, in a transaction; InputError where there is none, too old a one, or no right."""
    wanted = f"pgvector {'.'.join(map(str, _EXTENSION))} or newer"
    version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    if connection.execute(version).fetchone() is None:
        try:
            connection.execute("CREATE EXTENSION vector")
        except errors.InsufficientPrivilege as error:
            expected = "an administrator who once says CREATE EXTENSION vector"
            raise InputError("this role may not add pgvector", expected, file=place) from error
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise InputError("the server has no pgvector", wanted, file=place) from error
    installed = connection.execute(version).fetchone()
    if installed is None or tuple(int(part) for part in installed[0].split(".")[:2]) < _EXTENSION:
        raise InputError(f"its pgvector is {installed and installed[0]}", wanted, file=place)


def set_local(connection: psycopg.Connection[tuple[Any, ...]], name: str, value: str) -> None:
    """Change a setting until the transaction ends."""
    connection.execute("SELECT set_config(%s, %s, true)", [name, value])


def read_number(
    connection: psycopg.Connection[tuple[Any, ...]],
    text: sql.SQL | sql.Composed | LiteralString,
    values: Sequence[object] = (),
) -> int:
    """The whole number that a statement answers; 0 where it answers nothing."""
    row = connection.execute(text, values).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _milliseconds(seconds: float) -> int:
    """As PostgreSQL's settings have times; at least 1, as 0 is no limit."""
    return max(1, round(1000 * seconds))


def _first_line(error: BaseException) -> str:
    """What happened, without the statement."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
