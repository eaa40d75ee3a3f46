"""`nestvec encode`: a file of texts to a file of vectors.

One pass sorts the texts by a hash into buckets on disk, so that equal texts meet; neighbouring buckets make a shard;
each shard is encoded and written; last all are joined in the input's order. Killed at any moment, the next call goes
on with the shards that are missing, and the output is the same to the byte: what shares a batch depends on the shard
alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.encoding.shards import Recipe, Shards, settle_codec
from nestvec.encoding.model_and_codec import find_target
from nestvec.encoding.text_file import open_texts
from nestvec.encoding.work_folder import Work, shards_of
from nestvec.encoding.embeddings_file import write_output
from nestvec.errors import InputError
from nestvec.files import remove
from nestvec.models.encoder import open_encoder
from nestvec.progress import Silent

if TYPE_CHECKING:
    from nestvec.encoding.model_and_codec import Target
    from nestvec.encoding.text_file import Texts
    from nestvec.encoding.work_folder import Shard
    from nestvec.models.encoder import Encoder
    from nestvec.progress import Reporter

SHARD = 5000  # texts: a minute of two cores, which is what a kill costs at most
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Encoded:
    """What a bulk encoding made.

    Attributes:
        out: the file.
        rows: of the input.
        texts: distinct ones, which were encoded.
        resumed: rows whose shards an earlier process had finished.
        dimension: of the vectors.
        precision: of their numbers.
        bytes_per_vector: that a row's code takes.
        encoder: what ran and in which numbers.
        codec: where the codec is from.
        seconds: of this call.
    """

    out: Path
    rows: int
    texts: int
    resumed: int
    dimension: int
    precision: str
    bytes_per_vector: int
    encoder: str
    codec: str
    seconds: float


def encode(
    model: str,
    source: str,
    out: Path,
    *,
    column: str | None = None,
    id_column: str | None = None,
    dimension: int | None = None,
    precision: str | None = None,
    system: str | None = None,
    backend: str = "auto",
    compute: str = "auto",
    engine: str = "local",
    shard: int = SHARD,
    reporter: Reporter | None = None,
) -> Encoded:
    """Encode a file of texts, or go on with what an earlier call began.

    Args:
        model: a finished run's folder, an export's, or a sentence-transformers model's folder or name.
        source: CSV, TSV, JSONL, Parquet or .txt; see `texts.open_texts`.
        out: the Parquet file to write; while it is made, `.NAME.work` beside it holds what is finished.
        column: the text's column, several, or a template; None looks for well-known names.
        id_column: the ids' column; None looks for a well-known one, else takes the rows' numbers.
        dimension: of the vectors; None for the run's recommendation, the export's own, or the full width.
        precision: of their numbers; None for the run's recommendation, the export's own, or float32.
        system: of a run; None for its recommendation.
        backend: `auto`, `torch`, `onnx` or `openvino`; see `encoders.encoder.open_encoder`.
        compute: `auto`, `float32` or `bfloat16`.
        engine: `local`, or `ray` for a Ray cluster whose machines share the output's folder.
        shard: texts that are encoded between two saves, at most; from 1.
        reporter: is told of the progress, in rows.

    Returns:
        What was made.

    Raises:
        InputError: input, model or settings are wrong, or the work was begun with others.
        NestvecError: the disk is full; what is finished stays, and the same call goes on.
    """
    began, reporter = time.monotonic(), reporter or Silent()
    if engine not in ENGINES or shard < 1:
        problem = f"--engine is {engine!r}" if engine not in ENGINES else f"--shard is {shard}"
        raise InputError(problem, f"one of {', '.join(ENGINES)}" if engine not in ENGINES else "at least 1")
    target = find_target(model, dimension, precision, system)
    texts = open_texts(Path(source), column, id_column)
    work = _work_of(out, Path(source))
    encoder = open_encoder(target.folder, target.dimension, backend, compute)
    about = _about(target, texts, encoder)
    work.claim({**about, "shard": shard})
    shards = _read(work, texts, Path(source), shard, reporter)
    rows, done = sum(each.rows for each in shards), [each for each in shards if work.shard(each.number).is_file()]
    with reporter.step(f"encode with {encoder.name}", rows) as advance:
        advance(sum(each.rows for each in done))
        codec = settle_codec(work, target, encoder, shards[0], advance)
        left = [each for each in shards if not work.shard(each.number).is_file()]
        if engine == "ray":
            from nestvec.encoding.ray_cluster import encode_on_ray

            name = f"{target.dimension}.{target.precision}"
            recipe = Recipe(work, target.folder.absolute(), name, target.dimension, backend, compute, encoder.name)
            encode_on_ray(recipe, left, advance)
        else:
            for each in left:
                Shards(work, encoder, codec).encode(each, advance)
    with reporter.step("write", 1) as advance:
        distinct = write_output(work, shards, out, about)
        advance(1)
    remove(work.root)
    return Encoded(
        out, rows, distinct, sum(each.rows for each in done), target.dimension, target.precision,
        codec.bytes_per_vector, encoder.name, target.origin, time.monotonic() - began,
    )  # fmt: skip


def _work_of(out: Path, source: Path) -> Work:
    """The work folder of an output."""
    if out.is_dir() or (out.exists() and out.resolve() == source.resolve()):
        problem = "is a folder" if out.is_dir() else "is the input itself"
        raise InputError(problem, "a Parquet file to write", file=out)
    for stale in out.parent.glob(f".{out.name}.*.tmp"):  # of a process that was killed while it wrote
        remove(stale)
    return Work(out.parent.absolute() / f".{out.name}.work")


def _about(target: Target, texts: Texts, encoder: Encoder) -> dict[str, Any]:
    """What decides over the output's bytes; written with it."""
    return {
        "source_sha256": texts.source.sha256,
        "text": texts.template,
        "id": texts.id_column,
        "model_sha256": target.sha256,
        "dimension": target.dimension,
        "precision": target.precision,
        "codec_of": target.origin,
        "encoder": encoder.name,
    }


def _read(work: Work, texts: Texts, source: Path, size: int, reporter: Reporter) -> list[Shard]:
    """The input's shards; read now or by an earlier process."""
    read = work.texts_read() or work.read(texts.rows(), source.stat().st_size)
    shards = shards_of(read, size)
    if not shards:
        raise InputError("holds no text", "at least one", file=source)
    reporter.say(f"{read.rows:,} texts in {len(shards):,} {'shard' if len(shards) == 1 else 'shards'}")
    return shards
