"""Documents on their way into an index: a run's with the vectors that were measured, or a file's, encoded first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.documents import read_documents
from nestvec.files import read_json, remove, replacing, sha256, write_json
from nestvec.stores.store import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nestvec.indexing.index_settings import Columns
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection

_BATCH = 8192  # documents at a time


def work_folder(selection: Selection) -> Path:
    """The folder of a file's documents and their vectors while an index is built of them."""
    return selection.run.folder.path("index") / "work"


def remove_work_folder(selection: Selection) -> None:
    """Remove the folder of documents that are in the index now."""
    remove(work_folder(selection))


def measured_batches(selection: Selection, reporter: Reporter) -> Iterator[Batch]:
    """Give the run's documents with the vectors that were measured.

    Args:
        selection: the point.
        reporter: is told how many documents were taken.

    Yields:
        Batches in the run's order, without fields.
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
    """Encode a file's documents; an encoding that was killed goes on where it stood.

    Args:
        selection: the point.
        source: the file.
        columns: where it has what.
        reporter: is told of progress.

    Returns:
        How many rows there are, and their batches.

    Raises:
        InputError: the file cannot be used.
    """
    from nestvec.encoding.encode_file import encode

    folder = work_folder(selection)
    folder.mkdir(parents=True, exist_ok=True)
    documents, vectors, marker = folder / "documents.parquet", folder / "vectors.parquet", folder / "done.json"
    rows = _stage_documents(documents, source, columns)
    prompt = selection.model.prompts.document
    done = {"documents": sha256(documents), "model": selection.model.sha256, **({"prompt": prompt} if prompt else {})}
    if not (marker.is_file() and vectors.is_file() and read_json(marker) == done):
        encode(
            str(selection.model.path),
            str(documents),
            vectors,
            column="text",
            id_column="id",
            prompt=prompt,
            precision="float32",
            backend="torch",  # and in float32, as what was measured
            compute="float32",
            reporter=reporter,
        )
        write_json(marker, done)
    return rows, _read_staged(documents, vectors)


def _stage_documents(path: Path, source: Path, columns: Columns) -> int:
    """Write a file's documents as ids, texts and fields in JSON, and count them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds, rows = pa.schema([(name, pa.string()) for name in ("id", "text", "fields")]), 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, kinds) as writer:
        for part in read_documents(source, columns.document, columns.document_id, columns.fields):
            fields = [json.dumps(entries, ensure_ascii=False) for entries in part.fields]
            writer.write_batch(pa.record_batch([part.ids, part.texts, fields], schema=kinds))
            rows += len(part.ids)
    return rows


def _read_staged(documents: Path, vectors: Path) -> Iterator[Batch]:
    """Read the documents and their vectors, row by row together."""
    import pyarrow.parquet as pq

    from nestvec.encoding.embeddings_file import read_encoded

    coded = read_encoded(vectors)
    with pq.ParquetFile(documents) as stored:
        for part, (_, codes) in zip(stored.iter_batches(_BATCH), coded.batches(_BATCH), strict=True):
            ids, texts, fields = (part.column(name).to_pylist() for name in ("id", "text", "fields"))
            yield Batch(ids, texts, coded.codec.decode(codes), [json.loads(entries) for entries in fields])
