"""Open judgements wherever they are: the sample, a file, a folder of files, a collection in three parts, or the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.collection import Collection, find_collection, read_collection
from nestvec.data.hub import PREFIX, read_hub
from nestvec.data.readers import READERS, read_file
from nestvec.data.shape_rows import read_shape
from nestvec.data.source import BATCH, Batch, Cells, Rejects, Source, number_rows, read_cells
from nestvec.data.streams import suffix
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.settings import DataSettings

SAMPLE = "sample"


def open_source(settings: DataSettings) -> Source:
    """Open a source of judgements; where its rows hold several documents, as rows of one each.

    Args:
        settings: the source, or the parts of a collection; its columns; which split and revision of the hub's.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: there is no such source, its format is unknown, or it is empty or damaged.
    """
    return read_shape(_open_table(settings), settings)


def _open_table(settings: DataSettings) -> Source:
    if settings.qrels is not None:
        return _open_parts(settings)
    source = settings.source
    if source == SAMPLE:
        return _open_sample()
    if source.startswith(PREFIX):
        return read_hub(source.removeprefix(PREFIX), settings.split, settings.revision)
    path = Path(source)
    if not path.exists():
        wanted = "`sample`, a CSV, TSV, JSONL or Parquet file, a folder of them, or hf:NAME"
        raise InputError("there is no such file", wanted, file=source)
    return _open_folder(path) if path.is_dir() else read_file(path)


def _open_sample() -> Source:
    from nestvec.data.sample import make_sample

    table = make_sample()
    digest = hashlib.sha256()
    for column in table.columns:
        digest.update(json.dumps(column.to_pylist()).encode())

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del rejects  # none are bad
        yield from number_rows(SAMPLE, iter(table.select(columns).to_batches(max_chunksize=BATCH)))

    return Source(SAMPLE, digest.hexdigest(), tuple(table.column_names), read, synthetic=True)


def _open_parts(settings: DataSettings) -> Source:
    """Open a collection whose files are options of their own."""
    if settings.queries is None or settings.corpus is None:
        missing = "--queries" if settings.queries is None else "--corpus"
        raise InputError(f"--qrels is given without {missing}", "all of --queries, --corpus and --qrels")
    return read_collection(Collection(Path(settings.queries), Path(settings.corpus), (Path(str(settings.qrels)),)))


def _open_folder(path: Path) -> Source:
    """Open a collection in BEIR's form, or the shards of one table in the order of their names."""
    collection = find_collection(path)
    if collection is not None:
        return read_collection(collection)
    files = sorted(file for file in path.iterdir() if file.is_file() and suffix(file) in READERS)
    endings = sorted({suffix(file) for file in files})
    if len(endings) != 1:
        content = "files of several formats: " + ", ".join(endings) if files else "no table"
        raise InputError(f"holds {content}", "shards in one of " + ", ".join(READERS), file=path)
    shards = [read_file(file) for file in files]
    for shard in shards[1:]:
        if set(shard.columns) != set(shards[0].columns):
            raise InputError(
                "has the columns " + ", ".join(map(repr, shard.columns)),
                f"those of {files[0].name}: " + ", ".join(map(repr, shards[0].columns)),
                file=shard.name,
            )
    return _join_shards(path, shards, sha256(*files))


def _join_shards(path: Path, shards: list[Source], digest: str) -> Source:
    """The shards of a table, one after the other."""

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for shard in shards:
            yield from shard.read(columns, rejects)

    def cells(columns: list[str], rejects: Rejects) -> Iterator[Cells]:
        for shard in shards:
            yield from read_cells(shard, columns, rejects)

    findings = tuple(finding for shard in shards for finding in shard.findings)
    lists = frozenset[str]().union(*(shard.lists for shard in shards))
    return Source(str(path), digest, shards[0].columns, read, findings, lists=lists, cells=cells)
