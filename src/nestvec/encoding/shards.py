"""Encode shards: distinct texts once, their codes written when all of them are there."""

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

    from nestvec.encoding.model_and_codec import Target
    from nestvec.encoding.work_folder import Shard, Work
    from nestvec.models.encoder import Encoder
    from nestvec.vectors.codecs import Codec

PIECE = 20_000  # texts whose vectors are in memory at once: 31 MB at 384 numbers


@dataclass(frozen=True)
class Shards:
    """What it takes to encode any shard of a job.

    Attributes:
        work: its folder.
        encoder: makes vectors.
        codec: makes codes of them.
    """

    work: Work
    encoder: Encoder
    codec: Codec

    def encode(self, shard: Shard, advance: Callable[[int], None] = lambda _: None) -> None:
        """Encode a shard and write it.

        Args:
            shard: which.
            advance: called with the number of rows done since the last call.

        Raises:
            InputError: the model gives something else than numbers.
            NestvecError: the disk is full.
        """
        rows, place, distinct = self.work.distinct(shard)
        advance(len(rows) - len(distinct))
        parts = [
            self.codec.encode(vectors_of(self.encoder, distinct[first : first + PIECE], advance))
            for first in range(0, len(distinct), PIECE)
        ]
        self.work.save_shard(shard.number, rows, place, np.concatenate(parts))


@dataclass(frozen=True)
class Recipe:
    """What another process needs to encode a job's shards: nothing but paths and words.

    Attributes:
        work: its folder, which that process sees under the same path.
        folder: the model's, likewise.
        name: of the codec in the work folder.
        dimension: of the vectors.
        backend: `auto`, `torch`, `onnx` or `openvino`.
        compute: `auto`, `float32` or `bfloat16`.
        encoder: what it has to come to: the name of the encoder that the job was begun with.
    """

    work: Work
    folder: Path
    name: str
    dimension: int
    backend: str
    compute: str
    encoder: str

    def open(self) -> Shards:
        """Load model and codec.

        Returns:
            What encodes shards.

        Raises:
            InputError: this machine would encode in another way than the one where the job was begun.
        """
        encoder = open_encoder(self.folder, self.dimension, self.backend, self.compute)
        if encoder.name != self.encoder:
            wanted = f"{self.encoder}, or --backend and --compute that every machine has"
            raise InputError(f"a machine of the cluster would encode with {encoder.name}", wanted)
        return Shards(self.work, encoder, load_codecs(self.work.codec)[self.name])


def vectors_of(encoder: Encoder, texts: Sequence[str], advance: Callable[[int], None]) -> NDArray[np.float32]:
    """Encode, and make sure that what comes are numbers.

    Args:
        encoder: makes vectors.
        texts: n texts.
        advance: called with the number of texts done since the last call.

    Returns:
        (n, d) float32.

    Raises:
        InputError: the model gives something else.
    """
    found = encoder.encode(texts, advance)
    wrong = ~np.isfinite(found).all(axis=1)
    if wrong.any():
        shown = texts[int(np.argmax(wrong))][:60]
        raise InputError(f"{encoder.name} gives no finite numbers for {shown!r}", "another --compute or model")
    return found


def settle_codec(
    work: Work, target: Target, encoder: Encoder, first: Shard, advance: Callable[[int], None] = lambda _: None
) -> Codec:
    """The codec of a job: what the target brings, or one fitted on the texts of the first shard; kept in the folder.

    A hash put the texts into shards, so the first is a random sample of them, and always the same one. Its vectors are
    at hand then, so the shard is written too.

    Args:
        work: the job's folder.
        target: what is made.
        encoder: makes vectors.
        first: the first shard.
        advance: called with the number of rows done since the last call.

    Returns:
        The codec.
    """
    name = f"{target.dimension}.{target.precision}"
    if work.codec.is_file():
        return load_codecs(work.codec)[name]
    if target.codec is not None:
        _save(work, name, target.codec)
        return target.codec
    rows, place, distinct = work.distinct(first)
    sample = vectors_of(encoder, distinct[:PIECE], advance)
    codec = CODECS[target.precision](sample)
    _save(work, name, codec)
    if len(sample) == len(distinct):
        work.save_shard(first.number, rows, place, codec.encode(sample))
        advance(len(rows) - len(distinct))
    return codec


def _save(work: Work, name: str, codec: Codec) -> None:
    """Keep a codec in the folder."""
    with replacing(work.codec) as temporary:
        save_codecs(temporary, {name: codec})
