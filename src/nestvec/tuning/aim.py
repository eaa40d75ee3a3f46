"""What a study aims at: a metric on validation at one dimension and precision, or a metric and few bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.evaluation.ranking import Vectors, rank_dense
from nestvec.point import FULL, PRECISIONS, VectorFormat
from nestvec.settings import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from nestvec.settings import Settings
    from nestvec.training.validation import Validation

BYTES = "bytes"  # the second aim, where there is one
DIMENSION, PRECISION = "dimension", "precision"  # what a trial chooses besides, where bytes count
_FORM = "a metric, alone, with dimension and precision (recall@10.48.int8), or with bytes (recall@10,bytes)"


@dataclass(frozen=True)
class Aim:
    """What a trial is worth.

    Attributes:
        metric: measured on validation, the higher the better.
        dimension: where; the full width where bytes count, and each trial chooses, or where none is named.
        precision: how vectors are stored there.
        small: whether few bytes are the second aim.
    """

    metric: str
    dimension: int
    precision: str = FULL
    small: bool = False

    @property
    def name(self) -> str:
        """As it is written down: `recall@10.384.float32`, or `recall@10,bytes`."""
        return f"{self.metric},{BYTES}" if self.small else f"{self.metric}.{self.dimension}.{self.precision}"

    @property
    def directions(self) -> list[str]:
        """Which way each value shall go."""
        return ["maximize", "minimize"] if self.small else ["maximize"]

    def point(self, params: Mapping[str, object]) -> tuple[int, str]:
        """Dimension and precision that a trial with these parameters is measured at."""
        if not self.small:
            return self.dimension, self.precision
        return int(str(params.get(DIMENSION, self.dimension))), str(params.get(PRECISION, self.precision))


@dataclass(frozen=True)
class Worth:
    """What was measured of a model.

    Attributes:
        value: the metric's mean over the queries.
        error: its standard error over them.
        bytes_per_vector: what a document takes at that dimension and precision.
    """

    value: float
    error: float
    bytes_per_vector: int


def parse_aim(text: str, settings: Settings, widths: tuple[int, ...]) -> Aim:
    """Read an aim.

    Args:
        text: `recall@10`, `ndcg@10.48.int8` or `recall@10,bytes`.
        settings: tell which metrics there are.
        widths: of the model, the full one first.

    Returns:
        The aim with its dimension and precision.

    Raises:
        InputError: it has another form, or names what there is not.
    """
    first, comma, second = text.partition(",")
    metric, dot, place = first.partition(".")
    dimension, _, precision = place.partition(".")
    if metric not in metrics(settings.evaluation.cutoffs):
        raise InputError(f"--aim is {text}", "one of " + ", ".join(metrics(settings.evaluation.cutoffs)) + "; " + _FORM)
    if (comma and (second.strip() != BYTES or dot)) or (dot and not dimension.isdecimal()):
        raise InputError(f"--aim is {text}", _FORM)
    if dot and not 1 <= int(dimension) <= widths[0]:
        raise InputError(f"--aim is {text}", f"a dimension from 1 to {widths[0]}, the model's width")
    if dot and precision not in PRECISIONS:
        raise InputError(f"--aim is {text}", "a precision: " + ", ".join(PRECISIONS))
    return Aim(metric, int(dimension) if dot else widths[0], precision if dot else FULL, bool(comma))


def measure(model: SentenceTransformer, validation: Validation, aim: Aim, place: tuple[int, str]) -> Worth:
    """Measure a model on validation.

    Args:
        model: as it stands.
        validation: the queries and documents; its points do not count here.
        aim: which metric.
        place: dimension and precision.

    Returns:
        What it is worth.

    Raises:
        NestvecError: its vectors are no numbers.
    """
    queries, documents = validation.encoded(model)
    if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        raise NestvecError("the model's vectors are no numbers; a lower --learning-rate is the usual remedy")
    (ranking,) = rank_dense("", Vectors(queries, documents), validation.catalogue, [VectorFormat(*place)])
    cutoff = aim.metric.partition("@")[2]
    cutoffs = (int(cutoff),) if cutoff else (10,)
    values = validation.judgements.measure(np.arange(len(queries)), ranking.rows, cutoffs)[aim.metric]
    error = float(values.std() / np.sqrt(len(values)))
    return Worth(float(values.mean()), error, int(ranking.point.bytes_per_vector or 0))
