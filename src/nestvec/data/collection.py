"""Reads collections in TREC's or BEIR's form: queries, a corpus and qrels in separate files, joined by id.

Queries and corpus are JSON lines (BEIR: `_id`, `title`, `text`) or two tab-separated columns. Qrels are TREC's four
columns or BEIR's three, separated by tabs or any white space. The corpus includes unjudged documents. Ids are kept as
they are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.json_lines import json_objects
from nestvec.data.limits import UnpackedLimit
from nestvec.data.source import Batch, Rejects, Source, batch_texts, measure_texts, split_into_batches
from nestvec.data.streams import read_lines, suffix
from nestvec.data.text_form import TextForm
from nestvec.data.text_table import keep_first_queries
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    ReadTexts = Callable[[], Iterator[tuple[str, str]]]

COLUMNS = ("query_id", "query", "document", "grade", "document_id")
_PACKINGS = ("", ".gz", ".zst")
_IDS = {"id", "_id", "qid", "pid", "did", "docid", "doc_id", "document_id", "query_id", "query-id", "corpus-id"}
_TEXTS = {"text", "query", "title", "document", "passage", "contents", "body", "question", "query_text"}


@dataclass(frozen=True)
class Collection:
    """The files of a collection.

    Attributes:
        queries: the file of queries.
        corpus: the file of documents.
        qrels: one or more files of judgements.
    """

    queries: Path
    corpus: Path
    qrels: tuple[Path, ...]


def find_collection(folder: Path) -> Collection | None:
    """Find the files of a folder in BEIR's form (corpus.jsonl, queries.jsonl, qrels/*.tsv); None if one is missing."""
    queries, corpus = (
        next(filter(Path.is_file, (folder / f"{name}.jsonl{packing}" for packing in _PACKINGS)), None)
        for name in ("queries", "corpus")
    )
    qrels = tuple(sorted((folder / "qrels").glob("*.tsv*")))
    return Collection(queries, corpus, qrels) if queries and corpus and qrels else None


def read_collection(
    parts: Collection, form: TextForm | None = None, tables: Mapping[Path, ReadTexts] | None = None
) -> Source:
    """Open a collection.

    Args:
        parts: the collection's files.
        form: the encoding of the files, if the user set one.
        tables: for a file of queries or documents that is a table, a function that returns its ids and texts.

    Returns:
        The table of judgements, with the whole corpus as its documents.

    Raises:
        InputError: a file is missing, damaged or in no known form.
    """
    files = [parts.queries, parts.corpus, *parts.qrels]
    require_files(files)
    form = form or TextForm()
    if not tables:
        form.refuse_options(parts.qrels[0], "a collection")
    encoding = form.encoding
    open_queries, open_corpus = (
        (tables or {}).get(path, partial(read_texts, path, encoding)) for path in (parts.queries, parts.corpus)
    )
    queries, findings = keep_first_queries(open_queries())

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        corpus = _keep_first(open_corpus())
        for qrels in parts.qrels:
            judged = _join_qrels(_read_rows(qrels, encoding, rejects), qrels, queries, corpus, rejects)
            for chunk in split_into_batches(judged, lambda row: measure_texts(row[1])):
                rows, records = zip(*chunk, strict=True)
                yield Batch(str(qrels), np.array(rows), batch_texts(records, COLUMNS).select(columns))

    def documents() -> Iterator[pa.RecordBatch]:
        for chunk in split_into_batches(open_corpus(), measure_texts):
            yield batch_texts(chunk, ("id", "text"))

    name = str(parts.qrels[0] if len(parts.qrels) == 1 else parts.qrels[0].parent)
    limit = UnpackedLimit.of_rows(*files)
    return Source(name, sha256(*files), COLUMNS, read, findings, documents, unlisted=0.0, limit=limit)


def require_files(files: list[Path]) -> None:
    """Raise InputError if a file of the collection does not exist."""
    for file in files:
        if not file.is_file():
            raise InputError("there is no such file", "queries, corpus and qrels", file=file)


