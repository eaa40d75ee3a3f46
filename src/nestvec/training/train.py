"""Fine-tunes a model as one system with sentence-transformers' trainer.

nestvec adds the following: texts are tokenised once; the model is measured on validation during training, and an
earlier state is kept if it is clearly better; checkpoints stay intact if the process is killed; Ctrl-C or SIGTERM
ends the training only after a checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.sampler import BatchSamplers
from transformers import EarlyStoppingCallback, PrinterCallback, set_seed
from transformers.training_args import OptimizerNames

from nestvec import distributed
from nestvec.allocator import keep_freed_pages
from nestvec.errors import InputError
from nestvec.models.compute import use_processors
from nestvec.models.load import load_weights, quiet_libraries
from nestvec.training.collator import Collator, sampler_columns
from nestvec.training.dropout import set_dropout
from nestvec.training.mixing import mix_weights
from nestvec.training.systems import SYSTEMS, make_objective
from nestvec.training.trainer import Trainer, Watcher, last_checkpoint, note_signals, raise_if_signalled
from nestvec.training.validation import clearly_better

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sentence_transformers import SentenceTransformer
    from transformers import TrainerState

    from nestvec.training.job import Job
    from nestvec.training.validation import Validation


@dataclass(frozen=True)
class Trained:
    """The facts of a finished training.

    Attributes:
        steps: optimizer steps taken.
        compute: number format, `float32` or `bfloat16`.
        threads: number of processor threads.
        learning_rate: peak learning rate.
        rows: number of training rows, each a query and its documents.
        unused: number of training queries that have no training row, because none of their documents is relevant.
        losses: the loss at every step.
        curve: the metrics of every validation with their `step`; the first validation, step 0, is before training.
        best_step: the step whose weights were kept.
        mixed: share of the fine-tuned weights in a mixture with the weights before training; 1 without mixing.
    """

    steps: int
    compute: str
    threads: int
    learning_rate: float
    rows: int
    unused: int
    losses: tuple[float, ...]
    curve: tuple[dict[str, float], ...]
    best_step: int
    mixed: float

    @property
    def worse(self) -> tuple[float, float] | None:
        """Validation recall before and after training, if the kept weights have a lower recall; else None."""
        reached = {point["step"]: point["recall"] for point in self.curve}
        before, after = reached.get(0, 0.0), reached.get(self.best_step, 1.0)
        return (before, after) if after < before and self.mixed else None


def train(
    model: SentenceTransformer,
    job: Job,
    checkpoints: Path,
    logs: Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
    watch: Callable[[int], None] | None = None,
) -> Trained:
    """Fine-tune `model` in place; an interrupted training continues from its last checkpoint.

    Args:
        model: the model to start from, with float32 weights.
        job: rows, texts and settings; the same job, machine and number of threads give the same weights.
        checkpoints: folder for the checkpoints of this training only.
        logs: folder for TensorBoard's files, if `--report-to` names TensorBoard.
        advance: called with the number of steps done since the last call.
        watch: called with the step number after each step; may use the model; an exception ends the training.

    Returns:
        The facts of the training.

    Raises:
        NestvecError: the loss or a gradient is NaN or infinite (the message names the step and the records), or a
            checkpoint cannot be written.
        StoppedError: Ctrl-C or SIGTERM came; a checkpoint was written first.
        InputError: the batch cannot be split evenly among the processes.
    """
    size, processes = job.batch_size, distributed.world_size()
    if size % processes:
        raise InputError(f"--batch-size is {size}", f"a multiple of {processes}, the number of processes")
    threads = use_processors()
    before = {} if job.validation is None else job.validation(model)
    start = {name: weights.detach().clone() for name, weights in model.state_dict().items()}
    state = _run_trainer(model, job, checkpoints, logs, advance, watch)
    curve = _collect_curve(before, state.log_history)
    best_step, mixed = _settle_weights(model, job, start, curve, checkpoints, state.global_step)
    return Trained(
        steps=state.global_step,
        compute=job.compute,
        threads=threads,
        learning_rate=job.learning_rate,
        rows=len(job.examples),
        unused=job.examples.unused,
        losses=tuple(round(entry["loss"], 6) for entry in state.log_history if "loss" in entry),
        curve=curve,
        best_step=best_step,
        mixed=mixed,
    )


def _run_trainer(
    model: SentenceTransformer,
    job: Job,
    checkpoints: Path,
    logs: Path | None,
    advance: Callable[[int], None],
    watch: Callable[[int], None] | None,
) -> TrainerState:
    """Train to the end, starting from the last checkpoint if there is one; StoppedError after Ctrl-C or SIGTERM."""
    set_seed(job.settings.seed)
    if logs is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(logs)  # the library has no other way to set this folder
    # A dummy: else the library shows a progress bar while it picks example texts for a model card that nobody writes.
    model.model_card_data.widget = [{"text": ""}]
    dropout = set_dropout(model, job.settings.training.dropout)
    with quiet_libraries(), dropout, keep_freed_pages(), note_signals() as signalled:
        watcher = Watcher(advance, signalled, job.validation is not None, watch)
        trainer = _make_trainer(model, job, checkpoints, watcher)
        resumed = last_checkpoint(checkpoints)
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    raise_if_signalled(signalled, trainer.state.global_step, job.system)
    return trainer.state


def _make_trainer(model: SentenceTransformer, job: Job, checkpoints: Path, watcher: Watcher) -> Trainer:
    collator: Any = Collator(job.examples, job.tokens)
    trainer = Trainer(
        job,
        model=model,
        args=make_arguments(job, checkpoints),
        train_dataset=Dataset.from_dict(sampler_columns(job.examples)),
        data_collator=collator,
        loss=make_objective(SYSTEMS[job.system], model, job.examples, job.dimensions, job.settings),
        evaluator=None if job.validation is None else _ValidationEvaluator(job.validation),
        callbacks=[watcher],
    )
    trainer.remove_callback(PrinterCallback)
    patience = job.settings.training.patience
    if patience and job.validation is not None:
        trainer.add_callback(EarlyStoppingCallback(patience))
    return trainer


def _settle_weights(
    model: SentenceTransformer,
    job: Job,
    start: dict[str, torch.Tensor],
    curve: Sequence[dict[str, float]],
    checkpoints: Path,
    last: int,
) -> tuple[int, float]:
    """Load the weights to keep; returns their step, and the share of fine-tuned weights if weights were mixed."""
    step = choose_step(curve, last)
    if step != last:
        load_weights(model, checkpoints / f"checkpoint-{step}")
    ours = SYSTEMS[job.system].ours
    mixed = mix_weights(model, start, job.validation, job.settings.graded.mixing) if ours else 1.0
    model.eval()
    return step, mixed


def choose_step(curve: Sequence[dict[str, float]], last: int) -> int:
    """Choose the step whose weights to keep: the last step, unless an earlier one is clearly better on validation."""
    reached = {int(point["step"]): point for point in curve if point["step"]}
    if last not in reached:
        return last
    best = max(reached, key=lambda step: (reached[step]["recall"], -step))
    return best if clearly_better(reached[best], reached[last]) else last


def _collect_curve(before: dict[str, float], log: Sequence[dict[str, Any]]) -> tuple[dict[str, float], ...]:
    """List the step and the metrics of every validation, without other entries of the trainer's log."""
    prefixed = {"step": 0, **{f"eval_{name}": value for name, value in before.items()}}
    curve = []
    for entry in (prefixed, *log):
        if "eval_recall" in entry:
            names = sorted(name for name in entry if name.startswith(("eval_recall", "eval_ndcg")))
            figures = {name.removeprefix("eval_"): round(entry[name], 6) for name in names}
            curve.append({"step": entry["step"], **figures})
    return tuple(curve)


