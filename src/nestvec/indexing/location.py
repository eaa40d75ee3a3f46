"""Finds a run's index, which is in the run's folder or in a database; `index/store.json` says where it was built last.

A run's folder may come from an untrusted source, and connecting to a database may send a password. Therefore a database
that `index/store.json` names is used only if it is on this machine; the user must name any other database again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.files import read_json, write_json
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.folder import RunFolder
    from nestvec.stores.store import Store

EMBEDDED = "embedded"
STORE_VARIABLE = "NESTVEC_STORE"  # environment variable with the database of a run's index, if --store is not given
_SCHEMES = ("postgresql://", "postgres://")
_ALIASES = {"faiss": EMBEDDED, "postgres": "postgresql://", "pgvector": "postgresql://"}  # libpq's variables apply

_NOTE = re.compile(  # the form that `redact_url` writes
    r"postgres(ql)?://([^@/?%]*@)?(?P<hosts>[\w.,:\[\]-]*)/[^?]*([?]host=/[^&?]*)?"
)
_REBUILD = "a file that `nestvec index` wrote: build the index again"
_HERE = re.compile(r"(|localhost|127[.][0-9.]+|\[::1\])(:[0-9]*)?")


@dataclass(frozen=True)
class StoreLocation:
    """Where an index is: in the run's folder (`embedded`), or in a PostgreSQL database under a name."""

    store: str  # `embedded`, or the URL of a PostgreSQL database
    name: str  # the index's name in a database

    @classmethod
    def of(cls, folder: RunFolder, store: str, name: str | None) -> StoreLocation:
        """Make a location from the values of --store and --name.

        Args:
            folder: the run's folder.
            store: `embedded`, the URL of a PostgreSQL database, or a short form such as `faiss` or `postgres`.
            name: the index's name in a database; None derives it from the name of the run's folder.

        Returns:
            The location.
        """
        default = "".join(letter if letter.isalnum() else "_" for letter in folder.root.resolve().name.lower())
        return cls(_ALIASES.get(store, store), name or default or "nestvec")

    def open(self, folder: RunFolder, limit: float | None = None) -> Store:
        """Open the index's store; raises InputError if it is neither `embedded` nor the URL of a usable database.

        Args:
            folder: the run's folder.
            limit: most seconds to wait if another process has locked the index; None takes the store's default.

        Returns:
            The store; the caller closes it.
        """
        if self.store == EMBEDDED:
            return EmbeddedStore(folder.path("index") / EMBEDDED, PATIENCE if limit is None else limit)
        if self.store.startswith(_SCHEMES):
            from nestvec.stores.postgres.store import PostgresStore

            return PostgresStore(self.store, self.name, limit)
        raise InputError(f"--store is {self.store!r}", f"`{EMBEDDED}`, or postgresql://user@host:port/database")

    def remember(self, folder: RunFolder) -> None:
        """Record in the run's folder that the index was built at this location; a password in the URL is left out."""
        store = self.store
        if store != EMBEDDED:
            from nestvec.stores.postgres.connection import redact_url

            store = redact_url(store)
        write_json(location_file(folder), {"schema": 1, "name": self.name, "store": store})


def location_file(folder: RunFolder) -> Path:
    """Return the path of the run's `index/store.json`, which records where the index was built last."""
    return folder.path("index") / "store.json"


def find_location(folder: RunFolder, store: str | None = None, name: str | None = None) -> StoreLocation:
    """Find where a run's index was built.

    Args:
        folder: the run's folder.
        store: `embedded`, the URL of a PostgreSQL database, or a short form such as `postgres`; None takes the store
            that was built last.
        name: the index's name in a database; None takes the name that was built last.

    Returns:
        The location.

    Raises:
        InputError: no index was built, or the last one is in a database on another machine that the user did not name.
    """
    path = location_file(folder)
    if not path.is_file():
        raise InputError("there is no index", "an index: run `nestvec index` first", file=path.parent)
    last = read_json(path)
    if not isinstance(last, dict) or not all(isinstance(last.get(key), str) for key in ("store", "name")):
        raise InputError("is damaged: store or name is missing", _REBUILD, file=path)
    return StoreLocation.of(folder, store or _read_note(path, last["store"]), name or last["name"])


def _read_note(path: Path, store: str) -> str:
    """Return where the index was built last; if that was in a database, NESTVEC_STORE can name another one instead."""
    if store == EMBEDDED:
        return store
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return named
    note = _NOTE.fullmatch(store)
    if note is None:
        raise InputError(f"is damaged: store is {store[:80]!r}", _REBUILD, file=path)
    if not all(map(_HERE.fullmatch, note["hosts"].split(","))):
        wanted = f"you to name this database: --store URL, or {STORE_VARIABLE}=URL in the environment"
        raise InputError(f"names {store}, a database on another machine", wanted, file=path)
    return store
