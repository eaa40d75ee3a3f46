"""What a training needs besides the model: texts as tokens, rows to learn from, something to validate on, a recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec.models.compute import choose_compute
from nestvec.point import FULL, VectorFormat
from nestvec.settings import CATALOGUE
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
_CROP_BATCHES, _CROP_STEPS = (128, 64, 32, 16), 50  # of what needs no judgements: the largest that leaves so many steps
_CROP_RATE = 1e-4
_VALIDATIONS, _FEWEST_STEPS = 3, 100  # in a training, and between two of them, where no interval is set


@dataclass(frozen=True)
class Job:
    """All that a training needs but the model.

    Attributes:
        system: a name in `SYSTEMS`.
        examples: what to learn from.
        texts: what the examples' numbers mean, pseudo-queries included.
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
    def judged(self) -> bool:
        """Whether the system learns from judgements."""
        return SYSTEMS[self.system].judged

    @property
    def batch_size(self) -> int:
        """Rows in a batch: as set, or as their number wants it."""
        usual = _LARGE_BATCH if len(self.examples) >= _LARGE else _SMALL_BATCH
        if not self.judged:
            fitting = (size for size in _CROP_BATCHES if len(self.examples) >= _CROP_STEPS * size)
            usual = next(fitting, _CROP_BATCHES[-1])
        return self.settings.training.batch_size or usual

    @property
    def epochs(self) -> int:
        """Passes over the rows: as set, and a single one over documents that nobody judged."""
        return self.settings.training.epochs if self.judged else 1

    @property
    def steps(self) -> int:
        """Optimizer steps that training will take, if it isn't stopped early."""
        batches = math.ceil(len(self.examples) / self.batch_size)
        return self.epochs * math.ceil(batches / self.settings.training.accumulate)

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
        What needs no judgements was tried at 1e-4, in batches of 128.
        """
        lowest = _USUAL_RATE * max(1.0, math.sqrt(self.batch_size / _SMALL_BATCH))
        usual = min(max(_RATE_STEPS / max(self.steps, 1), lowest), _HIGHEST_RATE)
        return self.settings.training.learning_rate or (usual if self.judged else _CROP_RATE)

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
    data = replace(data, every_document=settings.training.adapt == CATALOGUE)
    examples = kind.rows(data, settings.seed)
    data = replace(data, texts=data.texts.with_queries(examples.pseudo_queries))
    tokens = tokenise_texts(model, data.texts.queries, data.texts.documents)
    formats = [VectorFormat(dimensions[0], FULL), VectorFormat(dimensions[-1], FULL)]
    formats += [VectorFormat(dimensions[0], code) for code in graded.codes if kind.ours]
    validation = make_validation(data, tokens, tuple(dict.fromkeys(formats)), compute, settings.seed)
    if kind.ours and graded.hard_negatives:
        mined = mine_negatives(model, examples, tokens, graded.negative_margin, compute, cache)
        examples = with_negatives(examples, mined, graded.hard_negatives)
    return Job(system, examples, data.texts, tokens, validation, settings, dimensions)
