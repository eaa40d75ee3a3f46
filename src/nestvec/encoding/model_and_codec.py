"""Finds the model and the codec for `nestvec encode`: those of a run, of an export, or of any other model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.base_encoder import choose_width
from nestvec.models.export_card import CODEC, is_export, read_card
from nestvec.models.find import find_model
from nestvec.models.load import read_width
from nestvec.models.model_hashes import join_hashes
from nestvec.models.prompts import DOCUMENT, ROLES
from nestvec.point import FULL, PRECISIONS, VectorFormat
from nestvec.runs.folder import LAYOUT
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.vectors.codecs import Float16, Float32
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Prompts, Role
    from nestvec.runs.choose_point import PointSettings
    from nestvec.vectors.codecs import Codec

_OWN = "codecs.safetensors"  # beside a model that a run trained


@dataclass(frozen=True)
class ModelAndCodec:
    """A model, and the codec that quantises the model's vectors."""

    folder: Path  # the model's folder, for `models.encoder.open_encoder`
    sha256: str  # SHA-256 of the model's weights
    model_hash: str  # hash of all files that decide the model's vectors
    format: VectorFormat  # dimension and precision of the output's vectors
    codec: Codec | None  # encodes the vectors; None if a codec must be fitted on the texts
    origin: str  # where the codec comes from, in words
    prompts: Prompts  # the prompts for queries and documents
    role: Role = DOCUMENT  # what the texts are

    def encoding_as(self, role: Role, prompt: str | None) -> ModelAndCodec:
        """Return a copy for texts of this role, query or document, with this prompt; None keeps the model's own."""
        query, document = (prompt if role == each else None for each in ROLES)
        return replace(self, role=role, prompts=self.prompts.override(query, document))

    @property
    def model_width(self) -> int:
        """Dimension of the model's own vectors: full width if the codec has principal axes, else that of the output."""
        axes = self.codec.axes if self.codec else None
        return self.format.dimension if axes is None else len(axes.matrix)

    @property
    def prompt(self) -> str:
        """The prompt that is put before every text of this role."""
        return self.prompts.of(self.role)


def find_model_and_codec(model: str, settings: PointSettings) -> ModelAndCodec:
    """Find the model and codec for a run, an export, or any sentence-transformers model.

    Args:
        model: the folder of a finished run or an export, or a sentence-transformers model's folder or name.
        settings: system (for a run only), dimension and precision. A setting of None is taken from the run's
            recommendation or the export; for any other model, it means the full width or float32.

    Returns:
        The model with its codec.

    Raises:
        InputError: `model` is none of these or is damaged, or the run did not measure this system at this dimension and
            precision.
    """
    system, dimension, precision = settings.system, settings.dimension, settings.precision
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"--precision is {precision!r}", f"one of {', '.join(PRECISIONS)}")
    path = Path(model)
    if (path / LAYOUT["results"]).is_file() or (path / LAYOUT["config"]).is_file():
        selected = select(load_run(path), system, dimension, precision, axes=settings.axes)
        found, kept = selected.model, (selected.format, selected.codec)
        return ModelAndCodec(found.path, found.sha256, _hash_model(found), *kept, "run", found.prompts)
    if system is not None:
        wanted = "a run's folder; leave out --system for a model or an export"
        raise InputError(f"is not a run's folder, which --system {system} needs", wanted, file=model)
    if is_export(path):
        return _find_in_export(path, settings)
    folder = find_model(model)
    width = choose_width(model, read_width(folder), dimension)
    chosen = VectorFormat(width, precision or FULL, settings.axes)
    own = folder.path / _OWN
    codec = load_codecs(own).get(chosen.name) if own.is_file() else None
    if codec is None and settings.axes:
        wanted = "a run's folder or a model that a run trained, which include the axes; otherwise leave out --axes"
        raise InputError(f"has no principal axes for {chosen.name}, which --axes needs", wanted, file=model)
    about = folder.path, folder.sha256, _hash_model(folder)
    return _with_plain_codec(ModelAndCodec(*about, chosen, codec, "model", folder.prompts))


def _hash_model(folder: ModelFolder) -> str:
    """Combine the hashes of a model's files into one hash; prompts are left out, because the user may replace them."""
    return join_hashes(dict(folder.files))


def _find_in_export(path: Path, settings: PointSettings) -> ModelAndCodec:
    """Find an export's model, and the codec for the export's dimension and precision or for others that are asked for.

    If the export is on principal axes, its model projects the vectors itself.
    """
    card = read_card(path)
    if card is None:  # `is_export` found a card just before
        raise InputError("is not an export", "a folder that `nestvec export` wrote", file=path)
    if settings.axes and not card.axes:
        wanted = "a run's folder, which includes the axes; otherwise leave out --axes"
        raise InputError("--axes is given, but this export's vectors are not on principal axes", wanted, file=path)
    width = choose_width(str(path), card.dimension, settings.dimension)
    chosen = VectorFormat(width, settings.precision or card.precision)
    codec = load_codecs(path / CODEC).get(chosen.name)
    about = path, card.model_sha256, join_hashes(card.files)
    return _with_plain_codec(ModelAndCodec(*about, chosen, codec, "export", card.prompts))


def _with_plain_codec(target: ModelAndCodec) -> ModelAndCodec:
    """Add the codec if it is missing and the precision is float32 or float16; other codecs must be fitted on texts."""
    if target.codec is not None:
        return target
    width = target.format.dimension
    plain: dict[str, Codec] = {"float32": Float32(width), "float16": Float16(width)}
    codec = plain.get(target.format.precision)
    origin = "none needed" if codec else "the texts of the first shard, a random sample"
    return replace(target, codec=codec, origin=origin)
