"""One point of a finished run, ready to be handed over: its model, its codec, and the vectors that were measured."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.point import FULL, PLAIN, Point
from nestvec.runs.finished import read_finished
from nestvec.point import PRETRAINED
from nestvec.models.find import find_model
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from nestvec.runs.folder import RunFolder
    from nestvec.runs.finished import Finished
    from nestvec.vectors.codecs import Codec
    from nestvec.models.find import ModelFolder


@dataclass(frozen=True)
class Delivered:
    """A point of the surface with all that serving it takes.

    Attributes:
        finished: the run.
        point: system, dimension and precision.
        model: the system's, checked.
        codec: fitted on the catalogue at that dimension: what `vectors.codecs.prefix` gives is coded with it.
    """

    finished: Finished
    point: Point
    model: ModelFolder
    codec: Codec

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.finished.folder

    @property
    def dimension(self) -> int:
        """Of the vectors that are delivered."""
        return self.point.dimension or self.model.width

    def catalogue(self) -> tuple[list[str], list[str]]:
        """The documents.

        Returns:
            Ids and texts, in the order of `vectors`.
        """
        return self.finished.catalogue

    def queries(self) -> tuple[list[str], list[str], list[str]]:
        """The queries that were measured.

        Returns:
            Ids, texts, and each one's split, `validation` or `test`, in the order of `query_vectors`.
        """
        return self.finished.queries

    def vectors(self) -> NDArray[np.float32]:
        """(d, full width) float32 of the documents, rows of unit length, memory-mapped."""
        return self._encoded[len(self.finished.queries[0]) :]

    def query_vectors(self) -> NDArray[np.float32]:
        """(q, full width) float32 of the queries, rows of unit length, memory-mapped."""
        return self._encoded[: len(self.finished.queries[0])]

    @cached_property
    def judged(self) -> dict[str, dict[str, int]]:
        """Test query id to document id to gain, of the queries that something is relevant for."""
        gains: dict[str, dict[str, int]] = defaultdict(dict)
        for (query, document), gain in self.finished.judgements().items():
            gains[query][document] = int(gain)
        least = self.finished.results.relevant_from
        return {query: judged for query, judged in gains.items() if max(judged.values()) >= least}

    @cached_property
    def _encoded(self) -> NDArray[np.float32]:
        """Queries, then documents."""
        path = self.folder.embeddings(self.point.system)
        try:
            found: NDArray[np.float32] = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot be read ({error})", "the vectors of a finished run", file=path) from error
        wanted = len(self.finished.queries[0]) + len(self.finished.catalogue[0]), self.model.width
        if found.shape != wanted or found.dtype != np.float32:
            problem = f"is damaged: it holds {' by '.join(map(str, found.shape))} numbers of {found.dtype}"
            raise InputError(problem, f"{wanted[0]} by {wanted[1]} of float32", file=path)
        return found


def choose(
    run: Path, system: str | None = None, dimension: int | None = None, precision: str | None = None
) -> Delivered:
    """What a run recommends, or the point that is named.

    Where only a part is named, the rest is the recommendation's if the system is its own; otherwise the full width and
    precision.

    Args:
        run: the folder of a finished run.
        system: one with vectors.
        dimension: one of those measured.
        precision: one of those measured.

    Returns:
        The point with its model.

    Raises:
        InputError: the run recommends nothing and no system is named, such a point was not measured, or a file is
            missing or damaged.
    """
    finished = read_finished(run)
    made = finished.recommendation.point
    if made is None and system is None:
        names = ", ".join(dict.fromkeys(point.system for point in _plain(finished)))
        raise InputError("says 'do not ship', so it has no model to hand over", f"--system, one of {names}", file=run)
    if made is not None and system in (None, made.system):
        system, rest = made.system, (made.dimension, made.precision)
    else:
        rest = None, FULL
    options = [point for point in _plain(finished) if point.system == system]
    if not options:
        names = ", ".join(dict.fromkeys(point.system for point in _plain(finished)))
        raise InputError(f"has no system {system!r}", f"one of {names}", file=run)
    widest = max(point.dimension or 0 for point in options)
    wanted = dimension or rest[0] or widest, precision or rest[1]
    point = next((point for point in options if (point.dimension, point.precision) == wanted), None)
    if point is None:
        measured = ", ".join(f"{each.dimension}.{each.precision}" for each in options)
        raise InputError(f"did not measure {system} at {wanted[0]}.{wanted[1]}", f"one of {measured}", file=run)
    return of_point(finished, point)


def of_point(finished: Finished, point: Point) -> Delivered:
    """A measured point with its model and codec.

    Args:
        finished: the run.
        point: one of its points with vectors.

    Returns:
        The point with its model.

    Raises:
        InputError: a file is missing or damaged, or the model is another than the one measured.
    """
    model = _model(finished.folder, point.system)
    path, name = finished.folder.codecs(point.system), f"{point.dimension}.{point.precision}"
    codec = load_codecs(path).get(name)
    if codec is None:
        raise InputError(f"is damaged: it lacks {name}", "the codecs of every point", file=path)
    plain = Point(point.system, point.dimension, point.precision, point.bytes_per_vector)
    return Delivered(finished, plain, model, codec)


def _plain(finished: Finished) -> list[Point]:
    """The run's vectors as they are, as measured on test."""
    return [point for point in finished.points.values() if point.kind == PLAIN and point.dimension is not None]


def _model(folder: RunFolder, system: str) -> ModelFolder:
    """The model that a system's vectors were made with; it must be the very one."""
    trained = folder.model(system)
    if trained.is_dir():
        return find_model(str(trained))
    settings = _settings(folder)
    hashes = settings.get("inputs", {})
    wanted = hashes.get("model" if system == PRETRAINED else f"model {system}")
    if wanted is None:
        raise InputError(f"does not say which model {system} is", "the settings of a run", file=folder.path("config"))
    names = [settings["model"]] if system == PRETRAINED else [*settings.get("models", []), settings.get("bigger", "")]
    problem: InputError | None = None
    for name in filter(None, names):
        try:
            return find_model(name, wanted, fetch=system == PRETRAINED)
        except InputError as error:  # another of the models, or one that is gone
            problem = problem or error
    raise problem or InputError(f"lacks the model {system}", "the settings of a run", file=folder.path("config"))


def _settings(folder: RunFolder) -> dict[str, Any]:
    """The run's settings, with what its inputs hash to."""
    path = folder.path("config")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", "the settings of a run", file=path) from error
