"""Reads documents with ids and fields from a table without judgements, for an index.

Ids are kept byte for byte; texts are cleaned like all texts; fields are typed by `field_types`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.columns import template_columns
from nestvec.data.field_types import find_kinds, read_field
from nestvec.data.find_columns import find_document_columns
from nestvec.data.nested import list_values
from nestvec.data.readers import read_file
from nestvec.data.source import Rejects, read_rows
from nestvec.data.values import all_blank, clean_column, drop_rows, is_blank, join_columns, text_column
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from nestvec.data.field_types import Value
    from nestvec.data.source import Batch

Fields = dict[str, "Value"]


@dataclass(frozen=True)
class Documents:
    """Documents with their ids, texts and fields.

    Attributes:
        ids: n ids, byte for byte.
        texts: n texts, cleaned.
        fields: n mappings of a field's name to its text or number.
    """

    ids: list[str]
    texts: list[str]
    fields: list[Fields]


@dataclass(frozen=True)
class DocumentColumns:
    """The columns of a file of documents, as the user named them.

    Attributes:
        document: the columns or the template of the text; None looks for well-known names.
        document_id: the column of the id; None looks for well-known names.
        fields: the columns to keep as fields for filters; None keeps all other columns.
    """

    document: str | None = None
    document_id: str | None = None
    fields: Sequence[str] | None = None


def read_documents(path: Path, wanted: DocumentColumns, rejects: Rejects) -> Iterator[Documents]:
    """Read a file of documents in batches. CSV, TSV and JSONL files are read twice, first to find the fields' types.

    Args:
        path: a CSV, TSV, JSONL or Parquet file.
        wanted: the file's columns.
        rejects: raises for bad rows (damaged, or without id or text) or sets them aside.

    Yields:
        The documents in the file's order; an id may occur more than once.

    Raises:
        InputError: the file cannot be read, a column is missing or ambiguous, or a row is bad and the policy is `stop`.
    """
    if not path.is_file():
        raise InputError("there is no such file", "a CSV, TSV, JSONL or Parquet file of documents", file=path)
    source = read_file(path)
    template, identifier = find_document_columns(source, wanted.document, wanted.document_id)
    parts = template_columns(template)
    for name in wanted.fields or ():
        if name not in source.columns:
            problem = f"there is no column {name!r}"
            raise InputError(problem, "--fields with names of columns in this file", file=path, column=name)
    kinds = find_kinds(path, source, wanted.fields, {identifier, *parts})
    for batch in read_rows(source, list(dict.fromkeys([identifier, *parts, *kinds])), rejects):
        cleaned = {name: clean_column(batch, name) for name in parts}
        good = _drop_bad_rows(batch, identifier, cleaned, rejects)
        if len(good.rows) < len(batch.rows):
            cleaned = {name: clean_column(good, name) for name in parts}
        if len(good.rows):
            texts = list_values(join_columns(template, cleaned))
            columns = {name: read_field(good.values.column(name), kind) for name, kind in kinds.items()}
            yield Documents(text_column(good, identifier).to_pylist(), texts, _join_fields(columns, len(texts)))


def _drop_bad_rows(batch: Batch, identifier: str, parts: dict[str, pa.Array], rejects: Rejects) -> Batch:
    """Keep the rows with an id and a text; `parts` holds the cleaned text columns, and `rejects` handles other rows."""
    no_id, no_text = is_blank(text_column(batch, identifier)), all_blank(list(parts.values()))
    batch, no_text = drop_rows(batch, no_id, identifier, "an id", rejects), no_text[~no_id]
    return drop_rows(batch, no_text, ", ".join(parts), "text", rejects)


def _join_fields(columns: dict[str, list[Value | None]], rows: int) -> list[Fields]:
    """Collect the fields of each row, to filter search results by; missing values are left out."""
    entries: list[Fields] = [{} for _ in range(rows)]
    for name, values in columns.items():
        for entry, value in zip(entries, values, strict=True):
            if value is not None:
                entry[name] = value
    return entries
