"""Encodes the shards of a file of texts: each distinct text once; a shard is written when it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.files import replacing
from nestvec.models.encoder import open_encoder
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.stored import load_codecs, save_codecs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.encoding.model_and_codec import ModelAndCodec
    from nestvec.encoding.work_folder import Shard, WorkFolder
    from nestvec.models.base_encoder import Encoder
    from nestvec.models.prompts import Prompts, Role
    from nestvec.point import VectorFormat
    from nestvec.vectors.codecs import Codec

PIECE = 20_000  # texts whose vectors are in memory at once: 31 MB at 384 dimensions


@dataclass(frozen=True)
class ShardEncoder:
    """Encodes shards of texts with one loaded model."""

    work: WorkFolder
    encoder: Encoder
    role: Role  # what the texts are
    codec: Codec

    def encode(self, shard: Shard, advance: Callable[[int], None] = lambda _: None) -> None:
        """Encode a shard and write it; `advance` is called with the number of rows done since the last call.

        Raises InputError if the model returns NaN or infinity, and NestvecError if the disk is full.
        """
        members = self.work.load_distinct(shard)
        advance(len(members.rows) - len(members.texts))
        codes = [
            self._encode_piece(members.texts[first : first + PIECE], advance)
            for first in range(0, len(members.texts), PIECE)
        ]
        self.work.save_shard(shard, members, np.concatenate(codes))

    def _encode_piece(self, texts: Sequence[str], advance: Callable[[int], None]) -> NDArray[np.generic]:
        vectors = self.encoder.encode(texts, self.role, advance)
        return self.codec.encode(vectors if self.codec.axes is None else self.codec.cut(vectors))


@dataclass(frozen=True)
class ShardRecipe:
    """What another process needs to encode shards; that process must see both folders under the same paths."""

    work: WorkFolder
    folder: Path  # the model's folder
    width: int  # dimension of the model's own output
    format: VectorFormat
    backend: str  # `auto`, `torch`, `onnx` or `openvino`
    compute: str  # `auto`, `float32` or `bfloat16`
    role: Role  # what the texts are
    prompts: Prompts
    encoder: str  # name of the encoder with which the job began; the other process must use the same

    def open(self) -> ShardEncoder:
        """Load model and codec; raises InputError if this machine would use another backend or number format."""
        encoder = open_encoder(self.folder, self.width, self.backend, self.compute, self.prompts)
        if encoder.name != self.encoder:
            wanted = f"{self.encoder} on every machine: set --backend and --compute to what all machines support"
            raise InputError(f"a machine of the cluster would encode with {encoder.name}", wanted)
        return ShardEncoder(self.work, encoder, self.role, load_codecs(self.work.codec)[self.format.name])


def settle_codec(
    work: WorkFolder, target: ModelAndCodec, encoder: Encoder, first: Shard, advance: Callable[[int], None]
) -> Codec:
    """Return the codec of an encoding job, fitted on the first shard if need be, and save it in the work folder.

    A hash assigns each text to a shard, so the first shard is a random sample, and always the same sample. The fit
    computes vectors of up to `PIECE` texts of this shard; if these are all its texts, the shard is written at once.
    `advance` is called with the number of rows done.
    """
    name = target.format.name
    if work.codec.is_file():
        return load_codecs(work.codec)[name]
    if target.codec is not None:
        _save_codec(work, name, target.codec)
        return target.codec
    members = work.load_distinct(first)
    sample = encoder.encode(members.texts[:PIECE], target.role, advance)
    codec = CODECS[target.format.precision](sample)
    _save_codec(work, name, codec)
    if len(sample) == len(members.texts):
        work.save_shard(first, members, codec.encode(sample))
        advance(len(members.rows) - len(sample))
    return codec


def _save_codec(work: WorkFolder, name: str, codec: Codec) -> None:
    with replacing(work.codec) as temporary:
        save_codecs(temporary, {name: codec})
