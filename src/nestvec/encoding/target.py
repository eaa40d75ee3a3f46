"""What encodes and how vectors are kept: a run's recommended point, an export, or any model at a precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.card import CODEC, is_export, read_card
from nestvec.models.encoder import width_of
from nestvec.models.find import find_model
from nestvec.point import PRECISIONS
from nestvec.runs.folder import LAYOUT
from nestvec.runs.run import load_run
from nestvec.runs.selection import select
from nestvec.vectors.codecs import Float16, Float32
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from nestvec.vectors.codecs import Codec

_OWN = "codecs.safetensors"  # beside a model that a run trained


@dataclass(frozen=True)
class Target:
    """What a bulk encoding makes.

    Attributes:
        folder: the model's, for `encoders.open_encoder`.
        sha256: of the model's weights.
        dimension: of the vectors; a prefix scaled to unit length.
        precision: of their numbers.
        codec: makes them; None: one has to be fitted on the texts.
        origin: where the codec is from, in words.
    """

    folder: Path
    sha256: str
    dimension: int
    precision: str
    codec: Codec | None
    origin: str


def find_target(
    model: str, dimension: int | None = None, precision: str | None = None, system: str | None = None
) -> Target:
    """Find out what a model is.

    Args:
        model: the folder of a finished run, an export's, or a sentence-transformers model's folder or name.
        dimension: None for the run's recommendation, the export's own, or the model's full width.
        precision: None for the run's recommendation, the export's own, or float32.
        system: of a run; None for its recommendation.

    Returns:
        The target.

    Raises:
        InputError: it is none of these, is damaged, or has no such point.
    """
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"--precision is {precision!r}", f"one of {', '.join(PRECISIONS)}")
    path = Path(model)
    if (path / LAYOUT["results"]).is_file() or (path / LAYOUT["config"]).is_file():
        chosen = select(load_run(path), system, dimension, precision)
        weights = chosen.model
        return Target(weights.path, weights.sha256, chosen.dimension, chosen.format.precision, chosen.codec, "run")
    if system is not None:
        raise InputError(f"--system {system} is given", "a run's folder to go with it", file=model)
    if is_export(path):
        return _of_export(path, dimension, precision)
    folder = find_model(model)
    width, precision = width_of(model, folder.width, dimension), precision or "float32"
    own = folder.path / _OWN
    codec = load_codecs(own).get(f"{width}.{precision}") if own.is_file() else None
    return _with_codec(Target(folder.path, folder.sha256, width, precision, codec, "model"))


def _of_export(path: Path, dimension: int | None, precision: str | None) -> Target:
    """An export at its own point, or at a smaller dimension or another precision."""
    card = read_card(path)
    if card is None:  # `is_export` saw one
        raise InputError("is no export", "a folder that `nestvec export` wrote", file=path)
    width, precision = width_of(str(path), card.dimension, dimension), precision or card.precision
    codec = load_codecs(path / CODEC).get(f"{width}.{precision}")
    return _with_codec(Target(path, card.model_sha256, width, precision, codec, "export"))


def _with_codec(found: Target) -> Target:
    """The target with a codec where none has to be learnt."""
    if found.codec is not None:
        return found
    plain: dict[str, Codec] = {"float32": Float32(found.dimension), "float16": Float16(found.dimension)}
    codec = plain.get(found.precision)  # with nothing to learn but the width
    origin = "none needed" if codec else "the texts of the first shard, a random sample"
    return Target(found.folder, found.sha256, found.dimension, found.precision, codec, origin)
