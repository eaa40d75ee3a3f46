"""The work folder beside the output: what was begun, the texts in buckets by their hash, and the finished shards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nestvec.errors import InputError
from nestvec.files import full_disk, read_json, remove, replacing, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.encoding.text_file import Rows

SCHEMA = 1
_BUCKETS = 16, 2048  # at least and at most
_BYTES = 16 << 10  # of the input for each bucket, between these
_TEXTS = pa.schema([("row", pa.int64()), ("text", pa.string())])
_IDS = pa.schema([("id", pa.string())])


@dataclass(frozen=True)
class Read:
    """What the input holds.

    Attributes:
        counts: rows in each bucket.
    """

    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """In all."""
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


@dataclass(frozen=True)
class Work:
    """The folder where a bulk encoding keeps what it has done.

    Attributes:
        root: the folder; every process of a cluster sees it under this path.
    """

    root: Path

    @property
    def codec(self) -> Path:
        """What makes the codes."""
        return self.root / "codec.safetensors"

    @property
    def joined(self) -> Path:
        """All codes in the input's order, while the output is written."""
        return self.root / "joined.bin"

    def shard(self, number: int) -> Path:
        """A finished shard."""
        return self.root / "shards" / f"{number:06d}.npz"

    def bucket(self, number: int) -> Path:
        """Rows whose texts hash to it."""
        return self.root / "texts" / f"{number:04d}.arrow"

    @property
    def _settings(self) -> Path:
        """What was begun."""
        return self.root / "settings.json"

    @property
    def _read(self) -> Path:
        """Written when all texts are in their buckets."""
        return self.root / "read.json"

    @property
    def _ids(self) -> Path:
        """The rows' ids in order."""
        return self.root / "ids.arrow"

    def claim(self, settings: dict[str, Any]) -> None:
        """Begin, or go on with what was begun with the same settings.

        Args:
            settings: JSON values that decide over the output's bytes.

        Raises:
            InputError: it was begun with others.
        """
        settings = {"schema": SCHEMA, **settings}
        if self._settings.is_file():
            there = read_json(self._settings)
            there = there if isinstance(there, dict) else {}
            names = [name for name in {**settings, **there} if there.get(name) != settings.get(name)]
            if names:
                shown = "; ".join(f"{name} was {there.get(name)}, now {settings.get(name)}" for name in names)
                wanted = "the same input, model and settings, another --out, or that folder removed"
                raise InputError(f"was begun with other settings: {shown}", wanted, file=self.root)
        else:
            remove(self.root)
            write_json(self._settings, settings)
        for stale in self.root.rglob(".*.tmp"):  # of a process that was killed
            remove(stale)

    def texts_read(self) -> Read | None:
        """What the input holds; None before all of it is in buckets."""
        return Read(tuple(read_json(self._read)["counts"])) if self._read.is_file() else None

    def read(self, rows: Iterable[Rows], size: int) -> Read:
        """Sort the input's rows into buckets by a hash of their texts, so that equal texts meet.

        Args:
            rows: of the input, in order.
            size: bytes of the input, which decide over the number of buckets.

        Returns:
            What it holds.

        Raises:
            NestvecError: the disk is full.
        """
        for stale in (self.root / "texts", self._ids):
            remove(stale)
        (self.root / "texts").mkdir()
        counts = np.zeros(min(max(size // _BYTES, _BUCKETS[0]), _BUCKETS[1]), dtype=np.int64)
        first = 0
        with full_disk(self.root):
            for part in rows:
                _append(self._ids, pa.record_batch([pa.array(part.ids, pa.string())], schema=_IDS))
                counts += self._spread(part.texts, first, len(counts))
                first += len(part.texts)
        write_json(self._read, {"counts": counts.tolist()})
        return Read(tuple(counts.tolist()))

    def _spread(self, texts: list[str], first: int, buckets: int) -> NDArray[np.int64]:
        """Append rows to their buckets; how many came to each."""
        bucket = np.array([_hash(text) % buckets for text in texts], dtype=np.int64)
        order = np.argsort(bucket, kind="stable")
        columns = [pa.array(first + order), pa.array(texts, pa.string()).take(pa.array(order))]
        batch = pa.record_batch(columns, schema=_TEXTS)
        counts = np.bincount(bucket, minlength=buckets)
        ends = np.cumsum(counts)
        for number in np.flatnonzero(counts).tolist():
            _append(self.bucket(number), batch.slice(int(ends[number] - counts[number]), int(counts[number])))
        return counts

    def texts(self, shard: Shard) -> tuple[NDArray[np.int64], list[str]]:
        """A shard's rows, ascending, and their texts."""
        parts = [self.bucket(number) for number in range(*shard.buckets)]
        batches = [batch for path in parts if path.is_file() for batch in _stored(path, _TEXTS)]
        table = pa.Table.from_batches(batches, schema=_TEXTS).sort_by("row")
        return table["row"].to_numpy(), table["text"].to_pylist()

    def distinct(self, shard: Shard) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """A shard's rows (n,), which of its distinct texts each has (n,), and these texts, by first row."""
        rows, texts = self.texts(shard)
        known: dict[str, int] = {}
        place = np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)
        return rows, place, list(known)

    def ids(self) -> Iterator[pa.Array]:
        """All ids in the input's order, in pieces."""
        for batch in _stored(self._ids, _IDS):
            yield batch.column("id")

    def save_shard(self, number: int, rows: NDArray[np.int64], place: NDArray[np.int64], codes: NDArray[Any]) -> None:
        """Write a finished shard.

        Args:
            number: the shard's.
            rows: (n,) of the input.
            place: (n,) which of the codes each row has.
            codes: (u, …) of the distinct texts.
        """
        with replacing(self.shard(number)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rows=rows, place=place, codes=as_bytes(codes))

    def load_shard(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
        """A finished shard: (n,) rows, (n,) places and (u, bytes) codes of the distinct texts."""
        path = self.shard(number)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return stored["rows"], stored["place"], stored["codes"]
        except Exception as error:  # a cut zip file raises this or that
            raise InputError(f"is damaged ({error})", "that folder removed, to begin anew", file=path) from error


def shards_of(read: Read, size: int) -> list[Shard]:
    """Group neighbouring buckets to shards.

    Args:
        read: the buckets.
        size: rows that a shard has at most, unless a single bucket has more.

    Returns:
        Shards that hold every row once.
    """
    found: list[Shard] = []
    first = rows = 0
    for number, count in enumerate((*read.counts, size + 1)):  # the last one closes what is open
        if rows and rows + count > size:
            found.append(Shard(len(found), (first, number), rows))
            first, rows = number, 0
        rows += count
    return found


def as_bytes(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """(n, …) codes as (n, bytes)."""
    whole = np.ascontiguousarray(codes)
    return whole.view(np.uint8).reshape(len(whole), -1) if len(whole) else np.empty((0, 0), dtype=np.uint8)


def _hash(text: str) -> int:
    """A number that only the text decides over, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _append(path: Path, batch: pa.RecordBatch) -> None:
    """Add rows to a file of Arrow messages."""
    with path.open("ab") as stream:
        stream.write(batch.serialize())


def _stored(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """What was appended to a file."""
    with pa.OSFile(str(path)) as stream:
        for message in pa.ipc.MessageReader.open_stream(stream):
            yield pa.ipc.read_record_batch(message, schema)
