"""Runs `nestvec encode`: encodes a file of texts to a Parquet file of vectors or codes.

One pass sorts the texts by a hash into buckets on disk, so that equal texts are in the same bucket. Neighbouring
buckets form a shard. Each shard is encoded and written; at the end, all shards are joined in the input's order. If the
process is killed, the next call encodes only the missing shards. The output is identical to the byte, because the
texts in a batch depend on the shard alone.
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
    """What `nestvec encode` wrote, and how.

    Attributes:
        out: the output file.
        rows: number of rows in the output.
        texts: number of distinct texts, each of which was encoded once.
        resumed: number of rows whose shards an earlier process had finished.
        dimension: dimension of the vectors.
        precision: precision of the vectors.
        bytes_per_vector: size of a row's code in bytes.
        encoder: the backend and its number format.
        codec: where the codec comes from.
        seconds: duration of this call.
        set_aside: number of bad rows that were left out.
        rejected: the file with the bad rows; None if there are none.
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
    """Encode a file of texts, or resume an earlier call that was killed.

    Args:
        model: the folder of a finished run or an export, or a sentence-transformers model's folder or name.
        source: a CSV, TSV, JSONL, Parquet or .txt file; see `text_file.open_text_file`.
        out: the Parquet file to write. Until it is complete, the folder `.NAME.work` beside it holds finished work.
        reporter: receives progress, in rows.
        options: the fields of `EncodeSettings`, such as `column="text"`, `dimension=48` and `precision="int8"`.

    Returns:
        Facts about the output.

    Raises:
        InputError: the input, the model or a setting is wrong, or the unfinished work has other settings.
        NestvecError: the disk is full; finished work is kept, and the same call resumes it.
    """
    started, reporter = time.monotonic(), reporter or Silent()
    settings = from_keywords(EncodeSettings, options, "encode")
    target = find_model_and_codec(model, settings)
    target = target.encoding_as(settings.role, settings.prompt)
    texts = open_text_file(Path(source), settings.column, settings.id_column)
    out = follow_links(out) if out.is_symlink() else out  # the work folder and rejected rows go beside the real file
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
    """Encode the shards that no earlier call finished, in this process or on the cluster."""
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
    """Return the work folder beside the output; raises InputError if the output is a folder or the input."""
    if out.is_dir() or (out.exists() and out.resolve() == source.resolve()):
        problem = "is a folder" if out.is_dir() else "is the input itself"
        raise InputError(problem, "another file for --out, to write Parquet to", file=out)
    return WorkFolder(out.parent.absolute() / f".{out.name}.work")


def _describe_origin(target: ModelAndCodec, texts: TextFile, encoder: Encoder) -> dict[str, Any]:
    """Describe everything that decides the output's bytes, as JSON values for the output's metadata.

    The role, the prompt and axes are named only if they differ from the defaults: document, no prompt, no axes.
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
    """Describe how bad rows are handled, if not in the default way; older versions did not record this."""
    return {} if settings.on_bad_row == STOP else {"on_bad_row": settings.on_bad_row}


def _put_rejected_beside(work: WorkFolder, out: Path) -> tuple[Path | None, int]:
    """Move the rows that were set aside next to the output, replacing earlier ones; gives their file and number."""
    import pyarrow.parquet as pq

    path = out.with_name(f"{out.name.removesuffix('.parquet')}.rejected.parquet")
    if not work.rejected.is_file():
        remove(path)
        return None, 0
    with replacing(path) as temporary:
        work.rejected.rename(temporary)
    return path, int(pq.read_metadata(path).num_rows)


def _read_texts(work: WorkFolder, texts: TextFile, rejects: Rejects) -> Iterator[TextBatch]:
    """Yield the input's texts in batches, and at the end write the bad rows that were set aside."""
    yield from texts.batches(rejects)
    work.save_rejected(rejects.rows)


def _read_shards(
    work: WorkFolder, texts: TextFile, source: Path, settings: EncodeSettings, reporter: Reporter
) -> list[Shard]:
    """Sort the input into shards, unless an earlier process did; removes the work folder if the input is refused."""
    try:
        counts = work.load_counts()
        if counts is None:
            batches = _read_texts(work, texts, Rejects(settings.on_bad_row))
            counts = work.sort_into_buckets(batches, source.stat().st_size)
        if not any(counts):
            raise InputError("holds no text", "at least one row with a text", file=source)
    except InputError:
        remove(work.root)
        raise
    shards = group_shards(counts, settings.shard)
    reporter.say(f"{sum(counts):,} texts in {len(shards):,} {'shard' if len(shards) == 1 else 'shards'}")
    return shards
