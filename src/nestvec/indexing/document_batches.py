"""Yields documents to index, in batches: the run's documents with measured vectors, or a file's, newly encoded."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.documents import DocumentColumns, read_documents
from nestvec.data.records import save_rejected
from nestvec.data.source import Rejects, count_rows
from nestvec.errors import InputError
from nestvec.files import read_json, remove, replacing, sha256, write_json
from nestvec.models.model_hashes import join_hashes
from nestvec.stores.store import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nestvec.indexing.index_settings import Columns
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection

_BATCH = 8192  # documents in a batch


def work_folder(selection: Selection) -> Path:
    """Return the folder that holds a file's documents and vectors until they are in the index."""
    return selection.run.folder.path("index") / "work"


def remove_work_folder(selection: Selection) -> None:
    """Remove the folder of `work_folder`; call this when its documents are in the index."""
    remove(work_folder(selection))


def measured_batches(selection: Selection, reporter: Reporter) -> Iterator[Batch]:
    """Yield the run's documents with the vectors that the run measured, in batches.

    Args:
        selection: the measured system, dimension and precision; names the vectors to read.
        reporter: receives the number of documents done.

    Yields:
        Batches of documents in the run's order; no document has fields to filter by.
    """
    catalogue, vectors = selection.run.catalogue, selection.document_vectors
    ids, texts = catalogue.ids, catalogue.texts
    with reporter.step("index", len(ids)) as advance:
        for first in range(0, len(ids), _BATCH):
            part = slice(first, first + _BATCH)
            yield Batch(ids[part], texts[part], np.asarray(vectors[part]), [{} for _ in ids[part]])
            advance(len(ids[part]))


def encode_documents(
    selection: Selection, source: Path, columns: Columns, reporter: Reporter
) -> tuple[int, Iterator[Batch]]:
    """Encode a file's documents; if an earlier call for the same file was killed, continues where that call stopped.

    Args:
        selection: the measured system, dimension and precision; names the model that encodes.
        source: the file of documents.
        columns: the file's columns to read.
        reporter: receives progress, the number of bad rows left out, and a note if ids occur in several rows.

    Returns:
        The number of distinct documents, and the batches of all rows; if an id repeats, its last row counts.

    Raises:
        InputError: the file cannot be read or holds no document; the work folder is removed.
    """
    from nestvec.encoding.encode_file import encode

    folder = work_folder(selection)
    folder.mkdir(parents=True, exist_ok=True)
    documents, vectors, marker = folder / "documents.parquet", folder / "vectors.parquet", folder / "begun.json"
    try:
        count = _stage_documents(documents, source, columns, reporter)
    except InputError:
        remove(folder)
        raise
    prompt = selection.model.prompts.document
    begun = {"documents": sha256(documents), "model": join_hashes(selection.model.hashes)}
    if not (marker.is_file() and read_json(marker) == begun):  # the folder's content is of another file or model
        for stale in folder.iterdir():
            if stale != documents:
                remove(stale)
        write_json(marker, begun)
    if not vectors.is_file():
        encode(
            str(selection.model.path),
            str(documents),
            vectors,
            column="text",
            id_column="id",
            prompt=prompt,
            precision="float32",
            backend="torch",  # backend and compute are those of the measurement
            compute="float32",
            reporter=reporter,
        )
    return count, _read_staged(documents, vectors)


def _stage_documents(path: Path, source: Path, columns: Columns, reporter: Reporter) -> int:
    """Copy a file's documents to Parquet with columns id, text and fields (JSON); gives the number of distinct ids."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = pa.schema([(name, pa.string()) for name in ("id", "text", "fields")])
    rejects, rows = Rejects(columns.on_bad_row), Counter[str]()
    wanted = DocumentColumns(columns.document, columns.document_id, columns.fields)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, kinds) as writer:
        for part in read_documents(source, wanted, rejects):
            fields = [json.dumps(entries, ensure_ascii=False) for entries in part.fields]
            texts = [text.replace("&", "&amp;") for text in part.texts]  # `encode` unescapes HTML and undoes this
            writer.write_batch(pa.record_batch([part.ids, texts, fields], schema=kinds))
            rows.update(part.ids)
        if not rows:
            raise InputError("holds no document", "at least one row with an id and a text", file=source)
    repeated = [identifier for identifier, count in rows.items() if count > 1]
    if repeated:
        several = f"{len(repeated):,} ids occur" if len(repeated) > 1 else "1 id occurs"
        reporter.say(f"{several} in more than one row, such as {repeated[0]!r}: the last row is kept")
    _keep_rejected(path.parent.parent / "rejected.parquet", rejects, reporter)
    return len(rows)


def _keep_rejected(path: Path, rejects: Rejects, reporter: Reporter) -> None:
    """Write the bad rows of a file of documents to `path`, replacing rows that an earlier file left there."""
    remove(path)
    if rejects.rows:
        with replacing(path) as temporary:
            save_rejected(rejects.rows, temporary)
        reporter.say(f"{count_rows(len(rejects.rows))} set aside into {path}")


def _read_staged(documents: Path, vectors: Path) -> Iterator[Batch]:
    """Read documents from one Parquet file and their vectors from another, and yield both together in batches."""
    import pyarrow.parquet as pq

    from nestvec.encoding.embeddings_file import read_encoded

    coded = read_encoded(vectors)
    with pq.ParquetFile(documents) as stored:
        for part, (_, codes) in zip(stored.iter_batches(_BATCH), coded.batches(_BATCH), strict=True):
            ids, texts, fields = (part.column(name).to_pylist() for name in ("id", "text", "fields"))
            texts = [text.replace("&amp;", "&") for text in texts]
            yield Batch(ids, texts, coded.codec.decode(codes), [json.loads(entries) for entries in fields])
