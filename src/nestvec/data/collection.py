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

from nestvec.data.json_lines import json_objects
from nestvec.data.source import Batch, Rejects, Source, batch_texts, split_into_batches
from nestvec.data.streams import read_lines, suffix
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

COLUMNS = ("query", "document", "grade", "document_id")
_PACKINGS = ("", ".gz", ".zst")


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
    """The parts of a folder in BEIR's form: corpus.jsonl, queries.jsonl and qrels/*.tsv; None if one is missing."""
    queries, corpus = (
        next(filter(Path.is_file, (folder / f"{name}.jsonl{packing}" for packing in _PACKINGS)), None)
        for name in ("queries", "corpus")
    )
    qrels = tuple(sorted((folder / "qrels").glob("*.tsv*")))
    return Collection(queries, corpus, qrels) if queries and corpus and qrels else None


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
        queries, corpus = dict(_read_texts(parts.queries)), dict(_read_texts(parts.corpus))
        for qrels in parts.qrels:
            for chunk in split_into_batches(_join_qrels(qrels, queries, corpus, rejects)):
                rows, records = zip(*chunk, strict=True)
                yield Batch(str(qrels), np.array(rows), batch_texts(records, COLUMNS).select(columns))

    def documents() -> Iterator[pa.RecordBatch]:
        for chunk in split_into_batches(_read_texts(parts.corpus)):
            yield batch_texts(chunk, ("id", "text"))

    name = str(parts.qrels[0] if len(parts.qrels) == 1 else parts.qrels[0].parent)
    return Source(name, sha256(*files), COLUMNS, read, documents=documents, unlisted=0.0)


def _read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Id and text of every query or document of a file."""
    if suffix(path) == ".jsonl":
        for number, values in json_objects(path, Rejects()):
            identifier = values.get("_id", values.get("id"))
            parts = [part for name in ("title", "text") if isinstance(part := values.get(name), str)]
            if identifier is None or not parts:
                names = ", ".join(map(repr, values)) or "nothing"
                raise InputError(f"holds {names}", "the fields _id and text", file=path, row=number)
            yield str(identifier), " ".join(part for part in parts if part)
        return
    for number, line in _read_lines(path):
        identifier, tab, text = line.partition("\t")
        if not tab:
            raise InputError("has one column", "an id, a tab and a text", file=path, row=number)
        yield identifier, text


def _join_qrels(
    path: Path, queries: dict[str, str], corpus: dict[str, str], rejects: Rejects
) -> Iterator[tuple[int, tuple[str, str, str, str]]]:
    """Row and `COLUMNS` of a file's judgements, with the texts that their ids stand for."""
    for number, query, document, grade in _read_qrels(path, rejects):
        for identifier, known, what in ((query, queries, "query"), (document, corpus, "corpus")):
            if identifier not in known:
                error = InputError(
                    f"the id {identifier!r} is not among the {what} file's", "an id that is", file=path, row=number
                )
                rejects.refuse(error, f"{query} {document} {grade}")
                break
        else:
            yield number, (queries[query], corpus[document], grade, document)


def _read_qrels(path: Path, rejects: Rejects) -> Iterator[tuple[int, str, str, str]]:
    """Row, query id, document id and grade of every judgement; a first line whose grade is no number is a header."""
    for number, line in _read_lines(path):
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


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank."""
    for number, line in read_lines(path):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"is not UTF-8 ({error.reason})", "UTF-8", file=path, row=number) from error
        yield number, text.rstrip("\r\n")
