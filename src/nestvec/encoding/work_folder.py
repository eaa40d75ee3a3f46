"""The folder in which `nestvec encode` keeps unfinished work: settings, texts, and the shards that are encoded.

The texts lie in files called buckets; a text's hash decides its bucket. A shard is a group of neighbouring buckets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from nestvec.data.records import save_rejected
from nestvec.errors import InputError
from nestvec.files import explain_full_disk, read_json, remove, replacing, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.data.source import Rejected
    from nestvec.encoding.text_file import TextBatch

SCHEMA = 1
_BUCKETS = 16, 2048  # least and greatest number of buckets
_BYTES = 16 << 10  # bytes of input per bucket, within these limits
_TEXTS = pa.schema([("row", pa.int64()), ("text", pa.string())])
_IDS = pa.schema([("id", pa.string())])
FILES = "model_files_sha256"  # name of the setting with a hash of all files that decide the model's vectors
_SETTINGS_FILE = "settings.json"  # the settings with which the job began
_COUNTS_FILE = "read.json"  # number of rows in each bucket; written when all texts are in their buckets
_IDS_FILE = "ids.arrow"  # the ids in the input's order


@dataclass(frozen=True)
class Shard:
    """Texts that are encoded and saved together: those of some neighbouring buckets, which are files of texts."""

    number: int  # counted from 0
    buckets: tuple[int, int]  # number of the first bucket, and of the one after the last
    rows: int  # number of rows in these buckets


class ShardTexts(NamedTuple):
    """The n rows of a shard before it is encoded, and their u distinct texts."""

    rows: NDArray[np.int64]  # (n,) row numbers in the input
    text_of_row: NDArray[np.int64]  # (n,) index of each row's text in `texts`
    texts: list[str]  # u distinct texts


class ShardCodes(NamedTuple):
    """The n rows of an encoded shard, and the quantised vectors (codes) of their u distinct texts."""

    rows: NDArray[np.int64]  # (n,) row numbers in the input
    text_of_row: NDArray[np.int64]  # (n,) index of each row's code in `codes`
    codes: NDArray[np.uint8]  # (u, bytes)


@dataclass(frozen=True)
class WorkFolder:
    """The folder where `nestvec encode` keeps finished work until the output file is complete."""

    root: Path  # must be the same on every machine of a cluster

    @property
    def codec(self) -> Path:
        """Path of the file with the codec that quantises the vectors."""
        return self.root / "codec.safetensors"

    @property
    def joined(self) -> Path:
        """Path of a file with all quantised vectors in the input's order; exists only while the output is written."""
        return self.root / "joined.bin"

    def has_shard(self, shard: Shard) -> bool:
        """Whether the file of this shard's encoded texts exists."""
        return self.shard_path(shard).is_file()

    def shard_path(self, shard: Shard) -> Path:
        """Return the path of the file for this shard's encoded texts."""
        return self.root / "shards" / f"{shard.number:06d}.npz"

    def _bucket_path(self, number: int) -> Path:
        return self.root / "texts" / f"{number:04d}.arrow"

    def claim(self, settings: dict[str, Any]) -> None:
        """Begin a job, or resume one with the same settings.

        The settings are the JSON values that decide the output's bytes. Raises InputError if the earlier job had other
        settings. A job that was killed before it had read the whole input starts again.
        """
        settings, path = {"schema": SCHEMA, **settings}, self.root / _SETTINGS_FILE
        if path.is_file() and self.load_counts() is not None:
            begun = read_json(path)
            begun = begun if isinstance(begun, dict) else {}
            begun = {FILES: settings.get(FILES), **begun}  # an earlier nestvec did not record this setting
            names = [name for name in {**settings, **begun} if begun.get(name) != settings.get(name)]
            if names:
                shown = "; ".join(f"{name} was {begun.get(name)}, now {settings.get(name)}" for name in names)
                wanted = "the same input, model and settings; otherwise give another --out, or remove that folder"
                raise InputError(f"was begun with other settings: {shown}", wanted, file=self.root)
        else:
            remove(self.root)
            write_json(path, settings)

    def load_counts(self) -> list[int] | None:
        """Read the number of rows in each bucket; None if the input has not been read to its end yet."""
        path = self.root / _COUNTS_FILE
        return list(read_json(path)["counts"]) if path.is_file() else None

    @property
    def rejected(self) -> Path:
        """Path of the file of bad rows that were set aside; the file exists only if there are any."""
        return self.root / "rejected.parquet"

    def save_rejected(self, rows: Sequence[Rejected]) -> None:
        """Write the file of bad rows that were set aside, or remove an earlier file if there are none."""
        remove(self.rejected)
        if rows:
            with replacing(self.rejected) as temporary:
                save_rejected(rows, temporary)

    def sort_into_buckets(self, batches: Iterable[TextBatch], size: int) -> list[int]:
        """Sort the input's rows into buckets by a hash of their texts, so that equal texts are in the same bucket.

        `size`, the input's size in bytes, decides the number of buckets. Returns the number of rows in each bucket;
        raises NestvecError if the disk is full.
        """
        ids = self.root / _IDS_FILE
        for stale in (self.root / "texts", ids):
            remove(stale)
        (self.root / "texts").mkdir()
        counts = np.zeros(min(max(size // _BYTES, _BUCKETS[0]), _BUCKETS[1]), dtype=np.int64)
        first = 0
        with explain_full_disk(self.root):
            for batch in batches:
                _append_batch(ids, pa.record_batch([pa.array(batch.ids, pa.string())], schema=_IDS))
                counts += self._append_to_buckets(batch.texts, first, len(counts))
                first += len(batch.texts)
        rows: list[int] = counts.tolist()
        write_json(self.root / _COUNTS_FILE, {"counts": rows})
        return rows

    def _append_to_buckets(self, texts: list[str], first: int, buckets: int) -> NDArray[np.int64]:
        """Append each text, with its row number, to its bucket's file; returns how many rows each bucket received."""
        bucket = np.array([_hash_text(text) % buckets for text in texts], dtype=np.int64)
        order = np.argsort(bucket, kind="stable")
        columns = [pa.array(first + order), pa.array(texts, pa.string()).take(pa.array(order))]
        batch = pa.record_batch(columns, schema=_TEXTS)
        counts = np.bincount(bucket, minlength=buckets)
        firsts = np.cumsum(counts) - counts
        for number in np.flatnonzero(counts).tolist():
            _append_batch(self._bucket_path(number), batch.slice(int(firsts[number]), int(counts[number])))
        return counts

    def load_distinct(self, shard: Shard) -> ShardTexts:
        """Read a shard's row numbers, ascending, and its distinct texts, ordered by the first row of each."""
        paths = [self._bucket_path(number) for number in range(*shard.buckets)]
        batches = [batch for path in paths if path.is_file() for batch in _read_batches(path, _TEXTS)]
        table = pa.Table.from_batches(batches, schema=_TEXTS).sort_by("row")
        numbers: dict[str, int] = {}
        text_of_row = [numbers.setdefault(text, len(numbers)) for text in table["text"].to_pylist()]
        return ShardTexts(table["row"].to_numpy(), np.array(text_of_row, dtype=np.int64), list(numbers))

    def load_ids(self) -> Iterator[pa.Array]:
        """Yield the ids of all rows in the input's order, as one Arrow array for each batch that was read."""
        for batch in _read_batches(self.root / _IDS_FILE, _IDS):
            yield batch.column("id")

    def save_shard(self, shard: Shard, members: ShardTexts, codes: NDArray[Any]) -> None:
        """Write an encoded shard: its row numbers, and the code (quantised vector) of each distinct text."""
        flat = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        with replacing(self.shard_path(shard)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rows=members.rows, place=members.text_of_row, codes=flat)

    def load_shard(self, shard: Shard) -> ShardCodes:
        """Read an encoded shard from its file; raises InputError if the file is damaged."""
        path = self.shard_path(shard)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return ShardCodes(stored["rows"], stored["place"], stored["codes"])
        except Exception as error:  # NumPy raises various errors for a damaged zip file
            wanted = f"a finished shard: remove {self.root} to begin again"
            raise InputError(f"is damaged ({error})", wanted, file=path) from error


def group_shards(counts: list[int], size: int) -> list[Shard]:
    """Group neighbouring buckets into shards of at most `size` rows; a larger bucket becomes a shard of its own.

    `counts` holds the number of rows in each bucket. Every row of the input is in exactly one shard.
    """
    shards: list[Shard] = []
    first = rows = 0
    for number, count in enumerate((*counts, size + 1)):  # the extra count closes the last shard
        if rows and rows + count > size:
            shards.append(Shard(len(shards), (first, number), rows))
            first, rows = number, 0
        rows += count
    return shards


def _hash_text(text: str) -> int:
    """Hash a text; unlike Python's `hash`, the result is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _append_batch(path: Path, batch: pa.RecordBatch) -> None:
    with path.open("ab") as stream:
        stream.write(batch.serialize())


def _read_batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the Arrow record batches of a file to which `_append_batch` appended them."""
    with pa.OSFile(str(path)) as stream:
        for message in pa.ipc.MessageReader.open_stream(stream):
            yield pa.ipc.read_record_batch(message, schema)
