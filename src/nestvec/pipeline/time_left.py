"""Estimate how long a run still takes from the speed of the run's stages so far, without extra trials.

Each stage has a size, estimated from the input: the number of texts that could be encoded in the time of the stage. As
soon as a stage of some kind (training, encoding, fitting, ranking) has begun, that kind is estimated by its measured
speed; until then, by the mean speed of the stages that have begun.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from nestvec.evaluation.fit import MOST_QUERIES
from nestvec.pipeline.rank_points import count_points
from nestvec.settings import ADAPTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.pipeline.inputs import Prepared

# Measured on two processor cores with the built-in sample and with Home Depot (docs/performance.md has the machine).
_TRAINING = 5  # training on a text takes as long as encoding so many
_PAIRS = 150_000  # pairs of a query and a document that are ranked in the time of encoding one text
_FIT = 200  # fitting the keyword search takes as long as so many rankings of its queries


class Sized(NamedTuple):
    """A stage of a run: its kind, such as `encode`, and its size, the number of texts that take as long to encode."""

    kind: str
    size: float


class TimeLeft:
    """Estimates how long the unfinished stages of a run take."""

    def __init__(self, stages: Sequence[Sized]) -> None:
        self._left = list(stages)  # the first is under way
        self._done: list[tuple[Sized, float]] = []  # with the seconds that each took

    def end_stage(self, seconds: float | None) -> None:
        """Record that the present stage has ended and took `seconds`; None if its duration is unknown."""
        stage = self._left.pop(0)
        if seconds is not None:
            self._done.append((stage, seconds))

    def estimate(self, share: float, seconds: float) -> float | None:
        """Estimate how long the run still takes.

        Args:
            share: how much of the present stage is done, 0 to 1.
            seconds: seconds since the present stage began.

        Returns:
            Seconds; None as long as no stage has progressed, because then no speed is known.
        """
        if not self._left:
            return 0.0
        now, *later = self._left
        known = [*self._done, (Sized(now.kind, share * now.size), seconds)] if share > 0 else self._done
        sizes, times = defaultdict[str, float](float), defaultdict[str, float](float)
        for stage, taken in known:
            if stage.size > 0:
                sizes[stage.kind] += stage.size
                times[stage.kind] += taken
        if not sizes:
            return None
        overall = sum(times.values()) / sum(sizes.values())
        speed = {kind: times[kind] / size for kind, size in sizes.items()}
        rest = seconds * (1 - share) / share if share > 0 else now.size * speed.get(now.kind, overall) - seconds
        return max(0.0, rest) + sum(stage.size * speed.get(stage.kind, overall) for stage in later)


def size_stage(name: str, part: Prepared, whole: Prepared) -> Sized:
    """Estimate the size of a stage, of a run or of a cross-validation fold, from the number of texts and rankings.

    Args:
        name: the stage's name, such as `train mnr`.
        part: the input of the stage: of a fold, or of the whole run.
        whole: the input of the whole run, all of which is encoded and ranked.

    Returns:
        The stage's kind and size; size 0 for stages that take seconds, whatever the input.
    """
    kind, _, system = name.partition(" ")
    pairs, documents = len(part.task.learning.pairs), len(whole.catalogue.ids)
    queries, epochs = len(whole.task.texts), part.settings.training.epochs
    rows = len(part.records.documents) if system == ADAPTED else epochs * pairs
    sizes = {
        "train": _TRAINING * 2 * rows,  # a row is a query and a document
        "encode": queries + documents,
        "fit": _FIT * min(MOST_QUERIES, pairs) * documents / _PAIRS,
        "evaluate": count_points(whole) * queries * documents / _PAIRS,
    }
    return Sized(kind, sizes.get(kind, 0.0))
