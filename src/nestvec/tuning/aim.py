"""The aim of a tuning study: a metric on validation in one vector format, or a metric together with small vectors."""

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

BYTES = "bytes"  # names the second aim in `--aim recall@10,bytes`
DIMENSION, PRECISION = "dimension", "precision"  # parameters that trials also search if bytes are an aim
_FORM = "a metric alone (recall@10), with dimension and precision (recall@10.48.int8), or with bytes (recall@10,bytes)"


@dataclass(frozen=True)
class Aim:
    """The aim of a tuning study: the metric to improve on validation, in one vector format or with small vectors.

    Attributes:
        metric: a metric such as `recall@10`; the higher, the better.
        format: format of the measured vectors; the full width in float32 if `--aim` names none or names bytes.
        with_bytes: whether small vectors are a second aim; then each trial has a vector format among its parameters.
    """

    metric: str
    format: VectorFormat
    with_bytes: bool = False

    @property
    def name(self) -> str:
        """The aim as text in the form of `--aim`: `recall@10.384.float32`, or `recall@10,bytes`."""
        return f"{self.metric},{BYTES}" if self.with_bytes else f"{self.metric}.{self.format.name}"

    @property
    def directions(self) -> list[str]:
        """Optuna's directions: `maximize` for the metric and, if bytes are a second aim, `minimize` for the bytes."""
        return ["maximize", "minimize"] if self.with_bytes else ["maximize"]

    def choose_format(self, params: Mapping[str, object]) -> VectorFormat:
        """Choose the vector format in which a trial with these parameters is measured."""
        if not self.with_bytes:
            return self.format
        dimension = params.get(DIMENSION, self.format.dimension)
        return VectorFormat(int(str(dimension)), str(params.get(PRECISION, self.format.precision)))


@dataclass(frozen=True)
class Measurement:
    """The result of measuring a model on the validation split, in one vector format."""

    value: float  # mean of the metric over the queries
    error: float  # standard error of that mean
    bytes_per_vector: int  # bytes of a document's vector in the measured format
    fused: float | None = None  # mean of the metric when vectors are fused with BM25; None if not measured


def parse_aim(text: str, settings: Settings, widths: tuple[int, ...]) -> Aim:
    """Read an aim such as `recall@10`, `ndcg@10.48.int8` or `recall@10,bytes`.

    The settings say which metrics exist; `widths` are the measured vector widths, the full width first. Raises
    InputError if the aim has another form, or if its metric, dimension or precision is unknown.
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
    """Measure a model on validation, by its vectors alone and, if `words` is given, fused with BM25.

    Args:
        model: encodes the queries and documents of `validation`.
        validation: the queries and documents; its vector formats are ignored.
        aim: the aim of the study, which names the metric.
        stored: the vector format to measure.
        words: BM25's rankings of the same queries, which are fused with the vectors by the default weights; None
            measures the vectors alone.

    Returns:
        The metric's mean over the queries, with its standard error.

    Raises:
        NestvecError: the model returned NaN or infinity.
    """
    queries, documents = validation.encode_sides(model)
    if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        raise NestvecError("the model returned NaN or infinity; try a lower --learning-rate")
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
