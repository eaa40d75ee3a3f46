"""Writes and reads the output of `nestvec encode`: a Parquet file with the id and the embedding of every text.

An embedding is stored at the chosen precision. The file's metadata holds the codec, which turns the stored numbers back
into float32 vectors, and says which model and settings made the embeddings.
"""

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
    """An output file of `nestvec encode`; its ids and embeddings are read from disk only when they are needed."""

    path: Path
    about: dict[str, Any]  # origin: model_sha256, dimension, precision, encoder, rows, texts and so on
    codec: Codec  # decodes the codes

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the encoded texts, in the order of the input file."""
        import pyarrow.parquet as pq

        ids: list[str] = pq.read_table(self.path, columns=["id"])["id"].to_pylist()
        return ids

    def codes(self) -> NDArray[np.generic]:
        """Read all embeddings as they are stored, undecoded: one row for each text, in the order of the input file."""
        parts = list(self.batches())
        return np.concatenate([codes for _, codes in parts]) if parts else np.empty((0, 0))

    def vectors(self) -> NDArray[np.float32]:
        """Read all embeddings and decode them to float32: one row for each text, in the order of the input file."""
        return self.codec.decode(self.codes())

    def batches(self, rows: int = 50_000) -> Iterator[tuple[list[str], NDArray[np.generic]]]:
        """Yield ids and undecoded embeddings, at most `rows` at a time, for a file that does not fit into memory.

        Raises InputError if an embedding holds NaN or infinity.
        """
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=rows, columns=["id", "embedding"]):
                codes = _decode_column(batch.column("embedding"))
                if np.issubdtype(codes.dtype, np.floating) and not np.isfinite(codes).all():
                    raise InputError("is damaged: an embedding holds NaN or infinity", _EXPECTED, file=self.path)
                yield batch.column("id").to_pylist(), codes


def read_encoded(path: Path) -> Embeddings:
    """Open a file that `nestvec encode` wrote.

    Raises InputError if the file is missing, damaged, not an output of `nestvec encode`, or written by a newer nestvec.
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
        problem = "has no metadata of `nestvec encode`, so it does not say how its vectors were made"
        raise InputError(problem, _EXPECTED, file=path)
    if about.get("schema") != SCHEMA:
        raise InputError(f"has schema {about.get('schema')!r}", f"schema {SCHEMA}: encode the texts again", file=path)
    codec = _load_codec(path, about.pop("codec"))
    _require_columns(path, schema, codec, str(about.get("precision")))
    return Embeddings(path, about, codec)


def write_output(work: WorkFolder, shards: list[Shard], out: Path, about: dict[str, Any]) -> int:
    """Write the output file from a job's finished shards, in the input's order; returns the number of distinct texts.

    The embeddings are put in order in a temporary file, so that memory holds only one shard or one row group. The JSON
    values `about`, which describe how the embeddings were made, go into the output's metadata. An existing output file
    is replaced when the new one is complete. Raises InputError if a shard is damaged, NestvecError if the disk is full.
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
    """Return all shards' embeddings in the input's order, memory-mapped, and the number of distinct texts."""
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
    """Reserve disk space for a file, so that a full disk is an error now and no crash when mapped memory is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for first in range(0, size, 1 << 20):
        os.write(file, bytes(min(1 << 20, size - first)))


def column_type(precision: str, width: int) -> pa.DataType:
    """Return the Parquet type of the embedding column: a list of numbers, or bytes for int4, int2 and binary.

    Raises TypeError for a precision that is not in `_NUMBERS`.
    """
    if precision not in _NUMBERS:
        problem = f"the output file has no column type for {precision}"
        raise TypeError(f"{problem}; add {precision} to _NUMBERS in encoding/embeddings_file.py")
    numbers = _NUMBERS[precision]
    return pa.list_(pa.field("item", numbers, False), width * 8 // numbers.bit_width) if numbers else pa.binary(width)


def _encode_column(codes: NDArray[np.uint8], kind: pa.DataType) -> pa.Array:
    """Convert embeddings, given as one row of bytes for each text, to an Arrow array of the embedding column's type."""
    flat = np.ascontiguousarray(codes).reshape(-1)
    if pa.types.is_fixed_size_binary(kind):
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(codes), [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.view(kind.value_type.to_pandas_dtype())), type=kind)


def _decode_column(column: pa.Array) -> NDArray[np.generic]:
    """Convert the embedding column to an array with one embedding, undecoded, in each row."""
    if pa.types.is_fixed_size_list(column.type):
        numbers: NDArray[np.generic] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        return numbers
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)[column.offset * width :][: len(column) * width]
    return data.reshape(len(column), width)


def _require_columns(path: Path, schema: pa.Schema, codec: Codec, precision: str) -> None:
    """Raise InputError unless the file has the columns `id` and `embedding`, and the embeddings fit the codec."""
    wanted = column_type(precision, codec.bytes_per_vector) if precision in _NUMBERS else None
    kinds = {"id": pa.string(), "embedding": wanted}
    if sorted(schema.names) != sorted(kinds) or any(
        kind is None or _describe_type(schema.field(name).type) != _describe_type(kind) for name, kind in kinds.items()
    ):
        problem = "is damaged: its columns are not `id` and `embedding`, or do not fit its precision"
        raise InputError(problem, _EXPECTED, file=path)


def _describe_type(kind: pa.DataType) -> tuple[object, ...]:
    """Return the parts of a column type to compare: of a list, the type and number of its items but not their name."""
    return (kind.value_type, kind.list_size) if pa.types.is_fixed_size_list(kind) else (kind,)


def _load_codec(path: Path, stored: object) -> Codec:
    with tempfile.TemporaryDirectory(prefix="nestvec-codec-") as folder:
        file = Path(folder) / "codec.safetensors"
        try:
            file.write_bytes(base64.b64decode(str(stored), validate=True))
            codecs = list(load_codecs(file).values())
        except (ValueError, InputError) as error:
            raise InputError(f"is damaged: its codec cannot be read ({error})", _EXPECTED, file=path) from error
    if len(codecs) != 1:
        raise InputError(f"is damaged: it holds {len(codecs)} codecs, not 1", _EXPECTED, file=path)
    return codecs[0]
