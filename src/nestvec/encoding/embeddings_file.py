"""Writes and reads the output of `nestvec encode`: a Parquet file of ids and vector codes, with their codec."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nestvec.errors import InputError
from nestvec.files import explain_full_disk, replacing
from nestvec.point import VectorFormat
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nestvec.encoding.work_folder import Shard, WorkFolder
    from nestvec.vectors.codecs import Codec

SCHEMA = 1
META = b"nestvec"
_EXPECTED = "a file that `nestvec encode` wrote"
_NUMBERS: dict[str, pa.DataType | None] = {  # column types by precision; None if a code is bytes and not numbers
    "float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8(), "int4": None, "int2": None, "binary": None,
}  # fmt: skip


@dataclass(frozen=True)
class Embeddings:
    """An output of `nestvec encode`; ids and codes are read when they are needed."""

    path: Path
    about: dict[str, Any]  # origin: model_sha256, dimension, precision, encoder, rows, texts and so on
    codec: Codec  # decodes the codes

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the texts, in the order of the input."""
        import pyarrow.parquet as pq

        ids: list[str] = pq.read_table(self.path, columns=["id"])["id"].to_pylist()
        return ids

    def codes(self) -> NDArray[np.generic]:
        """Read the codes of all n vectors, in the order of the input."""
        parts = list(self.batches())
        return np.concatenate([codes for _, codes in parts]) if parts else np.empty((0, 0))

    def vectors(self) -> NDArray[np.float32]:
        """Read and decode all codes; gives (n, d) float32 in the order of the input."""
        return self.codec.decode(self.codes())

    def batches(self, rows: int = 50_000) -> Iterator[tuple[list[str], NDArray[np.generic]]]:
        """Yield ids and their codes in pieces of at most `rows` rows, for a file that does not fit into memory.

        Raises InputError if the codes hold NaN or infinity.
        """
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=rows, columns=["id", "embedding"]):
                codes = _decode_column(batch.column("embedding"))
                if np.issubdtype(codes.dtype, np.floating) and not np.isfinite(codes).all():
                    raise InputError("is damaged: it holds NaN or infinity", _EXPECTED, file=self.path)
                yield batch.column("id").to_pylist(), codes


def read_encoded(path: Path) -> Embeddings:
    """Open a file that `nestvec encode` wrote.

    Raises InputError if the file is missing, damaged, not an output of `nestvec encode`, or a newer nestvec's.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        schema = pq.read_schema(path)
        stored = (schema.metadata or {}).get(META)
        about = json.loads(stored) if stored else None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"cannot be read ({str(error).splitlines()[0]})", _EXPECTED, file=path) from error
    if not isinstance(about, dict) or "codec" not in about:
        raise InputError("does not say how its vectors were made", _EXPECTED, file=path)
    if about.get("schema") != SCHEMA:
        raise InputError(f"has schema {about.get('schema')!r}", f"schema {SCHEMA}: encode the texts again", file=path)
    codec = _load_codec(path, about.pop("codec"))
    _require_columns(path, schema, codec, str(about.get("precision")))
    return Embeddings(path, about, codec)


def write_output(work: WorkFolder, shards: list[Shard], out: Path, about: dict[str, Any]) -> int:
    """Join a job's finished shards in the input's order and write the output; returns the number of distinct texts.

    The codes are sorted in a file, so that only the codes of one shard or one row group are in memory. `about`, JSON
    values that describe how the codes were made, goes into the metadata. An existing output is replaced when the new
    one is complete. Raises InputError if a shard is damaged, and NestvecError if the disk is full.
    """
    import pyarrow.parquet as pq

    stored = VectorFormat(about["dimension"], about["precision"], about.get("axes", False))
    codec = load_codecs(work.codec)[stored.name]
    rows = sum(shard.rows for shard in shards)
    kind = column_type(stored.precision, codec.bytes_per_vector)
    joined, texts = _join_shards(work, shards, (rows, codec.bytes_per_vector))
    packed = base64.b64encode(work.codec.read_bytes()).decode()
    metadata = json.dumps({"schema": SCHEMA, **about, "rows": rows, "texts": texts, "codec": packed})
    columns = [pa.field("id", pa.string(), False), pa.field("embedding", kind, False)]
    schema = pa.schema(columns, {META: metadata.encode()})
    first = 0
    how: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema, **how) as writer:
        for ids in work.load_ids():
            codes = _encode_column(joined[first : first + len(ids)], kind)
            writer.write_batch(pa.record_batch([ids, codes], schema=schema))
            first += len(ids)
    return texts


def _join_shards(work: WorkFolder, shards: list[Shard], shape: tuple[int, int]) -> tuple[NDArray[np.uint8], int]:
    """Put the codes of all shards into the input's order, memory-mapped; also returns the number of distinct texts."""
    with explain_full_disk(work.joined), work.joined.open("wb") as stream:
        _reserve_space(stream.fileno(), shape[0] * shape[1])
    joined = np.memmap(work.joined, dtype=np.uint8, mode="r+", shape=shape)
    texts = 0
    for shard in shards:
        finished = work.load_shard(shard)
        if finished.codes.shape[1:] != shape[1:] or len(finished.rows) != shard.rows:
            found = f"{len(finished.rows)} rows of {finished.codes.shape[-1]} bytes"
            wanted = f"{shard.rows} rows of {shape[1]} bytes: remove {work.root} to begin again"
            raise InputError(f"is damaged: it holds {found}", wanted, file=work.shard_path(shard))
        joined[finished.rows] = finished.codes[finished.text_of_row]
        texts += len(finished.codes)
    return joined, texts


