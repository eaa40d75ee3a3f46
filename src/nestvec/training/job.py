"""What a training works on: tokenised texts, training rows, validation data, and hyper-parameters."""

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
_LARGE = 4096  # with as many rows, batches of 64 still make enough steps
_USUAL_RATE, _HIGHEST_RATE = 5e-5, 1.5e-4  # for batches of 16
_RATE_STEPS = 0.015  # learning rate times steps, for trainings with few steps
_CROP_BATCHES, _CROP_STEPS = (128, 64, 32, 16), 50  # for `adapted`: the largest batch that leaves 50 steps
_CROP_RATE = 1e-4
_VALIDATIONS, _FEWEST_STEPS = 3, 100  # usual number of validations, and the fewest steps between two of them


@dataclass(frozen=True)
class Job:
    """Everything that a training needs except the model.

    Attributes:
        system: name of the system to train, a key of `SYSTEMS`.
        examples: the training rows.
        texts: the texts of the rows, including pseudo-queries.
        tokens: the token ids of the texts.
        validation: the data for measuring the model during training; None without validation queries.
        settings: the run's settings; the seed decides the order of the rows and dropout.
        dimensions: the dimensions for an objective that sums over dimensions; the model's full width comes first.
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
        """Whether the system learns from judgements; `adapted` does not."""
        return SYSTEMS[self.system].judged

    @property
    def batch_size(self) -> int:
        """Training rows per batch: as the user set it, or chosen by the number of training rows."""
        usual = _LARGE_BATCH if len(self.examples) >= _LARGE else _SMALL_BATCH
        if not self.judged:
            fitting = (size for size in _CROP_BATCHES if len(self.examples) >= _CROP_STEPS * size)
            usual = next(fitting, _CROP_BATCHES[-1])
        return self.settings.training.batch_size or usual

    @property
    def epochs(self) -> int:
        """Number of passes over the training rows (epochs): as the user set it, but always 1 for `adapted`."""
        return self.settings.training.epochs if self.judged else 1

    @property
    def steps(self) -> int:
        """Number of optimizer steps of the training, if the training is not stopped early."""
        batches = math.ceil(len(self.examples) / self.batch_size)
        return self.epochs * math.ceil(batches / self.settings.training.accumulate)

    @property
    def compute(self) -> str:
        """Number format of the training, `float32` or `bfloat16`: the setting, or else the faster one here."""
        return choose_compute(self.settings.training.compute)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate: as the user set it, else 5e-5, and more for trainings of few steps.

        The product of rate and steps was chosen on validation data: 1e-4 to 2e-4 for 98 steps on the sample, 5e-5 for
        304 and more steps on real judgements in batches of 16, where twice the rate was worse. A larger batch has a
        less noisy gradient, so the rate grows with the square root of the batch size (Malladi et al. 2022): 1e-4 for
        batches of 64. `adapted` was tried with 1e-4 in batches of 128.
        """
        lowest = _USUAL_RATE * max(1.0, math.sqrt(self.batch_size / _SMALL_BATCH))
        usual = min(max(_RATE_STEPS / max(self.steps, 1), lowest), _HIGHEST_RATE)
        return self.settings.training.learning_rate or (usual if self.judged else _CROP_RATE)

    @property
    def interval(self) -> int:
        """Number of steps between two validations, and between two checkpoints."""
        return self.settings.training.validate_every or max(math.ceil(self.steps / _VALIDATIONS), _FEWEST_STEPS)


def make_job(
    model: SentenceTransformer,
    system: str,
    data: TrainingData,
    settings: Settings,
    dimensions: Sequence[int],
    cache: Path | None = None,
) -> Job:
    """Tokenise the texts, and make the training rows and the validation data of a system.

    Only the model's tokenizer is used, and its weights if hard negatives are mined. The folder `cache` keeps mined
    negatives. The first of the dimensions is the model's full width.
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
