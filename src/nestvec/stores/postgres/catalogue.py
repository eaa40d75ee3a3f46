"""Reads and writes the table `nestvec_indexes`, which has one row for each search index in a PostgreSQL database.

The row holds the index's description, its codecs, and the name of the table with the index's documents.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from nestvec.errors import InputError
from nestvec.stores.postgres import statements
from nestvec.stores.postgres.columns import Columns
from nestvec.stores.postgres.connection import read_number
from nestvec.stores.postgres.statements import quote_table
from nestvec.stores.postgres.word_table import name_words
from nestvec.stores.store import About
from nestvec.vectors.stored import load_codecs, save_codecs

if TYPE_CHECKING:
    import psycopg

    from nestvec.vectors.codecs import Codec

_FILE = "codecs.safetensors"
_WROTE = "what `nestvec index` wrote: build the index again"
_FOREIGN = "the table nestvec_indexes was not made by nestvec"
_FREE_NAME = "a database without a table of this name, or nestvec's own table"


@dataclass(frozen=True)
class Entry:
    """The row of one index in the table `nestvec_indexes`.

    Attributes:
        name: the index's name.
        columns: the columns that hold the vectors, with the index's description and codecs.
        table: name of the table that holds the documents.
    """

    name: str
    columns: Columns
    table: str


def find_entry(connection: psycopg.Connection[tuple[Any, ...]], name: str, place: str) -> Entry | None:
    """Read the row of an index from `nestvec_indexes`; returns None if there is no such index.

    Raises InputError if the row is damaged or was written by a newer nestvec, or if another program made the table.
    """
    row = _read_row(connection, name, place)
    if row is None:
        return None
    about, codecs, table = row
    if not isinstance(about, dict) or not isinstance(codecs, bytes):
        raise InputError(_FOREIGN, _FREE_NAME, file=place)
    serves = About.from_json(about, place)
    return Entry(name, Columns(serves, _parse_codecs(serves, codecs, place)), table)


def find_table(connection: psycopg.Connection[tuple[Any, ...]], name: str, place: str) -> str | None:
    """Read the name of the table that holds an index's documents; returns None if there is no such index.

    This works even if the index's codecs or description are damaged, so that a new build can replace the table.
    """
    row = _read_row(connection, name, place)
    return str(row[2]) if row else None


def save_entry(connection: psycopg.Connection[tuple[Any, ...]], entry: Entry) -> None:
    """Write the row of an index to the table `nestvec_indexes`, replacing the present row."""
    about = entry.columns.about
    names = [stage.name for stage in about.stages]
    with tempfile.TemporaryDirectory(prefix="nestvec-") as folder:
        path = Path(folder) / _FILE
        save_codecs(path, dict(zip(names, entry.columns.codecs, strict=True)))
        stored = path.read_bytes()
    connection.execute(statements.WRITE, [entry.name, Jsonb(about.to_json()), stored, entry.table])


def read_sizes(connection: psycopg.Connection[tuple[Any, ...]], table: str, has_words: bool) -> dict[str, int]:
    """Read how many bytes the tables and indexes of a search index take on disk; see `PostgresStore.sizes`."""
    parts: dict[str, sql.SQL | sql.Composed] = {
        "table": statements.TABLE_SIZE,
        "ids": statements.IDS_SIZE,
        "vectors": statements.VECTORS_SIZE,
    }
    sizes = {part: read_number(connection, text, [quote_table(table)]) for part, text in parts.items()}
    if has_words:
        numbers = read_number(connection, statements.NUMBERS_SIZE, [quote_table(table)])
        sizes["words"] = numbers + read_number(connection, statements.WHOLE_SIZE, [quote_table(name_words(table))])
    return sizes


def _read_row(connection: psycopg.Connection[tuple[Any, ...]], name: str, place: str) -> tuple[Any, ...] | None:
    """Read an index's row from the table `nestvec_indexes`; returns None if the row or the table does not exist."""
    try:
        return connection.execute(statements.READ, [name], binary=True).fetchone()
    except errors.UndefinedTable:
        return None
    except errors.UndefinedColumn as error:
        raise InputError(_FOREIGN, _FREE_NAME, file=place) from error


def _parse_codecs(about: About, stored: bytes, place: str) -> tuple[Codec, ...]:
    with tempfile.TemporaryDirectory(prefix="nestvec-") as folder:
        path = Path(folder) / _FILE
        path.write_bytes(stored)
        try:
            codecs = load_codecs(path)
            return tuple(codecs[stage.name] for stage in about.stages)
        except InputError as error:
            raise error.with_file(place) from error
        except KeyError as error:
            raise InputError(f"is damaged: it has no codec for {error}", _WROTE, file=place) from error
