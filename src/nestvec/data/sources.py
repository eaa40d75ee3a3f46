"""Opens a source of judgements: the sample, a file, a folder, a collection in three parts, or a data set of the hub."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.collection import find_collection, read_collection
from nestvec.data.find_tables import Tables, find_tables
from nestvec.data.hub import PREFIX, read_hub
from nestvec.data.join_tables import join_tables
from nestvec.data.limits import BATCH
from nestvec.data.open_parts import open_parts
from nestvec.data.readers import READERS, read_file
from nestvec.data.shape_rows import read_shape
from nestvec.data.source import Batch, Cells, Finding, Rejects, Source, join_limits, number_rows, read_cells
from nestvec.data.streams import suffix
from nestvec.data.text_form import make_text_form
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.settings import DataSettings

SAMPLE = "sample"


def open_source(settings: DataSettings) -> Source:
    """Open a source of judgements; rows with several documents become one row per document.

    Args:
        settings: the source or the parts of a collection, the columns, and the hub's split and revision.

    Returns:
        The table, opened but not read.

    Raises:
        InputError: there is no such source, its format is unknown, it is empty or damaged, or a setting does not apply
            to this kind of source.
    """
    _refuse_unread(settings)
    return read_shape(_open_table(settings), settings)


def _open_table(settings: DataSettings) -> Source:
    if settings.qrels is not None:
        return open_parts(settings)
    source = settings.source
    if source == SAMPLE:
        return _open_sample()
    if source.startswith(PREFIX):
        return read_hub(source.removeprefix(PREFIX), settings.split, settings.revision)
    path = Path(source)
    if not path.exists():
        wanted = "`sample`, a CSV, TSV, JSONL or Parquet file, a folder of them, or hf:NAME"
        raise InputError("there is no such file", wanted, file=source)
    return _open_folder(path, settings) if path.is_dir() else read_file(path, make_text_form(settings))


def _refuse_unread(settings: DataSettings) -> None:
    """Raise InputError for settings that do not apply to the given kind of source."""
    if settings.qrels is None:
        for name in ("queries", "corpus"):
            if (given := getattr(settings, name)) is not None:
                wanted = "--qrels with the file of judgements, too"
                raise InputError(f"--{name} {given} is given without --qrels", wanted)
    elif settings.source not in ("", SAMPLE):  # the sample is what stands where no source is given
        problem = f"--qrels is given together with the source {settings.source}"
        raise InputError(problem, "either a source or --qrels, not both", file=settings.qrels)
    if settings.qrels is not None or not settings.source.startswith(PREFIX):
        for name in ("split", "revision"):
            if (given := getattr(settings, name)) is not None:
                problem = f"--{name} {given} is given, but the source is not hf:NAME"
                wanted = f"--{name} to be left out, or a Hugging Face data set (hf:NAME) as the source"
                raise InputError(problem, wanted)


def _open_sample() -> Source:
    from nestvec.data.sample import read_sample

    table = read_sample()
    digest = hashlib.sha256()
    for column in table.columns:
        digest.update(json.dumps(column.to_pylist()).encode())

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del rejects  # none are bad
        yield from number_rows(SAMPLE, iter(table.select(columns).to_batches(max_chunksize=BATCH)))

    return Source(SAMPLE, digest.hexdigest(), tuple(table.column_names), read, synthetic=True)


def _open_folder(path: Path, settings: DataSettings) -> Source:
    """Open a folder: a collection in BEIR's form, one table in several files, or tables to be joined by id."""
    form, collection = make_text_form(settings), find_collection(path)
    if collection is not None:
        return read_collection(collection, form)
    files = sorted(file for file in path.iterdir() if file.is_file() and suffix(file) in READERS)
    if not files:
        raise InputError("holds no table", "at least one file ending in " + ", ".join(READERS), file=path)
    shards = [read_file(file, form) for file in files]
    alike: dict[frozenset[str], list[Source]] = {}
    for shard in shards:
        alike.setdefault(_name_fields(shard), []).append(shard)
    parts = [_join_shards(path, group, "") if len(group) > 1 else group[0] for group in alike.values()]
    endings = sorted({suffix(file) for file in files})
    if len(parts) > 1 and (tables := find_tables(parts, settings)) is not None:
        return _leave_out(parts, join_tables(tables, settings, str(path), sha256(*files)), tables)
    if len(endings) != 1:
        content = "files of several formats: " + ", ".join(endings)
        raise InputError(f"holds {content}", "shards in one of " + ", ".join(READERS), file=path)
    if len(parts) > 1:
        raise InputError(
            "has the columns " + ", ".join(map(repr, parts[1].columns)),
            f"those of {files[0].name}: " + ", ".join(map(repr, shards[0].columns)),
            file=parts[1].name,
        )
    return _join_shards(path, shards, sha256(*files))


def _name_fields(shard: Source) -> frozenset[str]:
    """Return the column names that all files of a table must share; of nested JSON fields, the outer name."""
    if suffix(Path(shard.name)) == ".jsonl":
        return frozenset(name.partition(".")[0] for name in shard.columns)
    return frozenset(shard.columns)


def _leave_out(parts: list[Source], joined: Source, tables: Tables) -> Source:
    """Add a finding to the joined source that names the files which were not read."""
    others = [Path(part.name).name for part in parts if part not in (tables.judgements, *tables.texts)]
    action = f"They hold neither judgements nor texts of queries or documents; {', '.join(others)}."
    finding = Finding("files that were not read", len(others), action)
    return replace(joined, findings=(*joined.findings, finding)) if others else joined


def _join_shards(path: Path, shards: list[Source], digest: str) -> Source:
    """Join the shards of a table, one after the other, into one source."""

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        for shard in shards:
            yield from shard.read(columns, rejects)

    def cells(columns: list[str], rejects: Rejects) -> Iterator[Cells]:
        for shard in shards:
            yield from read_cells(shard, columns, rejects)

    findings = tuple(finding for shard in shards for finding in shard.findings)
    lists = frozenset[str]().union(*(shard.lists for shard in shards))
    return Source(
        str(path),
        digest,
        tuple(dict.fromkeys(name for shard in shards for name in shard.columns)),
        read,
        findings,
        decimal_comma=all(shard.decimal_comma for shard in shards),
        headerless=any(shard.headerless for shard in shards),
        lists=lists,
        cells=cells,
        limit=join_limits(shards),
    )
