"""Where a run's index is: in the run's folder, or in a database; the run remembers which was built last.

A run's folder may come from anybody. So the note that it holds may lead to a database on this machine only, unless the
user names the database again: whoever connects may send a password.
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
STORE_VARIABLE = "NESTVEC_STORE"  # names the database of a run's index where --store is not given
_SCHEMES = ("postgresql://", "postgres://")
_ALIASES = {"faiss": EMBEDDED, "postgres": "postgresql://", "pgvector": "postgresql://"}  # libpq's variables say where

_NOTE = re.compile(  # as `redact_url` writes it
    r"postgres(ql)?://([^@/?%]*@)?(?P<hosts>[\w.,:\[\]-]*)/[^?]*([?]host=/[^&?]*)?"
)
_HERE = re.compile(r"(|localhost|127[.][0-9.]+|\[::1\])(:[0-9]*)?")


@dataclass(frozen=True)
class StoreLocation:
    """A store, and the index's name in it."""

    store: str  # `embedded`, or the URL of a PostgreSQL database
    name: str  # of the index in a database

    @classmethod
    def of(cls, folder: RunFolder, store: str, name: str | None) -> StoreLocation:
        """Find the location that is meant by a store and a name.

        Args:
            folder: of the run.
            store: a name or a URL.
            name: of the index in a database; None makes one of the folder's name.

        Returns:
            The location.
        """
        default = "".join(letter if letter.isalnum() else "_" for letter in folder.root.resolve().name.lower())
        return cls(_ALIASES.get(store, store), name or default or "nestvec")

    def open(self, folder: RunFolder, limit: float | None = None) -> Store:
        """Open the store, to be closed; raises InputError where there is no such kind, or it cannot be used.

        Args:
            folder: of the run.
            limit: seconds that it may wait for other processes; None: as long as the stores do unless they are told.

        Returns:
            The store.
        """
        if self.store == EMBEDDED:
            return EmbeddedStore(folder.path("index") / EMBEDDED, PATIENCE if limit is None else limit)
        if self.store.startswith(_SCHEMES):
            from nestvec.stores.postgres.store import PostgresStore

            return PostgresStore(self.store, self.name, limit)
        raise InputError(f"--store is {self.store!r}", f"`{EMBEDDED}`, or postgresql://user@host:port/database")

    def remember(self, folder: RunFolder) -> None:
        """Write down in the run which store was built last; without a password."""
        store = self.store
        if store != EMBEDDED:
            from nestvec.stores.postgres.connection import redact_url

            store = redact_url(store)
        write_json(location_file(folder), {"schema": 1, "name": self.name, "store": store})


def location_file(folder: RunFolder) -> Path:
    """The file of a run that says which store was built last."""
    return folder.path("index") / "store.json"


def find_location(folder: RunFolder, store: str | None = None, name: str | None = None) -> StoreLocation:
    """Find where a run's index was built.

    Args:
        folder: of the run.
        store: a name or a URL; None takes what was built last.
        name: of the index in a database; None takes what was built last.

    Returns:
        The location.

    Raises:
        InputError: nothing was built, or what was built last is on another machine and the user did not name it.
    """
    path = location_file(folder)
    if not path.is_file():
        raise InputError("there is no index", "`nestvec index` first", file=path.parent)
    last = read_json(path)
    if not isinstance(last, dict) or not all(isinstance(last.get(key), str) for key in ("store", "name")):
        raise InputError("is damaged", "what `nestvec index` wrote", file=path)
    return StoreLocation.of(folder, store or _read_note(path, last["store"]), name or last["name"])


def _read_note(path: Path, store: str) -> str:
    """The store that a run's note names, or that the user named for it in the environment."""
    if store == EMBEDDED:
        return store
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return named
    note = _NOTE.fullmatch(store)
    if note is None:
        raise InputError(f"is damaged: store is {store[:80]!r}", "what `nestvec index` wrote", file=path)
    if not all(map(_HERE.fullmatch, note["hosts"].split(","))):
        wanted = f"the database named by you: --store URL, or {STORE_VARIABLE}=URL in the environment"
        raise InputError(f"leads to {store}, on another machine", wanted, file=path)
    return store
