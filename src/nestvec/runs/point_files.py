"""One point of a finished run with all that serving it takes: model, codec, and the vectors that were measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import ChangedError, InputError
from nestvec.files import sha256
from nestvec.models.find import find_model, list_short_names
from nestvec.models.model_hashes import refuse_changes
from nestvec.models.prompts import read_default_prompts
from nestvec.point import PRETRAINED, Point, VectorFormat
from nestvec.runs.schema import MeasuredWith
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nestvec.models.find import ModelFolder
    from nestvec.runs.run import Run
    from nestvec.vectors.codecs import Codec


_ROWS = 65_536  # vectors that are looked at together


@dataclass(frozen=True)
class SystemFiles:
    """What a run keeps of one system with vectors.

    Attributes:
        run: the run.
        system: its name.
        model: its model, checked, with the prompts that were measured.
        codecs: fitted on the catalogue, by the names of their formats, such as `48.int8`.
    """

    run: Run
    system: str
    model: ModelFolder
    codecs: Mapping[str, Codec]

    @property
    def width(self) -> int:
        """How many numbers the system's vectors have at full width: the most that was measured."""
        return max(point.dimension or 0 for point in self.run.systems[self.system])

    @property
    def query_vectors(self) -> NDArray[np.float32]:
        """(q, full width) float32 of the run's queries, rows of unit length, memory-mapped."""
        return self._vectors[: len(self.run.queries)]

    @property
    def document_vectors(self) -> NDArray[np.float32]:
        """(d, full width) float32 of the run's documents, rows of unit length, memory-mapped."""
        return self._vectors[len(self.run.queries) :]

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """All that were measured; InputError where the file holds others, or NaN."""
        vectors, file = self.run.vectors(self.system, self.width), self.run.folder.embeddings(self.system)
        if stated := read_stated(self.run, self.system).vectors:
            if sha256(file) != stated:
                raise ChangedError("has changed since it was measured", f"the vectors of {self.system}", file=file)
        elif not all(np.isfinite(vectors[first : first + _ROWS]).all() for first in range(0, len(vectors), _ROWS)):
            raise InputError("is damaged: it holds NaN or infinities", "finite numbers", file=file)
        return vectors

    def codec(self, stored: VectorFormat) -> Codec:
        """The codec of a format.

        Args:
            stored: one that was measured.

        Returns:
            The codec, which shortens vectors of the full width and codes those of the documents.

        Raises:
            InputError: the file lacks the format.
        """
        codec = self.codecs.get(stored.name)
        if codec is None:
            path = self.run.folder.codecs(self.system)
            raise InputError(f"is damaged: it lacks {stored.name}", "the codecs of every point", file=path)
        return codec


@dataclass(frozen=True)
class Selection:
    """A measured point, ready to be exported, indexed or served.

    Attributes:
        files: of the point's system.
        format: of its vectors.
        codec: of that format.
    """

    files: SystemFiles
    format: VectorFormat
    codec: Codec

    @property
    def run(self) -> Run:
        """The run."""
        return self.files.run

    @property
    def model(self) -> ModelFolder:
        """The system's model, checked."""
        return self.files.model

    @property
    def dimension(self) -> int:
        """How many numbers of each vector are kept."""
        return self.format.dimension

    @property
    def query_vectors(self) -> NDArray[np.float32]:
        """As of `SystemFiles`: at full width."""
        return self.files.query_vectors

    @property
    def document_vectors(self) -> NDArray[np.float32]:
        """As of `SystemFiles`: at full width."""
        return self.files.document_vectors

    @property
    def point(self) -> Point:
        """The point: its system, and the format of its vectors."""
        return Point.of(self.files.system, self.format)


def select(
    run: Run,
    system: str | None = None,
    dimension: int | None = None,
    precision: str | None = None,
    *,
    axes: bool = False,
) -> Selection:
    """What a run recommends, or the point that is named; see `Run.choose`.

    Args:
        run: the run.
        system: one with vectors.
        dimension: one of those measured.
        precision: one of those measured.
        axes: whether vectors on principal axes are asked for.

    Returns:
        The point with its model and codec.

    Raises:
        InputError: the run recommends nothing and no system is named, such a point was not measured, or a file is
            missing or damaged.
    """
    return select_point(run, run.choose(system, dimension, precision, axes=axes))


def select_point(run: Run, point: Point) -> Selection:
    """A measured point with its model and codec.

    Args:
        run: the run.
        point: one of its points with vectors.

    Returns:
        The point with its model and codec.

    Raises:
        InputError: a file is missing or damaged, or the model is another than the one measured.
    """
    if point.dimension is None:
        raise InputError(f"{point.system} has no vectors", "a system with vectors", file=run.root)
    if point.name not in run.points:
        raise InputError(f"{point.name} was not measured", "a point of results.json", file=run.root)
    files = open_system(run, point.system)
    return Selection(files, point.format, files.codec(point.format))


def open_system(run: Run, system: str) -> SystemFiles:
    """Find a system's model and codecs.

    Args:
        run: the run.
        system: one with vectors.

    Returns:
        What the run keeps of it.

    Raises:
        InputError: a file is missing or damaged, or the model or the codecs are not the ones that were measured.
    """
    model, codecs = _find_model(run, system), run.folder.codecs(system)
    stated = read_stated(run, system).codecs
    if stated and codecs.is_file() and sha256(codecs) != stated:
        raise ChangedError("has changed since it was measured", f"the codecs of {system}", file=codecs)
    return SystemFiles(run, system, model, load_codecs(codecs))


def read_stated(run: Run, system: str) -> MeasuredWith:
    """What a run states of the files that decided a system's figures; nothing where an earlier nestvec made it."""
    return run.results.measured_with.get(system, MeasuredWith())


def _find_model(run: Run, system: str) -> ModelFolder:
    """The model that a system's vectors were made with, checked by its hashes, with the prompts that were measured."""
    trained = run.folder.model(system)
    if trained.is_dir():
        return _check_model(run, system, find_model(str(trained)))
    names, digest = run.model_origin(system)
    path = run.folder.path("config")
    if digest is None:
        raise InputError(f"does not say which model {system} is", "the settings of a run", file=path)
    problem: InputError | None = None
    for name in sorted(names, key=lambda name: system not in list_short_names(name)):  # two may have the same weights
        try:
            return _check_model(run, system, find_model(name, digest, fetch=system == PRETRAINED))
        except InputError as error:  # another of the models, or one that is gone
            problem = problem or error
    raise problem or InputError(f"lacks the model {system}", "the settings of a run", file=path)


def _check_model(run: Run, system: str, model: ModelFolder) -> ModelFolder:
    """The model with the prompts that were measured; ChangedError where it is not as it was then."""
    prompts, stated = run.results.prompts.get(system), read_stated(run, system).model
    model = replace(model, prompts=read_default_prompts(model.path) if prompts is None else prompts)
    if stated:
        refuse_changes(stated, model.hashes, model.path, f"when {system} was measured")
    return model
