"""Judgements as information retrieval keeps them: queries, a corpus and qrels in files of their own, joined by id.

Queries and corpus are JSON lines (BEIR: `_id`, `title`, `text`) or two tab-separated columns without a header. Qrels
are TREC's four columns, or BEIR's three with a header. Documents without a judgement join the corpus all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.readers import chunks, json_objects
from nestvec.data.source import BATCH, Batch, Rejects, Source
from nestvec.data.streams import pieces, sha256_of, suffix
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("query", "document", "grade", "document_id")
_PACKINGS = ("", ".gz", ".zst")


@dataclass(frozen=True)
class Collection:
    """The three parts.

    Attributes:
        queries: the file of queries.
        corpus: the file of documents.
        qrels: one or more files of judgements.
    """

    queries: Path
    corpus: Path
    qrels: tuple[Path, ...]


def find_collection(folder: Path) -> Collection | None:
    """The parts of a folder in BEIR's form: corpus.jsonl, queries.jsonl and qrels/*.tsv.

    Args:
        folder: where to look.

    Returns:
        The parts, or None if one is missing.
    """
    found = [
        next(
            (
                folder / f"{name}.jsonl{packing}"
                for packing in _PACKINGS
                if (folder / f"{name}.jsonl{packing}").is_file()
            ),
            None,
        )
        for name in ("queries", "corpus")
    ]
    qrels = tuple(sorted((folder / "qrels").glob("*.tsv*")))
    if found[0] is None or found[1] is None or not qrels:
        return None
    return Collection(found[0], found[1], qrels)


def read_collection(parts: Collection) -> Source:
    """Open a collection.

    Args:
        parts: its files.

    Returns:
        The table of its judgements, with the whole corpus as its documents.

    Raises:
        InputError: a file is missing, damaged or in no known form.
    """
    files = [parts.queries, parts.corpus, *parts.qrels]
    for file in files:
        if not file.is_file():
            raise InputError("there is no such file", "queries, corpus and qrels", file=file)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        queries, corpus = dict(_texts(parts.queries)), dict(_texts(parts.corpus))
        for qrels in parts.qrels:
            for batch in _joined(qrels, (queries, corpus), rejects):
                yield Batch(batch.file, batch.rows, batch.values.select(columns))

    def documents() -> Iterator[pa.RecordBatch]:
        for chunk in chunks(_texts(parts.corpus)):
            columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, names=["id", "text"])

    name = str(parts.qrels[0] if len(parts.qrels) == 1 else parts.qrels[0].parent)
    return Source(name, sha256_of(files), COLUMNS, read, documents=documents)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Id and text of every query or document of a file."""
    if suffix(path) == ".jsonl":
        for number, values in json_objects(path, Rejects()):
            identifier = values.get("_id", values.get("id"))
            parts = [part for name in ("title", "text") if isinstance(part := values.get(name), str)]
            if identifier is None or not parts:
                found = ", ".join(map(repr, values)) or "nothing"
                raise InputError(f"holds {found}", "the fields _id and text", file=path, row=number)
            yield str(identifier), " ".join(part for part in parts if part)
        return
    for number, line in _lines(path):
        identifier, tab, text = line.partition("\t")
        if not tab:
            raise InputError("has one column", "an id, a tab and a text", file=path, row=number)
        yield identifier, text


def _joined(path: Path, texts: tuple[dict[str, str], dict[str, str]], rejects: Rejects) -> Iterator[Batch]:
    """A file's judgements with the texts that their ids stand for."""
    rows: list[int] = []
    records: list[tuple[str, str, str, str]] = []
    for number, query, document, grade in _qrels(path, rejects):
        for identifier, known, what in ((query, texts[0], "query"), (document, texts[1], "corpus")):
            if identifier not in known:
                error = InputError(
                    f"the id {identifier!r} is not among the {what} file's", "an id that is", file=path, row=number
                )
                rejects.refuse(error, f"{query} {document} {grade}")
                break
        else:
            rows.append(number)
            records.append((texts[0][query], texts[1][document], grade, document))
        if len(rows) == BATCH:
            yield _batch(path, rows, records)
            rows, records = [], []
    if rows:
        yield _batch(path, rows, records)


def _batch(path: Path, rows: list[int], records: list[tuple[str, str, str, str]]) -> Batch:
    """Joined judgements as a batch."""
    arrays = [pa.array(column, pa.string()) for column in zip(*records, strict=True)]
    return Batch(str(path), np.array(rows), pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS)))


def _qrels(path: Path, rejects: Rejects) -> Iterator[tuple[int, str, str, str]]:
    """Row, query id, document id and grade of every judgement; a first line whose grade is no number is a header."""
    for number, line in _lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) == 4:
            fields = [fields[0], fields[2], fields[3]]
        if number == 1 and len(fields) == 3 and not re.fullmatch(r"[-+0-9.eE]+", fields[2].strip()):
            continue
        if len(fields) != 3:
            wanted = "query id, document id and grade, or TREC's four"
            rejects.refuse(InputError(f"has {len(fields)} columns", wanted, file=path, row=number), line[:2000])
            continue
        query, document, grade = (field.strip() for field in fields)
        yield number, query, document, grade


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank."""
    rest, number = b"", 0
    for piece in pieces(path):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, _decoded(path, number, line)
    if rest.strip():
        yield number + 1, _decoded(path, number + 1, rest)


def _decoded(path: Path, number: int, line: bytes) -> str:
    """A line as text."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 ({error.reason})", "UTF-8", file=path, row=number) from error
