"""What encodes and how vectors are kept: a run's recommended point, an export, or any model at a precision."""

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
    """What a file of texts is encoded with."""

    folder: Path  # the model's, for `models.encoder.open_encoder`
    sha256: str  # of the model's weights
    model_hash: str  # of all files that decide the model's vectors
    format: VectorFormat  # of the vectors: a prefix scaled to unit length, and how its numbers are kept
    codec: Codec | None  # makes codes of the vectors; None: a codec has to be fitted on the texts
    origin: str  # where the codec is from, in words
    prompts: Prompts  # what goes before queries and documents
    role: Role = DOCUMENT  # what the texts are

    def encoding_as(self, role: Role, prompt: str | None) -> ModelAndCodec:
        """The same for texts of a role, behind another prompt where one is given."""
        query, document = (prompt if role == each else None for each in ROLES)
        return replace(self, role=role, prompts=self.prompts.override(query, document))

    @property
    def model_width(self) -> int:
        """How many numbers the model has to give: all where they are turned to axes, else those that are kept."""
        axes = self.codec.axes if self.codec else None
        return self.format.dimension if axes is None else len(axes.matrix)

    @property
    def prompt(self) -> str:
        """What goes before the texts."""
        return self.prompts.of(self.role)


def find_model_and_codec(model: str, settings: PointSettings) -> ModelAndCodec:
    """Find out what a model is: a point of a run, an export, or any sentence-transformers model.

    Args:
        model: the folder of a finished run, an export's, or a sentence-transformers model's folder or name.
        settings: the system, of a run only, and the format; what is not named is the run's recommendation, the export's
            own, or the model's full width in float32.

    Returns:
        The model with its codec.

    Raises:
        InputError: it is none of these, is damaged, or has no such point.
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
        raise InputError(f"--system {system} is given", "a run's folder to go with it", file=model)
    if is_export(path):
        return _find_in_export(path, settings)
    folder = find_model(model)
    width = choose_width(model, read_width(folder), dimension)
    chosen = VectorFormat(width, precision or FULL, settings.axes)
    own = folder.path / _OWN
    codec = load_codecs(own).get(chosen.name) if own.is_file() else None
    if codec is None and settings.axes:
        wanted = "a run's folder, or a model that a run trained: they keep the axes; else leave out --axes"
        raise InputError(f"has no principal axes for {chosen.name}, which --axes asks for", wanted, file=model)
    about = folder.path, folder.sha256, _hash_model(folder)
    return _with_plain_codec(ModelAndCodec(*about, chosen, codec, "model", folder.prompts))


def _hash_model(folder: ModelFolder) -> str:
    """One hash of a model's files; the prompts are told apart, as they may be given."""
    return join_hashes(dict(folder.files))


def _find_in_export(path: Path, settings: PointSettings) -> ModelAndCodec:
    """An export at its own point, or at a smaller dimension or another precision; the export's model turns to axes."""
    card = read_card(path)
    if card is None:  # `is_export` saw one
        raise InputError("is no export", "a folder that `nestvec export` wrote", file=path)
    if settings.axes and not card.axes:
        wanted = "no --axes, or a run's folder, whose vectors can be cut along axes"
        raise InputError("--axes is given, but this export's vectors are not on principal axes", wanted, file=path)
    width = choose_width(str(path), card.dimension, settings.dimension)
    chosen = VectorFormat(width, settings.precision or card.precision)
    codec = load_codecs(path / CODEC).get(chosen.name)
    about = path, card.model_sha256, join_hashes(card.files)
    return _with_plain_codec(ModelAndCodec(*about, chosen, codec, "export", card.prompts))


def _with_plain_codec(target: ModelAndCodec) -> ModelAndCodec:
    """With a codec at float32 and float16, where nothing has to be learnt but the width."""
    if target.codec is not None:
        return target
    width = target.format.dimension
    plain: dict[str, Codec] = {"float32": Float32(width), "float16": Float16(width)}
    codec = plain.get(target.format.precision)
    origin = "none needed" if codec else "the texts of the first shard, a random sample"
    return replace(target, codec=codec, origin=origin)
