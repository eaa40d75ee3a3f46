"""Documents on their way into an index: a run's with the vectors that were measured, or a file's, encoded first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.documents import read_documents
from nestvec.files import read_json, remove, replacing, sha256, write_json
from nestvec.stores.store import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nestvec.indexing.settings import Columns
    from nestvec.progress import Reporter
    from nestvec.runs.selection import Selection

_BATCH = 8192  # documents at a time


def work(selection: Selection) -> Path:
    """Where documents lie on their way in."""
    return selection.run.folder.path("index") / "work"


def arrived(selection: Selection) -> None:
    """Remove what lay there: it is in the index."""
    remove(work(selection))


def measured(selection: Selection) -> Iterator[Batch]:
    """Yield the run's documents with the vectors that were measured, in the run's order and without fields."""
    catalogue, vectors = selection.run.catalogue, selection.document_vectors
    ids, texts = catalogue.ids, catalogue.texts
    for first in range(0, len(ids), _BATCH):
        part = slice(first, first + _BATCH)
        yield Batch(ids[part], texts[part], np.asarray(vectors[part]), [{} for _ in ids[part]])


def counted(batches: Iterator[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """Yield the batches; `advance` is called with the number of a batch's documents when they were taken in."""
    for batch in batches:
        yield batch
        advance(len(batch.ids))


def encoded(selection: Selection, source: Path, columns: Columns, reporter: Reporter) -> tuple[int, Iterator[Batch]]:
    """A file's documents encoded: how many rows, and their batches. A killed encoding goes on where it stood."""
    from nestvec.encoding.encode_file import encode

    place = work(selection)
    place.mkdir(parents=True, exist_ok=True)
    documents, vectors = place / "documents.parquet", place / "vectors.parquet"
    rows = _staged(documents, source, columns)
    done = {"documents": sha256(documents), "model": selection.model.sha256}
    if not ((place / "done.json").is_file() and vectors.is_file() and read_json(place / "done.json") == done):
        encode(
            str(selection.model.path),
            str(documents),
            vectors,
            column="text",
            id_column="id",
            precision="float32",
            backend="torch",  # and in float32, as what was measured
            compute="float32",
            reporter=reporter,
        )
        write_json(place / "done.json", done)
    return rows, _staged_batches(documents, vectors)


def _staged(path: Path, source: Path, columns: Columns) -> int:
    """Write a file's documents as ids, texts and fields in JSON; how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds, rows = pa.schema([(name, pa.string()) for name in ("id", "text", "fields")]), 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, kinds) as writer:
        for part in read_documents(source, columns.document, columns.document_id, columns.fields):
            fields = [json.dumps(entries, ensure_ascii=False) for entries in part.fields]
            writer.write_batch(pa.record_batch([part.ids, part.texts, fields], schema=kinds))
            rows += len(part.ids)
    return rows


def _staged_batches(documents: Path, vectors: Path) -> Iterator[Batch]:
    """Batches of both files, row by row together."""
    import pyarrow.parquet as pq

    from nestvec.encoding.embeddings_file import read_encoded

    coded = read_encoded(vectors)
    with pq.ParquetFile(documents) as told:
        for part, (_, codes) in zip(told.iter_batches(_BATCH), coded.batches(_BATCH), strict=True):
            ids, texts, fields = (part.column(name).to_pylist() for name in ("id", "text", "fields"))
            yield Batch(ids, texts, coded.codec.decode(codes), [json.loads(entries) for entries in fields])