def make_arguments(job: Job, checkpoints: Path) -> SentenceTransformerTrainingArguments:
    """Make the arguments of sentence-transformers' trainer; a batch's rows are divided among all processes."""
    settings, validates = job.settings.training, job.validation is not None
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=job.epochs,
        per_device_train_batch_size=job.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        optim=OptimizerNames.ADAMW_TORCH_FUSED,  # the library's own choice from PyTorch 2.8 on
        learning_rate=job.learning_rate,
        warmup_steps=settings.warmup,  # below 1: a share of all steps
        bf16=job.compute == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=job.settings.seed,
        data_seed=job.settings.seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES if SYSTEMS[job.system].distinct else BatchSamplers.BATCH_SAMPLER,
        accelerator_config={"split_batches": True},
        dataloader_drop_last=distributed.world_size() > 1,  # every process needs a part of every batch
        ddp_broadcast_buffers=False,  # processes may run different numbers of forward passes
        eval_strategy="steps" if validates else "no",
        eval_steps=job.interval,
        save_strategy="steps",
        save_steps=job.interval,
        metric_for_best_model="eval_recall" if validates else None,
        greater_is_better=True,
        logging_steps=1,  # `Trained.losses` has the loss of every step
        logging_nan_inf_filter=False,
        report_to=list(settings.report_to),
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class _ValidationEvaluator(BaseEvaluator):
    """Lets sentence-transformers' trainer call nestvec's `Validation`, which measures the model."""

    def __init__(self, validation: Validation) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.validation = validation

    def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:  # noqa: ANN401 - the library's
        return self.validation(model)
