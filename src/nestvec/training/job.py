"""What a training needs besides the model: texts as tokens, rows to learn from, something to validate on, a recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.models.compute import choose_compute
from nestvec.point import FULL, VectorFormat
from nestvec.training.examples import with_negatives
from nestvec.training.mining import mine_negatives
from nestvec.training.systems import SYSTEMS
from nestvec.training.token_passes import tokenise_texts
from nestvec.training.validation import make_validation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from nestvec.settings import Settings
    from nestvec.training.examples import Examples, Texts, TrainingData
    from nestvec.training.token_passes import Tokens
    from nestvec.training.validation import Validation

_SMALL_BATCH, _LARGE_BATCH = 16, 64
_LARGE = 4096  # rows from which there are steps enough in batches of 64
_USUAL_RATE, _HIGHEST_RATE = 5e-5, 1.5e-4  # of batches of 16
_RATE_STEPS = 0.015  # rate times steps where there are few
_VALIDATIONS, _FEWEST_STEPS = 3, 100  # in a training, and between two of them, where no interval is set


@dataclass(frozen=True)
class Job:
    """All that a training needs but the model.

    Attributes:
        system: a name in `SYSTEMS`.
        examples: what to learn from.
        texts: what the examples' numbers mean.
        tokens: of the texts.
        validation: what to measure on as it trains; None where nothing is held out for it.
        settings: the recipe; its seed decides the order of the rows and dropout.
        dimensions: widths for a nested objective, the model's own first.
    """

    system: str
    examples: Examples
    texts: Texts
    tokens: Tokens
    validation: Validation | None
    settings: Settings
    dimensions: Sequence[int]

    @property
    def batch_size(self) -> int:
        """Rows in a batch: as set, or as their number wants it."""
        usual = _LARGE_BATCH if len(self.examples) >= _LARGE else _SMALL_BATCH
        return self.settings.training.batch_size or usual

    @property
    def steps(self) -> int:
        """Optimizer steps that training will take, if it isn't stopped early."""
        recipe = self.settings.training
        return recipe.epochs * math.ceil(math.ceil(len(self.examples) / self.batch_size) / recipe.accumulate)

    @property
    def compute(self) -> str:
        """`float32` or `bfloat16`, as the settings or the hardware want it."""
        return choose_compute(self.settings.training.compute)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate: as set, or 5e-5 and more for a training that is over in a few hundred steps.

        The product of rate and steps was chosen on validation data: 1e-4 to 2e-4 over 98 steps of the sample, 5e-5
        over 304 and more steps of real judgements in batches of 16, where twice as much was worse. A larger batch has a
        quieter gradient and takes the square root of its size more (Malladi et al. 2022): 1e-4 in batches of 64.
        """
        lowest = _USUAL_RATE * max(1.0, math.sqrt(self.batch_size / _SMALL_BATCH))
        usual = min(max(_RATE_STEPS / max(self.steps, 1), lowest), _HIGHEST_RATE)
        return self.settings.training.learning_rate or usual

    @property
    def interval(self) -> int:
        """Steps from one validation, and checkpoint, to the next."""
        return self.settings.training.validate_every or max(math.ceil(self.steps / _VALIDATIONS), _FEWEST_STEPS)


def make_job(
    model: SentenceTransformer,
    system: str,
    data: TrainingData,
    settings: Settings,
    dimensions: Sequence[int],
    cache: Path | None = None,
) -> Job:
    """Tokenise the texts and lay out what a system learns from and is validated on.

    Only the model's tokenizer counts here, and its weights where negatives are mined; the folder `cache` keeps mined
    negatives. The first of the dimensions is the model's own width.
    """
    kind, graded, compute = SYSTEMS[system], settings.graded, choose_compute(settings.training.compute)
    tokens = tokenise_texts(model, data.texts.queries, data.texts.documents)
    formats = [VectorFormat(dimensions[0], FULL), VectorFormat(dimensions[-1], FULL)]
    formats += [VectorFormat(dimensions[0], code) for code in graded.codes if kind.ours]
    validation = make_validation(data, tokens, tuple(dict.fromkeys(formats)), compute, settings.seed)
    examples = kind.rows(data, settings.seed)
    if kind.ours and graded.hard_negatives:
        mined = mine_negatives(model, examples, tokens, graded.negative_margin, compute, cache)
        examples = with_negatives(examples, mined, graded.hard_negatives)
    return Job(system, examples, data.texts, tokens, validation, settings, dimensions)