def _keep_first(texts: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Collect texts by their ids; an id that occurs again keeps its first text."""
    known = dict[str, str]()
    for identifier, text in texts:
        known.setdefault(identifier, text)
    return known


def read_texts(path: Path, encoding: str | None) -> Iterator[tuple[str, str]]:
    """Read the id and the text of every query or document in a file."""
    if suffix(path) == ".jsonl":
        for number, values in json_objects(path, Rejects(), encoding):
            yield _read_json_text(path, number, values)
        return
    for number, line in _read_rows(path, encoding):
        identifier, tab, text = line.partition("\t")
        if not tab:
            raise InputError("has one column", "an id, a tab and a text", file=path, row=number)
        if number == 1 and identifier.strip().lower() in _IDS and text.strip().lower() in _TEXTS:
            continue  # a header
        if not identifier:
            raise InputError("has no id before the tab", "an id, a tab and a text", file=path, row=number)
        yield identifier, text


def _read_json_text(path: Path, number: int, values: dict[str, Any]) -> tuple[str, str]:
    """Read the id and the text of a JSON object; the text is `title` and `text`, joined by a space."""
    identifier = values.get("_id", values.get("id"))
    parts = [values[name] for name in ("title", "text") if values.get(name) is not None]
    if identifier is None or not parts:
        names = ", ".join(map(repr, values)) or "nothing"
        raise InputError(f"holds {names}", "the fields _id and text", file=path, row=number)
    if not all(isinstance(part, str) for part in parts):
        raise InputError("its title or text is not a string", "strings as `title` and `text`", file=path, row=number)
    text, name = " ".join(part for part in parts if part), _name_id(path, number, identifier)
    if re.search("[\ud800-\udfff]", name + text):
        raise InputError("holds an unpaired surrogate", "valid Unicode text", file=path, row=number)
    return name, text


def _name_id(path: Path, number: int, identifier: object) -> str:
    """Convert an id of a JSON object to text; whole numbers have no decimal point."""
    if isinstance(identifier, float) and identifier.is_integer() and abs(identifier) < 1 << 53:
        return str(int(identifier))
    usable = isinstance(identifier, str | int | float) and not isinstance(identifier, bool)
    if not usable or identifier == "" or (isinstance(identifier, float) and not math.isfinite(identifier)):
        raise InputError(f"its id is {str(identifier)[:60]!r}", "text or a number as the id", file=path, row=number)
    return str(identifier)


def _join_qrels(
    lines: Iterator[tuple[int, str]], path: Path, queries: dict[str, str], corpus: dict[str, str], rejects: Rejects
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Add the texts of query and document to each judgement of a file; yields row number, ids, texts and grade."""
    first = True
    for number, line in lines:
        readings = _split_judgement(line)
        known = [fields for fields in readings if fields[0] in queries and fields[1] in corpus]
        header = first and not known and bool(readings) and not re.fullmatch(r"[-+0-9.eE]+", readings[-1][2])
        first = False
        if header:
            continue
        if not known:
            rejects.refuse(_unknown_error(path, number, line, readings, queries), line)
            continue
        query, document, grade = known[0]
        yield number, (query, queries[query], corpus[document], grade, document)


def _split_judgement(line: str) -> list[tuple[str, str, str]]:
    """Split a qrels line into query id, document id and grade; return the readings by tabs and by any white space."""
    spaced = re.split(r"[ \t\v\f]+", line.strip(" \t\v\f"))
    readings = []
    for fields in (line.rstrip(" \t").split("\t"), spaced):
        if len(fields) in (3, 4):
            query, *_, document, grade = fields
            readings.append((query, document, grade.strip()))
    return list(dict.fromkeys(readings))


def _unknown_error(
    path: Path, number: int, line: str, readings: list[tuple[str, str, str]], queries: dict[str, str]
) -> InputError:
    """Make the error for a judgement with a wrong number of columns, or with unknown ids."""
    if not readings:
        wanted = "query id, document id and grade, or TREC's four"
        return InputError(f"has {len(line.split())} columns", wanted, file=path, row=number)
    query, document, _ = next((fields for fields in readings if fields[0] in queries), readings[-1])
    identifier, what = (document, "corpus") if query in queries else (query, "query")
    problem = f"the id {identifier!r} is not in the {what} file"
    wanted = f"an id of the {what} file: correct the id, or add it with its text to that file"
    return InputError(problem, wanted, file=path, row=number)


def _read_rows(path: Path, encoding: str | None, rejects: Rejects | None = None) -> Iterator[tuple[int, str]]:
    """Read the number and the text of every line that is not blank, without the line break."""
    for number, line in read_lines(path, rejects, encoding):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            wanted = "UTF-8, or --encoding to name another"
            raise InputError(f"is not UTF-8 ({error.reason})", wanted, file=path, row=number) from error
        yield number, text.rstrip("\r\n")
