"""The work folder beside the output: what was begun, the texts in buckets by their hash, and the finished shards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from nestvec.errors import InputError
from nestvec.files import explain_full_disk, read_json, remove, replacing, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.encoding.text_file import TextBatch

SCHEMA = 1
_BUCKETS = 16, 2048  # at least and at most
_BYTES = 16 << 10  # of the input for each bucket, between these
_TEXTS = pa.schema([("row", pa.int64()), ("text", pa.string())])
_IDS = pa.schema([("id", pa.string())])


@dataclass(frozen=True)
class BucketCounts:
    """How many rows of the input are in which bucket.

    Attributes:
        counts: rows in each bucket.
    """

    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """In all buckets."""
        return sum(self.counts)


@dataclass(frozen=True)
class Shard:
    """Buckets that are encoded together.

    Attributes:
        number: from 0.
        buckets: the first, and the one after the last.
        rows: how many they hold.
    """

    number: int
    buckets: tuple[int, int]
    rows: int


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
    """The folder where a bulk encoding keeps what it has done.

    Attributes:
        root: the folder; every process of a cluster sees it under this path.
    """

    root: Path

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
        """Where the rows are whose texts hash to a bucket."""
        return self.root / "texts" / f"{number:04d}.arrow"

    @property
    def _settings(self) -> Path:
        """The settings that the work was begun with."""
        return self.root / "settings.json"

    @property
    def _counts(self) -> Path:
        """Written when all texts are in their buckets."""
        return self.root / "read.json"

    @property
    def _ids(self) -> Path:
        """The rows' ids in order."""
        return self.root / "ids.arrow"

    def claim(self, settings: dict[str, Any]) -> None:
        """Begin the work, or go on with work that was begun with the same settings.

        Args:
            settings: JSON values that decide over the output's bytes.

        Raises:
            InputError: the work was begun with other settings.
        """
        settings = {"schema": SCHEMA, **settings}
        if self._settings.is_file():
            begun = read_json(self._settings)
            begun = begun if isinstance(begun, dict) else {}
            names = [name for name in {**settings, **begun} if begun.get(name) != settings.get(name)]
            if names:
                shown = "; ".join(f"{name} was {begun.get(name)}, now {settings.get(name)}" for name in names)
                wanted = "the same input, model and settings, another --out, or that folder removed"
                raise InputError(f"was begun with other settings: {shown}", wanted, file=self.root)
        else:
            remove(self.root)
            write_json(self._settings, settings)
        for stale in self.root.rglob(".*.tmp"):  # of a process that was killed
            remove(stale)

    def load_counts(self) -> BucketCounts | None:
        """Rows of each bucket; None before the whole input is in buckets."""
        return BucketCounts(tuple(read_json(self._counts)["counts"])) if self._counts.is_file() else None

    def sort_into_buckets(self, batches: Iterable[TextBatch], size: int) -> BucketCounts:
        """Sort the input's rows into buckets by a hash of their texts, so that equal texts meet.

        Args:
            batches: the input's rows, in order.
            size: bytes of the input, which decide over the number of buckets.

        Returns:
            How many rows came to each bucket.

        Raises:
            NestvecError: the disk is full.
        """
        for stale in (self.root / "texts", self._ids):
            remove(stale)
        (self.root / "texts").mkdir()
        counts = np.zeros(min(max(size // _BYTES, _BUCKETS[0]), _BUCKETS[1]), dtype=np.int64)
        first = 0
        with explain_full_disk(self.root):
            for batch in batches:
                _append_batch(self._ids, pa.record_batch([pa.array(batch.ids, pa.string())], schema=_IDS))
                counts += self._append_to_buckets(batch.texts, first, len(counts))
                first += len(batch.texts)
        write_json(self._counts, {"counts": counts.tolist()})
        return BucketCounts(tuple(counts.tolist()))

    def _append_to_buckets(self, texts: list[str], first: int, buckets: int) -> NDArray[np.int64]:
        """Append rows to their buckets; how many came to each."""
        bucket = np.array([_hash_text(text) % buckets for text in texts], dtype=np.int64)
        order = np.argsort(bucket, kind="stable")
        columns = [pa.array(first + order), pa.array(texts, pa.string()).take(pa.array(order))]
        batch = pa.record_batch(columns, schema=_TEXTS)
        counts = np.bincount(bucket, minlength=buckets)
        ends = np.cumsum(counts)
        for number in np.flatnonzero(counts).tolist():
            _append_batch(
                self._bucket_path(number), batch.slice(int(ends[number] - counts[number]), int(counts[number]))
            )
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
        for batch in _read_batches(self._ids, _IDS):
            yield batch.column("id")

    def save_shard(self, shard: Shard, members: ShardTexts, codes: NDArray[Any]) -> None:
        """Write a finished shard.

        Args:
            shard: which.
            members: its n rows and u distinct texts.
            codes: (u, …) of the distinct texts.
        """
        with replacing(self.shard_path(shard)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rows=members.rows, place=members.text_of_row, codes=as_bytes(codes))

    def load_shard(self, shard: Shard) -> ShardCodes:
        """Read a finished shard."""
        path = self.shard_path(shard)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return ShardCodes(stored["rows"], stored["place"], stored["codes"])
        except Exception as error:  # a cut zip file raises this or that
            raise InputError(f"is damaged ({error})", "that folder removed, to begin anew", file=path) from error


def group_shards(buckets: BucketCounts, size: int) -> list[Shard]:
    """Group neighbouring buckets to shards.

    Args:
        buckets: how many rows are in each.
        size: rows that a shard has at most, unless a single bucket has more.

    Returns:
        Shards that hold every row once.
    """
    shards: list[Shard] = []
    first = rows = 0
    for number, count in enumerate((*buckets.counts, size + 1)):  # the added one closes the last shard
        if rows and rows + count > size:
            shards.append(Shard(len(shards), (first, number), rows))
            first, rows = number, 0
        rows += count
    return shards


def as_bytes(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """(n, …) codes as (n, bytes)."""
    whole = np.ascontiguousarray(codes)
    return whole.view(np.uint8).reshape(len(whole), -1) if len(whole) else np.empty((0, 0), dtype=np.uint8)


def _hash_text(text: str) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _append_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Add rows to a file of Arrow messages."""
    with path.open("ab") as stream:
        stream.write(batch.serialize())


def _read_batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows of a file of Arrow messages."""
    with pa.OSFile(str(path)) as stream:
        for message in pa.ipc.MessageReader.open_stream(stream):
            yield pa.ipc.read_record_batch(message, schema)
