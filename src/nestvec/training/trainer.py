"""sentence-transformers' trainer, made safe against killed processes, full disks and NaN.

A checkpoint is written under another name and then renamed, so that every visible checkpoint is complete. A loss or
gradient that is NaN or infinite ends the training with a message that names the step and the records of the batch.
Ctrl-C or SIGTERM ends the training after a checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformerTrainer
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from nestvec import distributed
from nestvec.errors import NestvecError, StoppedError
from nestvec.training.dropout import drop_quickly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import TrainerControl, TrainerState

    from nestvec.training.job import Job

_STAGING = ".writing"
_STATE = "trainer_state.json"
_NAMED = 3  # most records of a batch that a message names


class Trainer(SentenceTransformerTrainer):
    """sentence-transformers' trainer with atomic checkpoints; the first NaN or infinity ends the training.

    Args:
        job: the training job, for messages.
        settings: arguments of sentence-transformers' trainer.
    """

    def __init__(self, job: Job, **settings: Any) -> None:  # noqa: ANN401 - the library's
        self._job = job
        self._batch: dict[str, Any] | None = None
        self._staging: str | None = None
        super().__init__(**settings)

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401 - the library's
        """Run the forward and backward pass of one batch; NestvecError if the loss is NaN or infinite."""
        self._batch = inputs["label"]
        with drop_quickly(self.args.device):
            loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        self._refuse_if_not_finite("loss", float(loss))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:  # noqa: ANN401 - the library's
        """Return the norm of the gradient before the optimizer step; NestvecError if the norm is NaN or infinite."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        if norm is not None:
            self._refuse_if_not_finite("grad_norm", float(norm))
        return norm

    def _refuse_if_not_finite(self, name: str, value: float) -> None:
        """Raise NestvecError, naming the step and the batch's records, if a loss or gradient is NaN or infinite."""
        if math.isfinite(value) or self._batch is None:
            return
        texts = self._job.texts
        query, document = (self._batch[key].cpu().tolist() for key in ("query", "document"))
        queries = repr([texts.queries[number] for number in query[:_NAMED]]) + _count_omitted(query)
        documents = repr([texts.documents[number] for number in document[:_NAMED]]) + _count_omitted(document)
        raise NestvecError(
            f"training {self._job.system} stopped at step {self.state.global_step + 1}: {name} is {value}. "
            f"The batch holds the queries {queries} and the documents {documents}. "
            "Try a lower --learning-rate"
        )

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ANN401 - the library's
        """Return the folder for the trainer's output: a temporary one while a checkpoint is being written."""
        return self._staging or str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401 - the library's
        """Write a checkpoint under another name, rename it when it is complete, and remove older checkpoints."""
        root = Path(self._get_output_dir(trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if (root / name).exists():  # a signal came right after a checkpoint
            return
        staging = root / _STAGING
        try:
            if self.args.should_save:
                shutil.rmtree(staging, ignore_errors=True)
                root.mkdir(parents=True, exist_ok=True)
            distributed.wait_for_all()
            self._staging = str(staging)
            super()._save_checkpoint(model, trial)
            distributed.wait_for_all()
            if self.args.should_save:
                self._put_in_place(staging / name, root / name)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(staging, ignore_errors=True)
            earlier = last_checkpoint(root)
            left = "there is no earlier checkpoint"
            if earlier:
                left = f"the checkpoint of step {step_of(earlier)} is intact: run the same command to continue from it"
            raise NestvecError(f"the checkpoint {root / name} cannot be written ({error}); {left}") from error
        finally:
            self._staging = None
        distributed.wait_for_all()

    def _put_in_place(self, written: Path, path: Path) -> None:
        """Write the best checkpoint's final path into a complete checkpoint's state, then rename that checkpoint."""
        if self.state.best_global_step:
            best = path.with_name(f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}")
            self.state.best_model_checkpoint = str(best)
            self.state.save_to_json(str(written / _STATE))
        written.rename(path)
        written.parent.rmdir()
        best_path = self.state.best_model_checkpoint
        rotate_checkpoints(str(path.parent), save_total_limit=1, best_model_checkpoint=best_path)


class Watcher(TrainerCallback):
    """Reports progress, validates after the last step, and ends the training after a checkpoint on Ctrl-C or SIGTERM.

    Args:
        advance: called with the number of steps done since the last call.
        stopped: an event that is set when Ctrl-C or SIGTERM has come.
        validates: whether there is validation data.
        watch: called with the step number after each step.
    """

    def __init__(
        self,
        advance: Callable[[int], None],
        stopped: threading.Event,
        validates: bool,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self.advance, self.stopped, self.validates, self.watch = advance, stopped, validates, watch

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:  # noqa: ANN401
        """Report the steps before the last checkpoint as done, if an interrupted training continues."""
        del args, control
        self.advance(state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:  # noqa: ANN401
        """Report a step, validate after the last step, and after Ctrl-C or SIGTERM stop with a checkpoint."""
        del args
        self.advance(1)
        if state.global_step >= state.max_steps and self.validates:
            control.should_evaluate = True
        if distributed.any_process(self.stopped.is_set()):
            self.stopped.set()
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
        elif self.watch is not None:
            self.watch(state.global_step)


@contextlib.contextmanager
def note_signals() -> Iterator[threading.Event]:
    """Let the first Ctrl-C or SIGTERM set an event; a second signal interrupts at once, as usual.

    Yields:
        The event. Outside the main thread, where Python allows no signal handlers, the event is never set.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note_signal(number: int, _: object) -> None:
        noted.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note_signal)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_if_signalled(noted: threading.Event, step: int, system: str) -> None:
    """Raise StoppedError if Ctrl-C or SIGTERM has come."""
    if noted.is_set():
        raise StoppedError(
            f"stopped training {system} after step {step}; run the same command again to continue from there"
        )


def last_checkpoint(root: Path) -> Path | None:
    """Find the newest checkpoint in a folder; incomplete checkpoints have another name and are not found."""
    return max(root.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Read from a checkpoint's name the step after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _count_omitted(rows: list[int]) -> str:
    return f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
