"""How the systems were trained: `training.json` as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.point import FULL
from nestvec.runs.conform import load_json

if TYPE_CHECKING:
    from nestvec.runs.folder import RunFolder

VALIDATED = ("recall@10", "ndcg@10")  # metrics of each point

Place = tuple[int, str]  # dimension and precision


@dataclass(frozen=True)
class Measured:
    """One point of a validation."""

    dimension: int
    precision: str
    metrics: dict[str, float]

    @property
    def place(self) -> Place:
        """Its dimension and precision."""
        return self.dimension, self.precision


@dataclass(frozen=True)
class Validation:
    """A validation on the way."""

    step: int
    recall: float  # mean of recall@10 over the points: decides which step is kept
    points: tuple[Measured, ...]

    def value(self, place: Place, metric: str) -> float | None:
        """A metric at a dimension and precision; None where that was not measured."""
        return next((point.metrics[metric] for point in self.points if point.place == place), None)


@dataclass(frozen=True)
class Training:
    """An entry of `training.json`: one system's training."""

    system: str
    steps: int
    compute: str  # number format
    threads: int
    learning_rate: float  # its peak
    rows: int  # what was learnt from: a query with its documents each
    unused: int  # training queries left out
    losses: tuple[float, ...]  # per step
    curve: tuple[Validation, ...]
    best_step: int
    mixed: float  # share of the tuned weights in what was kept; 1 where nothing was mixed
    seconds: float

    @property
    def places(self) -> tuple[Place, ...]:
        """Every point that was validated, wide before narrow, as named within a width."""
        found = dict.fromkeys(point.place for validation in self.curve for point in validation.points)
        return tuple(sorted(found, key=lambda place: -place[0]))

    @property
    def coded(self) -> bool:
        """Whether it was validated in codes too."""
        return any(precision != FULL for _, precision in self.places)

    @property
    def ends(self) -> tuple[Place, ...]:
        """The widest and the narrowest point in full precision; one where they are the same, none without a curve."""
        full = [place for place in self.places if place[1] == FULL]
        return tuple(dict.fromkeys((*full[:1], *full[-1:])))

    def at(self, step: int) -> Validation | None:
        """The validation at a step, 0 before any training; None where there was none."""
        return next((validation for validation in self.curve if validation.step == step), None)

    def line(self, place: Place, metric: str) -> tuple[tuple[int, float], ...]:
        """Step and value of a metric at a point, for every validation that has it."""
        values = [(validation.step, validation.value(place, metric)) for validation in self.curve]
        return tuple((step, value) for step, value in values if value is not None)


@dataclass(frozen=True)
class Trainings:
    """`training.json`."""

    systems: tuple[Training, ...]


def read_trainings(folder: RunFolder, trained: tuple[str, ...]) -> tuple[Training, ...]:
    """Read how the systems of a run were trained.

    Args:
        folder: the run.
        trained: the systems that its results say were trained; none in a run of before that was written down.

    Returns:
        A training per system, in the results' order.

    Raises:
        InputError: the file is missing or damaged, or lacks a system.
    """
    if not trained:
        return ()
    file = folder.path("training")
    found = {training.system: training for training in load_json(file, Trainings).systems}
    for system in trained:
        if system not in found:
            raise InputError(f"is damaged: no training of {system!r}", "one for each trained system", file=file)
        for metric in VALIDATED:
            points = [point for validation in found[system].curve for point in validation.points]
            if any(metric not in point.metrics for point in points):
                problem = f"is damaged: a validation of {system!r} lacks {metric}"
                raise InputError(problem, "two metrics for each point", file=file)
    return tuple(found[system] for system in trained)
