"""The table of systems that can be trained: for each, its training rows, its loss and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.models.compute import choose_compute
from nestvec.point import FULL, VectorFormat
from nestvec.training import crops, examples, losses
from nestvec.training.objective import Objective, Term

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentence_transformers import SentenceTransformer

    from nestvec.settings import Settings
    from nestvec.training.examples import Examples, TrainingData
    from nestvec.training.losses import Criterion


@dataclass(frozen=True)
class System:
    """How a system is trained.

    Attributes:
        rows: the function that makes the training rows.
        criterion: the function that makes the loss of a batch.
        nested: whether the loss is summed over several dimensions, or computed at the full width only.
        distinct: whether no query and no document may occur twice in a batch, because the documents of other rows serve
            as negatives.
        fade: loss weight of a dimension relative to the next larger one, unless the settings give the weights.
        ours: whether the settings for quantised training, distillation, mined negatives and mixing of weights apply.
        scaled: whether similarities are scaled before a softmax.
        judged: whether the system learns from judgements; without judgements it makes a single pass over the documents.
    """

    rows: Callable[[TrainingData, int], Examples]
    criterion: Callable[[SentenceTransformer, Examples, float], Criterion]
    nested: bool = False
    distinct: bool = False
    fade: float = 1.0
    ours: bool = False
    scaled: bool = True
    judged: bool = True


SYSTEMS = {
    "mnr": System(examples.pair_rows, losses.ranking_loss, distinct=True),
    "matryoshka": System(examples.pair_rows, losses.ranking_loss, nested=True, distinct=True),
    "cosine": System(examples.judged_rows, losses.cosine_loss, scaled=False),
    "cosine-matryoshka": System(examples.judged_rows, losses.cosine_loss, nested=True, scaled=False),
    "cosent": System(examples.judged_rows, losses.cosent_loss),
    "cosent-matryoshka": System(examples.judged_rows, losses.cosent_loss, nested=True),
    "graded": System(examples.contrast_rows, losses.graded_loss, nested=True, distinct=True, fade=0.25, ours=True),
    "adapted": System(crops.crop_rows, losses.symmetric_ranking_loss, distinct=True, judged=False),
}


def make_objective(
    system: System, model: SentenceTransformer, rows: Examples, dimensions: Sequence[int], settings: Settings
) -> Objective:
    """Make the training objective of a system for a model; the first of the dimensions is the model's full width."""
    bfloat16 = choose_compute(settings.training.compute) == "bfloat16"
    widths = dimensions if system.nested else dimensions[:1]
    set_weights = settings.training.dimension_weights if system.nested else ()
    weights = set_weights or tuple(system.fade**step for step in range(len(widths)))
    codes, distil = (settings.graded.codes, settings.graded.distil) if system.ours else ((), 0.0)
    share = settings.graded.code_share if codes else 0.0
    terms = [
        Term(VectorFormat(width, precision), weight * part)
        for width, weight in zip(widths, weights, strict=True)
        for precision, part in [(FULL, 1 - share), *((code, share / len(codes)) for code in codes)]
        if part
    ]
    criterion = system.criterion(model, rows, settings.training.scale or losses.SCALE)
    return Objective(model, criterion, terms, distil, cast_once=bfloat16, gathers=system.ours)
