"""Fine-tune a model on pairs with sentence-transformers' own trainer.

What is ours around it: the pairs go in as they are, the precision follows the processor, a loss that stops being a
number stops the training and says at which step, and progress is reported step by step.
"""

from __future__ import annotations

import math
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError, NestvecError
from nestvec.training.losses import OBJECTIVES
from nestvec.vectors.models import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentence_transformers import SentenceTransformer

    from nestvec.settings import TrainingSettings
    from nestvec.training.pairs import Pairs


_USUAL_RATE, _HIGHEST_RATE = 5e-5, 1.5e-4
_RATE_STEPS = 0.015  # rate times steps where there are few


@dataclass(frozen=True)
class Trained:
    """What a training run reports.

    Attributes:
        steps: optimizer steps taken.
        compute: `float32` or `bfloat16`, as used.
        learning_rate: its peak, as used.
        losses: the loss at every step.
    """

    steps: int
    compute: str
    learning_rate: float
    losses: tuple[float, ...]


def choose_compute(wanted: str) -> str:
    """The number format to multiply in: `auto` is bfloat16 exactly where the hardware has instructions for it.

    Emulated bfloat16 is far slower than float32, so the processor's flags decide and not what PyTorch accepts.
    """
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if platform.system() == "Linux" else ""
    return "bfloat16" if any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16")) else "float32"


def choose_learning_rate(wanted: float | None, steps: int) -> float:
    """The peak learning rate: 5e-5 for a usual training, more for one that is over in a few hundred steps.

    The product of rate and steps was chosen on validation data: 1e-4 to 2e-4 over 98 steps of the sample, 5e-5 over 304
    and more steps of real judgements, where twice as much was worse.

    Args:
        wanted: as set; None leaves it to this rule.
        steps: optimizer steps that training will take.

    Returns:
        A rate above 0.
    """
    return wanted if wanted is not None else min(max(_RATE_STEPS / max(steps, 1), _USUAL_RATE), _HIGHEST_RATE)


def count_steps(pairs: Pairs, settings: TrainingSettings) -> int:
    """Optimizer steps that training will take; the sampler may end an epoch a step or two early."""
    return settings.epochs * math.ceil(len(pairs) / settings.batch_size)


def train(
    model: SentenceTransformer,
    system: str,
    pairs: Pairs,
    settings: TrainingSettings,
    dimensions: Sequence[int],
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Trained:
    """Fine-tune `model` in place.

    Args:
        model: the starting point; float32 weights.
        system: a name in `OBJECTIVES`.
        pairs: what to train on; the seed decides their order.
        settings: the recipe.
        dimensions: widths for a Matryoshka objective.
        seed: decides the order of pairs and dropout; same seed, machine and thread count give the same weights.
        advance: called with 1 after every step.

    Returns:
        What the training reports.

    Raises:
        NestvecError: the loss or a gradient became infinite or not a number; names the step.
        MissingExtraError: the trainer's libraries are not installed.
    """
    try:
        from datasets import Dataset
        from sentence_transformers import SentenceTransformerTrainer
        from transformers import PrinterCallback, set_seed
    except ImportError as error:
        raise MissingExtraError(error.name or "sentence-transformers", "train") from error
    set_seed(seed)
    compute = choose_compute(settings.compute)
    rate = choose_learning_rate(settings.learning_rate, count_steps(pairs, settings))
    dataset = Dataset.from_dict({"anchor": list(pairs.anchors), "positive": list(pairs.positives)})
    # A stand-in: the library would draw a progress bar while picking product texts for a card that is not written.
    model.model_card_data.widget = [{"text": ""}]
    watch = _watcher(system, advance)
    with tempfile.TemporaryDirectory(prefix="nestvec-") as scratch, quiet():
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(settings, rate, compute, seed, scratch),
            train_dataset=dataset,
            loss=OBJECTIVES[system](model, dimensions),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
    return Trained(trainer.state.global_step, compute, rate, tuple(watch.losses))


def _arguments(settings: TrainingSettings, rate: float, compute: str, seed: int, scratch: str) -> Any:  # noqa: ANN401 - library's class
    """The trainer's arguments: nothing is saved, logged or reported but what we watch."""
    import torch
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import BatchSamplers

    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=rate,
        warmup_steps=settings.warmup,  # below 1: a share of all steps
        bf16=compute == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        logging_steps=1,  # each loss is looked at: a NaN must not train on
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _watcher(system: str, advance: Callable[[int], None]) -> Any:  # noqa: ANN401 - the base class is imported late
    """A trainer callback that reports progress, keeps the losses and stops on one that is not finite."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def on_step_end(self, *_: object, **__: object) -> None:
            advance(1)

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            del args, control
            logs: dict[str, float] = kwargs["logs"]
            for name in ("loss", "grad_norm"):
                if name in logs and not math.isfinite(logs[name]):
                    raise NestvecError(
                        f"training {system} stopped at step {state.global_step}: its {name} is {logs[name]}; "
                        "a lower --learning-rate is the usual remedy"
                    )
            if "loss" in logs:
                self.losses.append(round(logs["loss"], 6))

    return Watcher()
