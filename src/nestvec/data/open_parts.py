"""Opens queries, corpus and qrels that are named one by one, in TREC's or BEIR's form or as tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.collection import Collection, read_collection, read_texts, require_files
from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE, QUERY, QUERY_ID
from nestvec.data.columns import template_columns
from nestvec.data.find_columns import find_document_columns
from nestvec.data.find_tables import BARE_IDS, Tables, find_query_columns
from nestvec.data.join_tables import join_tables
from nestvec.data.json_lines import json_objects
from nestvec.data.readers import read_file
from nestvec.data.source import SET_ASIDE, Batch, Rejects, Source, batch_texts, measure_texts, split_into_batches
from nestvec.data.streams import read_lines, suffix
from nestvec.data.text_form import make_text_form
from nestvec.data.values import drop_rows, is_blank, join_columns, text_column
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.data.text_form import TextForm
    from nestvec.settings import DataSettings

_TABLES = (".csv", ".parquet")
_IDS = {*QUERY_ID, *DOCUMENT_ID, *BARE_IDS, "pid", "did"}
_TEXTS = {*QUERY, *HEADLINE, *BODY, "contents"}


def open_parts(settings: DataSettings) -> Source:
    """Open a collection whose queries, corpus and qrels are named one by one.

    Args:
        settings: the files, and the columns of files that are tables.

    Returns:
        The table of judgements. If only the corpus holds the documents' texts, the whole corpus is the catalogue.

    Raises:
        InputError: a file is missing, damaged or in no known form.
    """
    qrels = Path(str(settings.qrels))
    texts = [Path(name) for name in (settings.queries, settings.corpus) if name is not None]
    form = make_text_form(settings)
    is_table = qrels.is_file() and _is_table_of_judgements(qrels, form)
    if not is_table and len(texts) < len(("queries", "corpus")):
        missing = "--queries" if settings.queries is None else "--corpus"
        raise InputError(f"--qrels is given without {missing}", "all of --queries, --corpus and --qrels")
    require_files([qrels, *texts])
    if is_table:
        queries, corpus = (
            None if name is None else _open_texts(Path(name), form) for name in (settings.queries, settings.corpus)
        )
        return join_tables(Tables(read_file(qrels, form), queries, corpus), settings, str(qrels), sha256(qrels, *texts))
    tables = {
        file: partial(_read_table, file, kind, settings)
        for file, kind in zip(texts, ("queries", "corpus"), strict=True)
        if _is_table_of_texts(file, form)
    }
    return read_collection(Collection(texts[0], texts[1], (qrels,)), form, tables)


def _is_table_of_judgements(path: Path, form: TextForm) -> bool:
    """Whether a file of judgements is a table with a header, and not TREC's four or BEIR's three columns."""
    if suffix(path) != ".tsv":
        return suffix(path) in (*_TABLES, ".jsonl")
    names = _read_header(path, form)
    roles = [_find_role(name) for name in names]
    in_order = len(names) in (3, 4) and (roles[0], roles[-2], roles[-1]) == ("query", "document", "grade")
    return {"query", "document"} <= set(roles) and not in_order


def _find_role(name: str) -> str | None:
    known = {"query": QUERY_ID, "document": DOCUMENT_ID, "grade": GRADE}
    return next((role for role, names in known.items() if name in names), None)


def _is_table_of_texts(path: Path, form: TextForm) -> bool:
    """Whether a file of queries or documents has named columns, other than BEIR's `_id`, `title` and `text`."""
    if suffix(path) == ".jsonl":
        _, values = next(json_objects(path, Rejects(SET_ASIDE), form.encoding), (0, {"_id": "", "text": ""}))
        return not ({"_id", "id"} & values.keys() and {"title", "text"} & values.keys())
    if suffix(path) != ".tsv":
        return suffix(path) in _TABLES
    names = set(_read_header(path, form))
    return bool(names & _IDS and names & _TEXTS)


def _read_header(path: Path, form: TextForm) -> list[str]:
    """Read the tab-separated fields of a file's first line, in lower case."""
    _, line = next(read_lines(path, encoding=form.encoding), (0, b""))
    return [name.strip().lower() for name in line.decode("utf-8-sig", "replace").split("\t")]


def _open_texts(path: Path, form: TextForm) -> Source:
    """Open queries or documents as a table; a file without named columns gets the columns `id` and `text`."""
    if suffix(path) == ".jsonl" or _is_table_of_texts(path, form):
        return read_file(path, form)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del rejects  # a damaged line ends the load
        first_row = 1
        for chunk in split_into_batches(read_texts(path, form.encoding), measure_texts):
            rows = np.arange(first_row, first_row + len(chunk))
            first_row += len(chunk)
            yield Batch(str(path), rows, batch_texts(chunk, ("id", "text")).select(columns))

    return Source(str(path), sha256(path), ("id", "text"), read)


def _read_table(path: Path, kind: str, settings: DataSettings) -> Iterator[tuple[str, str]]:
    """Read id and text of every row of a table of queries or documents; InputError if a row has no id."""
    source = read_file(path, make_text_form(settings))
    if kind == "queries":
        identifier, query = find_query_columns(source, settings)
        template = f"{{{query}}}"
    else:
        template, identifier = find_document_columns(source, settings.document, settings.document_id)
    columns = template_columns(template)
    for batch in source.read(list(dict.fromkeys([identifier, *columns])), Rejects()):
        drop_rows(batch, is_blank(text_column(batch, identifier)), identifier, "an id", Rejects())
        texts = join_columns(template, {name: text_column(batch, name) for name in columns})
        yield from zip(text_column(batch, identifier).to_pylist(), texts.to_pylist(), strict=True)
