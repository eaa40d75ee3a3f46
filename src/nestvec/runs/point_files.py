"""Opens the files of a measured system, dimension and precision of a finished run: model, codec and vectors."""

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


_ROWS = 65_536  # vectors that are checked together


@dataclass(frozen=True)
class SystemFiles:
    """The files of one system of a finished run: the model, the codecs, and the vectors of queries and documents.

    Attributes:
        run: the run.
        system: name of the system.
        model: the system's model, checked against the run's hashes, with the prompts that the run used.
        codecs: codecs fitted on the run's documents, by names of vector formats, such as `48.int8`.
    """

    run: Run
    system: str
    model: ModelFolder
    codecs: Mapping[str, Codec]

    @property
    def width(self) -> int:
        """Full width of the system's vectors: the largest measured dimension."""
        return max(point.dimension or 0 for point in self.run.systems[self.system])

    @property
    def query_vectors(self) -> NDArray[np.float32]:
        """The run's q query vectors, (q, full width) float32, memory-mapped; every row has unit length."""
        return self._vectors[: len(self.run.queries)]

    @property
    def document_vectors(self) -> NDArray[np.float32]:
        """The run's d document vectors, (d, full width) float32, memory-mapped; every row has unit length."""
        return self._vectors[len(self.run.queries) :]

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """The vectors of queries, then documents; raises an error if the file has changed, or holds NaN or infinity."""
        vectors, file = self.run.vectors(self.system, self.width), self.run.folder.embeddings(self.system)
        if stated := read_stated(self.run, self.system).vectors:
            if sha256(file) != stated:
                raise ChangedError(
                    "has changed since it was measured",
                    f"the vectors of {self.system} as they were measured",
                    file=file,
                )
        elif not all(np.isfinite(vectors[first : first + _ROWS]).all() for first in range(0, len(vectors), _ROWS)):
            raise InputError("is damaged: it holds NaN or infinity", "finite numbers", file=file)
        return vectors

    def codec(self, stored: VectorFormat) -> Codec:
        """Get the codec that quantises vectors to a dimension and precision.

        Args:
            stored: a vector format that the run measured.

        Returns:
            The codec, which shortens full-width vectors and quantises those of documents.

        Raises:
            InputError: the file of the codecs lacks this vector format.
        """
        codec = self.codecs.get(stored.name)
        if codec is None:
            path = self.run.folder.codecs(self.system)
            raise InputError(
                f"is damaged: it lacks {stored.name}", "a codec for every measured dimension and precision", file=path
            )
        return codec


@dataclass(frozen=True)
class Selection:
    """A measured system, dimension and precision, ready to be exported, indexed or served.

    Attributes:
        files: the system's model, codecs and vectors.
        format: the dimension and precision of the vectors.
        codec: the codec that quantises to this dimension and precision.
    """

    files: SystemFiles
    format: VectorFormat
    codec: Codec

    @property
    def run(self) -> Run:
        """The run to which the system belongs."""
        return self.files.run

    @property
    def model(self) -> ModelFolder:
        """The system's model, checked to be the one that the run measured."""
        return self.files.model

    @property
    def dimension(self) -> int:
        """The dimension to which vectors are shortened."""
        return self.format.dimension

    @property
    def query_vectors(self) -> NDArray[np.float32]:
        """The run's query vectors at full width, (q, full width) float32, not quantised."""
        return self.files.query_vectors

    @property
    def document_vectors(self) -> NDArray[np.float32]:
        """The run's document vectors at full width, (d, full width) float32, not quantised."""
        return self.files.document_vectors

    @property
    def point(self) -> Point:
        """The system together with its vector format, as the run measured it."""
        return Point.of(self.files.system, self.format)


def select(
    run: Run,
    system: str | None = None,
    dimension: int | None = None,
    precision: str | None = None,
    *,
    axes: bool = False,
) -> Selection:
    """Open the recommended system, dimension and precision of a run, or a given one.

    Args:
        run: the run.
        system: a system with vectors; None takes the recommended one.
        dimension: a measured dimension; None takes the recommended one.
        precision: a measured precision; None takes the recommended one.
        axes: whether to use vectors on principal axes.

    Returns:
        The selection with its model and codec.

    Raises:
        InputError: the run recommends nothing and no system is given, the dimension or precision was not measured, or a
            file is missing or damaged.
    """
    return select_point(run, run.choose(system, dimension, precision, axes=axes))


def select_point(run: Run, point: Point) -> Selection:
    """Open the model and the codec of a measured system, dimension and precision.

    Args:
        run: the run.
        point: a measured system with vectors, at a measured dimension and precision.

    Returns:
        The selection with its model and codec.

    Raises:
        InputError: a file is missing or damaged, or the model has changed since it was measured.
    """
    if point.dimension is None:
        raise InputError(f"{point.system} has no vectors", "a system with vectors", file=run.root)
    if point.name not in run.points:
        raise InputError(
            f"{point.name} was not measured", "a system, dimension and precision that results.json lists", file=run.root
        )
    files = open_system(run, point.system)
    return Selection(files, point.format, files.codec(point.format))


def open_system(run: Run, system: str) -> SystemFiles:
    """Find the model and the codecs of a run's system.

    Args:
        run: the run.
        system: a system with vectors.

    Returns:
        The files of the system.

    Raises:
        InputError: a file is missing or damaged.
        ChangedError: the codecs have changed since they were measured.
    """
    model, codecs = _find_model(run, system), run.folder.codecs(system)
    stated = read_stated(run, system).codecs
    if stated and codecs.is_file() and sha256(codecs) != stated:
        raise ChangedError(
            "has changed since it was measured", f"the codecs of {system} as they were measured", file=codecs
        )
    return SystemFiles(run, system, model, load_codecs(codecs))


def read_stated(run: Run, system: str) -> MeasuredWith:
    """Get the hashes of the files that a system was measured with; empty in runs of early versions of nestvec."""
    return run.results.measured_with.get(system, MeasuredWith())


def _find_model(run: Run, system: str) -> ModelFolder:
    """Find a system's model, check the hashes of the model's files, and set the prompts that the run measured with."""
    trained = run.folder.model(system)
    if trained.is_dir():
        return _check_model(run, system, find_model(str(trained)))
    names, digest = run.model_origin(system)
    path = run.folder.path("config")
    if digest is None:
        raise InputError(f"does not name the model of {system}", "the settings of a run", file=path)
    problem: InputError | None = None
    for name in sorted(names, key=lambda name: system not in list_short_names(name)):  # two may have the same weights
        try:
            return _check_model(run, system, find_model(name, digest, fetch=system == PRETRAINED))
        except InputError as error:  # this name is another model, or its files are gone: try the next name
            problem = problem or error
    raise problem or InputError(f"lacks the model {system}", "the settings of a run", file=path)


def _check_model(run: Run, system: str, model: ModelFolder) -> ModelFolder:
    """Set the prompts that the run measured with; ChangedError if the model's files have changed since."""
    prompts, stated = run.results.prompts.get(system), read_stated(run, system).model
    model = replace(model, prompts=read_default_prompts(model.path) if prompts is None else prompts)
    if stated:
        refuse_changes(stated, model.hashes, model.path, f"when {system} was measured")
    return model
