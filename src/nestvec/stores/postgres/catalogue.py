"""Reads and writes `nestvec_indexes`, the table of each index's description, codecs and documents' table name."""

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
    """The entry of an index in the table `nestvec_indexes`.

    Attributes:
        name: the index's name.
        columns: the columns of the index's table of documents, with the index's description and codecs.
        table: name of the table of documents.
    """

    name: str
    columns: Columns
    table: str


def find_entry(connection: psycopg.Connection[tuple[Any, ...]], name: str, place: str) -> Entry | None:
    """Find the entry of an index in the table `nestvec_indexes`; returns None if the index has no entry.

    Raises InputError if the entry is damaged or a newer nestvec's, or if another program made the table.
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
    """Find the name of an index's table of documents, even if its entry is damaged: a build then replaces the table."""
    row = _read_row(connection, name, place)
    return str(row[2]) if row else None


def save_entry(connection: psycopg.Connection[tuple[Any, ...]], entry: Entry) -> None:
    """Write an index's entry, replacing the present one."""
    about = entry.columns.about
    names = [stage.name for stage in about.stages]
    with tempfile.TemporaryDirectory(prefix="nestvec-") as folder:
        path = Path(folder) / _FILE
        save_codecs(path, dict(zip(names, entry.columns.codecs, strict=True)))
        stored = path.read_bytes()
    connection.execute(statements.WRITE, [entry.name, Jsonb(about.to_json()), stored, entry.table])


def read_sizes(connection: psycopg.Connection[tuple[Any, ...]], table: str, has_words: bool) -> dict[str, int]:
    """Read the size on disk of each part of an index, in bytes; `PostgresStore.sizes` lists the parts."""
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
    """Read an index's row of the table `nestvec_indexes`; returns None if there is no row or no table yet."""
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
            raise InputError(f"is damaged (it has no codec for {error})", _WROTE, file=place) from error
