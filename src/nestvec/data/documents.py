"""Read documents with ids and fields from a table without judgements: what an index is given."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.data.find_columns import find_document_columns, template_columns
from nestvec.data.readers import read_file
from nestvec.data.source import Rejects
from nestvec.data.streams import suffix
from nestvec.data.text import trec_id
from nestvec.data.values import all_blank, clean_column, is_blank, join_columns, refuse_empty
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nestvec.data.source import Batch

_DELIMITED = (".csv", ".tsv")  # formats that know text only
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d+)?")  # no leading zeros: those are names
Fields = dict[str, "str | float | int"]


@dataclass(frozen=True)
class Documents:
    """Some documents.

    Attributes:
        ids: n ids, as the files of a run write them.
        texts: n texts, cleaned.
        fields: n mappings of a field's name to its text or number.
    """

    ids: list[str]
    texts: list[str]
    fields: list[Fields]


def read_documents(
    path: Path, document: str | None = None, document_id: str | None = None, fields: Sequence[str] | None = None
) -> Iterator[Documents]:
    """Read a file of documents in batches.

    Args:
        path: a CSV, TSV, JSONL or Parquet file.
        document: columns or template of the text; None looks for well-known names.
        document_id: the id's column; None looks for well-known names.
        fields: columns to keep for filters; None keeps all others.

    Yields:
        The documents in the file's order; an id may come again.

    Raises:
        InputError: the file cannot be read, a column is missing or unclear, or a row has no id or no text; names the
            row.
    """
    if not path.is_file():
        raise InputError("there is no such file", "a CSV, TSV, JSONL or Parquet file of documents", file=path)
    source = read_file(path)
    template, identifier = find_document_columns(source, document, document_id)
    parts = template_columns(template)
    for name in fields or ():
        if name not in source.columns:
            raise InputError(f"there is no column {name!r}", "--fields to name columns", file=path, column=name)
    if fields is None:
        fields = [name for name in source.columns if name not in {*parts, identifier}]
    for batch in source.read(list(dict.fromkeys([identifier, *parts, *fields])), Rejects()):
        yield _make_documents(batch, identifier, template, fields, suffix(path) in _DELIMITED)


def _make_documents(
    batch: Batch, identifier: str, template: str, fields: Sequence[str], parse_numbers: bool
) -> Documents:
    """A batch's documents; `parse_numbers` makes numbers of texts that look like one."""
    parts = template_columns(template)
    columns = {name: clean_column(batch, name) for name in dict.fromkeys([identifier, *parts])}
    refuse_empty(batch, is_blank(columns[identifier]), identifier, "text")
    refuse_empty(batch, all_blank([columns[name] for name in parts]), ", ".join(parts), "text")
    entries: list[Fields] = [{} for _ in range(batch.values.num_rows)]
    for name in fields:
        for entry, value in zip(entries, batch.values.column(name).to_pylist(), strict=True):
            typed = _filter_value(value, parse_numbers)
            if typed is not None:
                entry[name] = typed
    ids = [trec_id(value) for value in columns[identifier].to_pylist()]
    return Documents(ids, join_columns(template, columns).to_pylist(), entries)


def _filter_value(value: Any, parse_numbers: bool) -> str | float | int | None:  # noqa: ANN401 - whatever a table holds
    """A value that can be filtered by: a finite number, or text; None for nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    text = "" if value is None else str(value).strip()
    return float(text) if parse_numbers and _NUMBER.fullmatch(text) else text or None
