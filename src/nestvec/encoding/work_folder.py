"""The work folder beside the output: what was begun, the texts in buckets by their hash, and the finished shards."""

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
_BUCKETS = 16, 2048  # at least and at most
_BYTES = 16 << 10  # of the input for each bucket, between these
_TEXTS = pa.schema([("row", pa.int64()), ("text", pa.string())])
_IDS = pa.schema([("id", pa.string())])
FILES = "model_files_sha256"  # setting: a hash of all files that decide the model's vectors
_SETTINGS_FILE = "settings.json"  # what the work was begun with
_COUNTS_FILE = "read.json"  # the rows of each bucket; written when all texts are in their buckets
_IDS_FILE = "ids.arrow"  # the rows' ids in order


@dataclass(frozen=True)
class Shard:
    """Buckets that are encoded together."""

    number: int  # from 0
    buckets: tuple[int, int]  # the first, and the one after the last
    rows: int  # how many they hold


class ShardTexts(NamedTuple):
    """A shard's n rows and its u distinct texts."""

    rows: NDArray[np.int64]  # (n,) of the input
    text_of_row: NDArray[np.int64]  # (n,) which of the distinct texts a row has
    texts: list[str]  # u


class ShardCodes(NamedTuple):
    """A finished shard: its n rows and the codes of its u distinct texts."""

    rows: NDArray[np.int64]  # (n,) of the input
    text_of_row: NDArray[np.int64]  # (n,) which of the codes a row has
    codes: NDArray[np.uint8]  # (u, bytes)


@dataclass(frozen=True)
class WorkFolder:
    """The folder where a bulk encoding keeps what it has done."""

    root: Path  # every process of a cluster sees the folder under this path

    @property
    def codec(self) -> Path:
        """The file of the codec."""
        return self.root / "codec.safetensors"

    @property
    def joined(self) -> Path:
        """All codes in the input's order, while the output is written."""
        return self.root / "joined.bin"

    def has_shard(self, shard: Shard) -> bool:
        """Whether a shard is finished."""
        return self.shard_path(shard).is_file()

    def shard_path(self, shard: Shard) -> Path:
        """Where a finished shard is."""
        return self.root / "shards" / f"{shard.number:06d}.npz"

    def _bucket_path(self, number: int) -> Path:
        return self.root / "texts" / f"{number:04d}.arrow"

    def claim(self, settings: dict[str, Any]) -> None:
        """Begin the work, or go on with work that was begun with the same settings.

        The settings are the JSON values that decide over the output's bytes. Raises InputError where the work was begun
        with other ones; work that ended before the whole input was read holds nothing, and begins anew.
        """
        settings, path = {"schema": SCHEMA, **settings}, self.root / _SETTINGS_FILE
        if path.is_file() and self.load_counts() is not None:
            begun = read_json(path)
            begun = begun if isinstance(begun, dict) else {}
            begun = {FILES: settings.get(FILES), **begun}  # work that an earlier nestvec began does not say it
            names = [name for name in {**settings, **begun} if begun.get(name) != settings.get(name)]
            if names:
                shown = "; ".join(f"{name} was {begun.get(name)}, now {settings.get(name)}" for name in names)
                wanted = "the same input, model and settings, another --out, or that folder removed"
                raise InputError(f"was begun with other settings: {shown}", wanted, file=self.root)
        else:
            remove(self.root)
            write_json(path, settings)

    def load_counts(self) -> list[int] | None:
        """Rows of each bucket; None before the whole input is in buckets."""
        path = self.root / _COUNTS_FILE
        return list(read_json(path)["counts"]) if path.is_file() else None

    @property
    def rejected(self) -> Path:
        """The rows that were set aside, if there are any."""
        return self.root / "rejected.parquet"

    def save_rejected(self, rows: Sequence[Rejected]) -> None:
        """Keep the rows that were set aside."""
        remove(self.rejected)
        if rows:
            with replacing(self.rejected) as temporary:
                save_rejected(rows, temporary)

    def sort_into_buckets(self, batches: Iterable[TextBatch], size: int) -> list[int]:
        """Sort the input's rows into buckets by a hash of their texts, so that equal texts meet.

        The input's size in bytes decides over the number of buckets. Returns the rows of each bucket; raises
        NestvecError where the disk is full.
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
        """Append rows to their buckets; how many came to each."""
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
        """A shard's rows, ascending, and its distinct texts in the order of their first rows."""
        paths = [self._bucket_path(number) for number in range(*shard.buckets)]
        batches = [batch for path in paths if path.is_file() for batch in _read_batches(path, _TEXTS)]
        table = pa.Table.from_batches(batches, schema=_TEXTS).sort_by("row")
        numbers: dict[str, int] = {}
        text_of_row = [numbers.setdefault(text, len(numbers)) for text in table["text"].to_pylist()]
        return ShardTexts(table["row"].to_numpy(), np.array(text_of_row, dtype=np.int64), list(numbers))

    def load_ids(self) -> Iterator[pa.Array]:
        """All ids in the input's order, in pieces."""
        for batch in _read_batches(self.root / _IDS_FILE, _IDS):
            yield batch.column("id")

    def save_shard(self, shard: Shard, members: ShardTexts, codes: NDArray[Any]) -> None:
        """Write a finished shard: its n rows, and the (u, …) codes of its u distinct texts."""
        flat = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        with replacing(self.shard_path(shard)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rows=members.rows, place=members.text_of_row, codes=flat)

    def load_shard(self, shard: Shard) -> ShardCodes:
        """Read a finished shard; raises InputError where its file is damaged."""
        path = self.shard_path(shard)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return ShardCodes(stored["rows"], stored["place"], stored["codes"])
        except Exception as error:  # a cut zip file raises this or that
            raise InputError(f"is damaged ({error})", "that folder removed, to begin anew", file=path) from error


def group_shards(counts: list[int], size: int) -> list[Shard]:
    """Group neighbouring buckets to shards of at most `size` rows, unless a single bucket has more.

    The counts are the rows of each bucket. The shards hold every row once.
    """
    shards: list[Shard] = []
    first = rows = 0
    for number, count in enumerate((*counts, size + 1)):  # the added one closes the last shard
        if rows and rows + count > size:
            shards.append(Shard(len(shards), (first, number), rows))
            first, rows = number, 0
        rows += count
    return shards


def _hash_text(text: str) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _append_batch(path: Path, batch: pa.RecordBatch) -> None:
    with path.open("ab") as stream:
        stream.write(batch.serialize())


def _read_batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read a file of Arrow messages as `_append_batch` writes it."""
    with pa.OSFile(str(path)) as stream:
        for message in pa.ipc.MessageReader.open_stream(stream):
            yield pa.ipc.read_record_batch(message, schema)
