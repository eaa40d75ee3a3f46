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
from typing import TYPE_CHECKING, Any, Unpack

from nestvec.data.source import STOP, Rejects
from nestvec.encoding.embeddings_file import write_output
from nestvec.encoding.encode_settings import EncodeOptions, EncodeSettings
from nestvec.encoding.model_and_codec import find_model_and_codec
from nestvec.encoding.shards import ShardEncoder, ShardRecipe, settle_codec
from nestvec.encoding.text_file import open_text_file
from nestvec.encoding.work_folder import FILES, WorkFolder, group_shards
from nestvec.errors import InputError
from nestvec.files import follow_links, remove, replacing
from nestvec.models.encoder import open_encoder
from nestvec.models.prompts import DOCUMENT
from nestvec.progress import Silent
from nestvec.settings import from_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.encoding.model_and_codec import ModelAndCodec
    from nestvec.encoding.text_file import TextBatch, TextFile
    from nestvec.encoding.work_folder import Shard
    from nestvec.models.base_encoder import Encoder
    from nestvec.progress import Reporter


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
        set_aside: bad rows that were left out.
        rejected: the file that they were written to, if there are any.
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
    set_aside: int = 0
    rejected: Path | None = None


def encode(
    model: str, source: str, out: Path, *, reporter: Reporter | None = None, **options: Unpack[EncodeOptions]
) -> Encoded:
    """Encode a file of texts, or go on with what an earlier call began.

    Args:
        model: a finished run's folder, an export's, or a sentence-transformers model's folder or name.
        source: CSV, TSV, JSONL, Parquet or .txt; see `text_file.open_text_file`.
        out: the Parquet file to write; while it is made, `.NAME.work` beside it holds what is finished.
        reporter: is told of the progress, in rows.
        options: the fields of `EncodeSettings`, such as `column="text"`, `dimension=48` and `precision="int8"`.

    Returns:
        What was made.

    Raises:
        InputError: input, model or settings are wrong, or the work was begun with others.
        NestvecError: the disk is full; what is finished stays, and the same call goes on.
    """
    started, reporter = time.monotonic(), reporter or Silent()
    settings = from_keywords(EncodeSettings, options, "encode")
    target = find_model_and_codec(model, settings)
    target = target.encoding_as(settings.role, settings.prompt)
    texts = open_text_file(Path(source), settings.column, settings.id_column)
    out = follow_links(out) if out.is_symlink() else out  # what belongs to the output lies beside it
    work = _open_work_folder(out, Path(source))
    encoder = open_encoder(target.folder, target.model_width, settings.backend, settings.compute, target.prompts)
    origin = _describe_origin(target, texts, encoder)
    work.claim({**origin, "shard": settings.shard, **_describe_policy(settings)})
    shards = _read_shards(work, texts, Path(source), settings, reporter)
    rows, resumed = sum(shard.rows for shard in shards), sum(shard.rows for shard in shards if work.has_shard(shard))
    with reporter.step(f"encode with {encoder.name}", rows) as advance:
        advance(resumed)
        codec = settle_codec(work, target, encoder, shards[0], advance)
        _encode_missing(shards, ShardEncoder(work, encoder, target.role, codec), target, settings, advance)
    with reporter.step("write", 1) as advance:
        distinct = write_output(work, shards, out, origin)
        rejected, set_aside = _put_rejected_beside(work, out)
        advance(1)
    remove(work.root)
    return Encoded(
        out, rows, distinct, resumed, target.format.dimension, target.format.precision,
        codec.bytes_per_vector, encoder.name, target.origin, time.monotonic() - started, set_aside, rejected,
    )  # fmt: skip


def _encode_missing(
    shards: list[Shard],
    encoder: ShardEncoder,
    target: ModelAndCodec,
    settings: EncodeSettings,
    advance: Callable[[int], None],
) -> None:
    """Encode the shards that no earlier call finished, here or on the cluster."""
    missing = [shard for shard in shards if not encoder.work.has_shard(shard)]
    if settings.engine == "ray":
        from nestvec.encoding.ray_cluster import encode_on_ray

        recipe = ShardRecipe(
            encoder.work, target.folder.absolute(), target.model_width, target.format,
            settings.backend, settings.compute, target.role, target.prompts, encoder.encoder.name,
        )  # fmt: skip
        encode_on_ray(recipe, missing, advance)
    else:
        for shard in missing:
            encoder.encode(shard, advance)


def _open_work_folder(out: Path, source: Path) -> WorkFolder:
    """The work folder beside an output that may be written."""
    if out.is_dir() or (out.exists() and out.resolve() == source.resolve()):
        problem = "is a folder" if out.is_dir() else "is the input itself"
        raise InputError(problem, "a Parquet file to write", file=out)
    return WorkFolder(out.parent.absolute() / f".{out.name}.work")


def _describe_origin(target: ModelAndCodec, texts: TextFile, encoder: Encoder) -> dict[str, Any]:
    """What decides over the output's bytes, as JSON values; the output carries it.

    The role, the prompt and axes are named only where they are others than a document's and none.
    """
    axes = {"axes": True} if target.format.axes else {}
    role = {} if target.role == DOCUMENT else {"role": target.role}
    prompt = {"prompt": target.prompt} if target.prompt else {}
    return {
        "source_sha256": texts.source.sha256,
        "text": texts.template,
        "id": texts.id_column,
        "model_sha256": target.sha256,
        FILES: target.model_hash,
        "dimension": target.format.dimension,
        "precision": target.format.precision,
        **axes,
        "codec_of": target.origin,
        "encoder": encoder.name,
        **role,
        **prompt,
    }


def _describe_policy(settings: EncodeSettings) -> dict[str, Any]:
    """What becomes of bad rows, where that is not the default: work that an older nestvec began does not say it."""
    return {} if settings.on_bad_row == STOP else {"on_bad_row": settings.on_bad_row}


def _put_rejected_beside(work: WorkFolder, out: Path) -> tuple[Path | None, int]:
    """Move the rows that were set aside beside the output, in place of an earlier output's; the file, and how many."""
    import pyarrow.parquet as pq

    path = out.with_name(f"{out.name.removesuffix('.parquet')}.rejected.parquet")
    if not work.rejected.is_file():
        remove(path)
        return None, 0
    with replacing(path) as temporary:
        work.rejected.rename(temporary)
    return path, int(pq.read_metadata(path).num_rows)


def _read_texts(work: WorkFolder, texts: TextFile, rejects: Rejects) -> Iterator[TextBatch]:
    """Read the input; the rows that were set aside are kept before it ends."""
    yield from texts.batches(rejects)
    work.save_rejected(rejects.rows)


def _read_shards(
    work: WorkFolder, texts: TextFile, source: Path, settings: EncodeSettings, reporter: Reporter
) -> list[Shard]:
    """The input's shards, read now or by an earlier process; a refused input leaves no work folder behind."""
    try:
        counts = work.load_counts()
        if counts is None:
            batches = _read_texts(work, texts, Rejects(settings.on_bad_row))
            counts = work.sort_into_buckets(batches, source.stat().st_size)
        if not any(counts):
            raise InputError("holds no text", "at least one", file=source)
    except InputError:
        remove(work.root)
        raise
    shards = group_shards(counts, settings.shard)
    reporter.say(f"{sum(counts):,} texts in {len(shards):,} {'shard' if len(shards) == 1 else 'shards'}")
    return shards
