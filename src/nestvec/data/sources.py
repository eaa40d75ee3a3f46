"""Open judgements wherever they are: the sample, a file, a folder of files, a collection in three parts, or the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.collection import Collection, find_collection, read_collection
from nestvec.data.hub import PREFIX, read_hub
from nestvec.data.readers import READERS, read_file
from nestvec.data.source import BATCH, Batch, Rejects, Source, number_rows
from nestvec.data.streams import suffix
from nestvec.data.text_form import make_text_form
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.data.text_form import TextForm
    from nestvec.settings import DataSettings

SAMPLE = "sample"


def open_source(settings: DataSettings) -> Source:
    """Open a source of judgements.

    Args:
        settings: the source, or the parts of a collection; and which split and revision of the hub's.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: there is no such source, its format is unknown, or it is empty or damaged.
    """
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
    form = make_text_form(settings)
    return _open_folder(path, form) if path.is_dir() else read_file(path, form)


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
    parts = Collection(Path(settings.queries), Path(settings.corpus), (Path(str(settings.qrels)),))
    return read_collection(parts, make_text_form(settings))


def _open_folder(path: Path, form: TextForm) -> Source:
    """Open a collection in BEIR's form, or the shards of one table in the order of their names."""
    collection = find_collection(path)
    if collection is not None:
        return read_collection(collection, form)
    files = sorted(file for file in path.iterdir() if file.is_file() and suffix(file) in READERS)
    endings = sorted({suffix(file) for file in files})
    if len(endings) != 1:
        content = "files of several formats: " + ", ".join(endings) if files else "no table"
        raise InputError(f"holds {content}", "shards in one of " + ", ".join(READERS), file=path)
    shards = [read_file(file, form) for file in files]
    for shard in shards[1:]:
        if set(shard.columns) != set(shards[0].columns):
            raise InputError(
                "has the columns " + ", ".join(map(repr, shard.columns)),
                f"those of {files[0].name}: " + ", ".join(map(repr, shards[0].columns)),
                file=shard.name,
            )

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for shard in shards:
            yield from shard.read(columns, rejects)

    findings = tuple(finding for shard in shards for finding in shard.findings)
    return Source(
        str(path),
        sha256(*files),
        shards[0].columns,
        read,
        findings,
        decimal_comma=all(shard.decimal_comma for shard in shards),
        headerless=any(shard.headerless for shard in shards),
    )