def _reserve_space(file: int, size: int) -> None:
    """Reserve disk space: on a full disk, a later write to mapped memory would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for first in range(0, size, 1 << 20):
        os.write(file, bytes(min(1 << 20, size - first)))


def column_type(precision: str, width: int) -> pa.DataType:
    """Return the type of the embedding column: lists of numbers, or bytes for codes below 8 bits.

    Raises TypeError for a precision that is not in `_NUMBERS`.
    """
    if precision not in _NUMBERS:
        problem = f"the output has no column for {precision}"
        raise TypeError(f"{problem}; add {precision} to _NUMBERS in encoding/embeddings_file.py")
    numbers = _NUMBERS[precision]
    return pa.list_(pa.field("item", numbers, False), width * 8 // numbers.bit_width) if numbers else pa.binary(width)


def _encode_column(codes: NDArray[np.uint8], kind: pa.DataType) -> pa.Array:
    """Convert an array of codes to the type of the Parquet column."""
    flat = np.ascontiguousarray(codes).reshape(-1)
    if pa.types.is_fixed_size_binary(kind):
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(codes), [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.view(kind.value_type.to_pandas_dtype())), type=kind)


def _decode_column(column: pa.Array) -> NDArray[np.generic]:
    """Convert the Parquet column to an array of codes."""
    if pa.types.is_fixed_size_list(column.type):
        numbers: NDArray[np.generic] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        return numbers
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)[column.offset * width :][: len(column) * width]
    return data.reshape(len(column), width)


def _require_columns(path: Path, schema: pa.Schema, codec: Codec, precision: str) -> None:
    """Raise InputError unless a file has a column of ids and a column of codes that fits its codec."""
    wanted = column_type(precision, codec.bytes_per_vector) if precision in _NUMBERS else None
    kinds = {"id": pa.string(), "embedding": wanted}
    if sorted(schema.names) != sorted(kinds) or any(
        kind is None or _describe_type(schema.field(name).type) != _describe_type(kind) for name, kind in kinds.items()
    ):
        raise InputError("is damaged: its columns are not ids and codes", _EXPECTED, file=path)


def _describe_type(kind: pa.DataType) -> tuple[object, ...]:
    """Reduce a column's type to what must be equal; for lists, the name of their items may differ."""
    return (kind.value_type, kind.list_size) if pa.types.is_fixed_size_list(kind) else (kind,)


def _load_codec(path: Path, stored: object) -> Codec:
    with tempfile.TemporaryDirectory(prefix="nestvec-codec-") as folder:
        file = Path(folder) / "codec.safetensors"
        try:
            file.write_bytes(base64.b64decode(str(stored), validate=True))
            codecs = list(load_codecs(file).values())
        except (ValueError, InputError) as error:
            raise InputError(f"is damaged: its codec ({error})", _EXPECTED, file=path) from error
    if len(codecs) != 1:
        raise InputError(f"is damaged: its codec (it holds {len(codecs)} codecs, not 1)", _EXPECTED, file=path)
    return codecs[0]
