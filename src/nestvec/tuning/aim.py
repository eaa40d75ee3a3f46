"""What a study aims at: a metric on validation in one format of the vectors, or a metric and few bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.evaluation.ranking import Vectors, code_documents
from nestvec.lexical.hybrid_file import Hybrid
from nestvec.pipeline.rank_points import rank_alone_and_fused
from nestvec.point import FULL, PRECISIONS, VectorFormat
from nestvec.settings import cutoff_of, metric_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.evaluation.ranking import Words
    from nestvec.evaluation.surface import Ranking
    from nestvec.settings import Settings
    from nestvec.training.validation import Validation

BYTES = "bytes"  # the second aim, where there is one
DIMENSION, PRECISION = "dimension", "precision"  # what a trial chooses besides, where bytes count
_FORM = "a metric, alone, with dimension and precision (recall@10.48.int8), or with bytes (recall@10,bytes)"


@dataclass(frozen=True)
class Aim:
    """What a study aims at.

    The format is the full width in float32 where none is named, or where bytes count and each trial chooses its own.
    """

    metric: str  # measured on validation, the higher the better
    format: VectorFormat  # of the vectors that are measured
    with_bytes: bool = False  # whether few bytes are the second aim

    @property
    def name(self) -> str:
        """As it is written down: `recall@10.384.float32`, or `recall@10,bytes`."""
        return f"{self.metric},{BYTES}" if self.with_bytes else f"{self.metric}.{self.format.name}"

    @property
    def directions(self) -> list[str]:
        """Which way each value shall go, in Optuna's words."""
        return ["maximize", "minimize"] if self.with_bytes else ["maximize"]

    def choose_format(self, params: Mapping[str, object]) -> VectorFormat:
        """The format in which a trial with these parameters is measured."""
        if not self.with_bytes:
            return self.format
        dimension = params.get(DIMENSION, self.format.dimension)
        return VectorFormat(int(str(dimension)), str(params.get(PRECISION, self.format.precision)))


@dataclass(frozen=True)
class Measurement:
    """What was measured of a model."""

    value: float  # the metric's mean over the queries
    error: float  # its standard error over them
    bytes_per_vector: int  # what a document takes in the format that was measured
    fused: float | None = None  # the metric's mean beside keyword search, where that was measured


def parse_aim(text: str, settings: Settings, widths: tuple[int, ...]) -> Aim:
    """Read an aim such as `recall@10`, `ndcg@10.48.int8` or `recall@10,bytes`.

    The settings tell which metrics there are; the widths are the model's, the full one first. Raises InputError where
    the aim has another form, or its metric, dimension or precision is unknown.
    """
    first, comma, second = text.partition(",")
    metric, dot, named = first.partition(".")
    dimension, _, precision = named.partition(".")
    metrics = metric_names(settings.evaluation.cutoffs)
    if metric not in metrics:
        raise InputError(f"--aim is {text}", "one of " + ", ".join(metrics) + "; " + _FORM)
    if (comma and (second.strip() != BYTES or dot)) or (dot and not dimension.isdecimal()):
        raise InputError(f"--aim is {text}", _FORM)
    if dot and not 1 <= int(dimension) <= widths[0]:
        raise InputError(f"--aim is {text}", f"a dimension from 1 to {widths[0]}, the model's width")
    if dot and precision not in PRECISIONS:
        raise InputError(f"--aim is {text}", "a precision: " + ", ".join(PRECISIONS))
    wanted = VectorFormat(int(dimension), precision) if dot else VectorFormat(widths[0], FULL)
    return Aim(metric, wanted, bool(comma))


def measure_model(
    model: SentenceTransformer, validation: Validation, aim: Aim, stored: VectorFormat, words: Words | None = None
) -> Measurement:
    """Measure a model on validation.

    Args:
        model: encodes the queries and documents of `validation`.
        validation: what is asked and searched; its formats are ignored.
        aim: names the metric.
        stored: the format of the vectors.
        words: BM25's answers to the same queries; None leaves the fused ranking out. BM25 and the vectors are fused
            with the weights that are used where nothing was fitted.

    Returns:
        The metric's mean over the queries.

    Raises:
        NestvecError: the model returned NaN or infinity.
    """
    queries, documents = validation.encode_sides(model)
    if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        raise NestvecError("the model returned NaN or infinity; a lower --learning-rate is the usual remedy")
    catalogue, cutoffs = validation.catalogue, (cutoff_of(aim.metric),)

    def measure(ranking: Ranking) -> NDArray[np.float64]:
        return validation.judgements.measure(np.arange(len(queries)), ranking.rows, cutoffs)[aim.metric]

    (coded,) = code_documents("", Vectors(queries, documents), catalogue, [stored])
    if words is None:
        values, fused = measure(coded.rank(catalogue)), None
    else:
        values, beside = map(measure, rank_alone_and_fused(coded, words, Hybrid(), catalogue))
        fused = float(beside.mean())
    return Measurement(float(values.mean()), float(values.std() / np.sqrt(len(values))), stored.bytes, fused)
