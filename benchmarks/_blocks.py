"""What `training.py` measures: blocks of steps of the library's own trainer and of ours over the same texts."""

from __future__ import annotations

import contextlib
import copy
import gc
import resource
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import norm
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.trainer_utils import SaveStrategy

from nestvec.allocator import keep_freed_pages
from nestvec.data.sample import read_sample
from nestvec.evaluation.metrics import Judgements
from nestvec.models.load import quiet_libraries
from nestvec.settings import Settings
from nestvec.training.collator import Collator, sampler_columns
from nestvec.training.examples import Examples, Texts
from nestvec.training.job import Job
from nestvec.training.losses import SCALE
from nestvec.training.systems import SYSTEMS, make_objective
from nestvec.training.token_passes import tokenise_texts
from nestvec.training.train import make_arguments
from nestvec.training.trainer import Trainer, Watcher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Tokens with the two special ones, at `share` of all texts: log-normal with a median of 150 and a third beyond 256 as
# Home Depot's title and description; its titles alone; its queries.
LENGTHS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "long": lambda share: np.clip(150 * np.exp(1.24 * norm.ppf(share)), 30, 600),
    "titles": lambda share: np.clip(21 + 6 * norm.ppf(share), 8, 48),
    "queries": lambda share: 4 + 4 * share,
}


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        ours: our trainer, or the library's.
        compute: `float32` or `bfloat16`.
    """

    ours: bool
    compute: str

    def __str__(self) -> str:
        """As the table names it."""
        return f"{'ours' if self.ours else 'stock'} {self.compute}"


@dataclass
class Record:
    """What a block of steps leaves behind.

    Attributes:
        losses: one a step.
        masks: the attention masks of each step's forward passes.
        ends: when each step ended.
        seconds: by part, where the parts were timed; from the second step on.
        faults: pages that the process was given; from the second step on.
    """

    losses: list[torch.Tensor] = field(default_factory=list)
    masks: list[list[torch.Tensor]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    faults: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds from the first step's end to the last one's."""
        return self.ends[-1] - self.ends[0]


class Recording:
    """What both trainers get besides: they keep their losses and the shapes they ran."""

    record: Record

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401
        """As it is; the loss is kept before the trainer rounds it."""
        self.record.masks.append([value for name, value in inputs.items() if name.endswith("attention_mask")])
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        self.record.losses.append(loss.detach())
        return loss


class StockTrainer(Recording, SentenceTransformerTrainer):
    """The library's."""


class OurTrainer(Recording, Trainer):
    """Ours."""


class Clock(TrainerCallback):
    """Notes when steps end; also times the parts of a step, which costs a little and is done in turns of its own.

    Args:
        record: where to.
        trainer: whose parts to time; None times whole steps only.
        profiler: runs from the second step on.
    """

    def __init__(self, record: Record, trainer: Any = None, profiler: torch.profiler.profile | None = None) -> None:  # noqa: ANN401 - either trainer
        self.record = record
        self.trainer = trainer
        self.profiler = profiler
        if trainer is not None:
            trainer.get_batch_samples = self._around("data", trainer.get_batch_samples)
            trainer.compute_loss = self._around("forward", trainer.compute_loss)

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Take hold of what only exists now."""
        if self.trainer is not None:
            accelerator = self.trainer.accelerator
            accelerator.backward = self._around("backward", accelerator.backward)
            accelerator.clip_grad_norm_ = self._around("clip", accelerator.clip_grad_norm_)

    def on_pre_optimizer_step(self, *_: object, **__: object) -> None:
        """The optimizer begins."""
        if self.trainer is not None:
            wait_for_device()
        self.began = time.perf_counter()

    def on_optimizer_step(self, *_: object, **__: object) -> None:
        """The optimizer is done."""
        if self.trainer is not None:
            wait_for_device()
        self.record.seconds["optimizer"] += time.perf_counter() - self.began

    def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:  # noqa: ANN401
        """The first step warms up: its parts don't count."""
        del args, control
        if state.global_step in (1, state.max_steps):
            wait_for_device()
        if state.global_step == 1:
            self.record.seconds.clear()
            self.record.faults = -count_faults()
        if state.global_step == state.max_steps:
            self.record.faults += count_faults()
        if self.profiler is not None and state.global_step in (1, state.max_steps):
            (self.profiler.start if state.global_step == 1 else self.profiler.stop)()
        self.record.ends.append(time.perf_counter())

    def _around(self, part: str, called: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its seconds added up."""

        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            wait_for_device()
            start = time.perf_counter()
            found = called(*args, **kwargs)
            wait_for_device()
            self.record.seconds[part] += time.perf_counter() - start
            return found

        return timed


@dataclass
class Bench:
    """Texts to train on, and both trainers over them.

    Attributes:
        model: as loaded; each block trains a copy.
        batch_size: pairs.
        kind: of the documents, in `LENGTHS`.
        steps: the most that a block has.
        folder: the trainers' own, where they write nothing.
        dropout: whether to time with dropout as the model has it.
    """

    model: SentenceTransformer
    batch_size: int
    kind: str
    steps: int
    folder: Path
    dropout: bool = True
    tokenised: float = 0.0  # seconds a step

    @cached_property
    def texts(self) -> Texts:
        """As many as an epoch of the longest block needs; queries recur."""
        rng, rows = np.random.default_rng(1), (self.steps + 2) * self.batch_size
        queries = write_texts(self.model, "queries", max(self.batch_size, rows // 2), rng)
        documents = write_texts(self.model, self.kind, rows, rng)
        return Texts(queries, documents, np.arange(len(queries)), np.arange(len(documents)))

    @cached_property
    def job(self) -> Job:
        """Pairs over the texts."""
        rng, (queries, documents) = np.random.default_rng(2), (self.texts.queries, self.texts.documents)
        document = np.arange(len(documents))
        query = rng.integers(0, len(queries), len(documents))
        known = Judgements(query, document, np.full(len(query), 1000), (len(queries), len(documents)), 1000)
        examples = Examples(query, [[row] for row in document.tolist()], known, 1000)
        start = time.perf_counter()
        tokens = tokenise_texts(self.model, queries, documents)
        self.tokenised = (time.perf_counter() - start) / len(document) * self.batch_size
        return Job("mnr", examples, self.texts, tokens, None, Settings(), (self.model.get_embedding_dimension() or 0,))

    def block(
        self,
        variant: Variant,
        seed: int,
        steps: int,
        *,
        dropout: bool = True,
        parts: bool = False,
        profiler: torch.profiler.profile | None = None,
    ) -> Record:
        """Train a copy of the model for some steps; a profiler watches all but the first."""
        recipe = {"batch_size": self.batch_size, "learning_rate": 5e-5, "compute": variant.compute, "seed": seed}
        settings = Settings.from_flat(recipe)
        job, model = replace(self.job, settings=settings), copy.deepcopy(self.model)
        model.model_card_data.widget = [{"text": ""}]
        if not dropout:
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        set_seed(seed)
        arguments = make_arguments(job, self.folder)
        arguments.max_steps, arguments.save_strategy = steps, SaveStrategy.NO
        with quiet_libraries():
            trainer = (self._ours if variant.ours else self._stock)(job, model, arguments)
            trainer.record = Record()
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(Clock(trainer.record, trainer if parts else None, profiler))
            wanted = "bf16" if variant.compute == "bfloat16" else "no"
            if trainer.accelerator.mixed_precision != wanted:
                raise SystemExit(f"{variant} computes in {trainer.accelerator.mixed_precision}, not {wanted}")
            with keep_freed_pages() if variant.ours else contextlib.nullcontext():
                trainer.train()
        record: Record = trainer.record
        del trainer, model
        gc.collect()  # the two know each other
        return record

    def _stock(self, job: Job, model: SentenceTransformer, arguments: Any) -> StockTrainer:  # noqa: ANN401
        """As the library's documents tell one to: columns of text and its own collator."""
        rows = zip(job.examples.query.tolist(), (row[0] for row in job.examples.members), strict=True)
        pairs = [(job.texts.queries[query], job.texts.documents[document]) for query, document in rows]
        anchors, positives = zip(*pairs, strict=True)
        data = Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)})
        loss = MultipleNegativesRankingLoss(model, scale=SCALE)
        return StockTrainer(model=model, args=arguments, train_dataset=data, loss=loss)

    def _ours(self, job: Job, model: SentenceTransformer, arguments: Any) -> OurTrainer:  # noqa: ANN401
        """As `training.train` wires it, without validation."""
        collator: Any = Collator(job.examples, job.tokens)
        return OurTrainer(
            job,
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(sampler_columns(job.examples)),
            data_collator=collator,
            loss=make_objective(SYSTEMS[job.system], model, job.examples, job.dimensions, job.settings),
            callbacks=[Watcher(lambda _: None, threading.Event(), False)],
        )


def write_texts(model: SentenceTransformer, kind: str, count: int, rng: np.random.Generator) -> list[str]:
    """Texts of the built-in sample's words, as often as they occur there; no two alike."""
    lengths = rng.permutation(LENGTHS[kind]((np.arange(count) + 0.5) / count))
    table = read_sample()
    written = (text for column in ("name", "description") for text in set(table[column].to_pylist()))
    times = Counter(word for text in sorted(written) for word in text.split())
    words = np.array(list(times))
    cost = np.array([len(model.tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words.tolist()])
    chance = np.array(list(times.values())) / times.total()
    texts = []
    for length in lengths.round().astype(int).tolist():
        drawn = rng.choice(len(words), length, p=chance)
        enough = int(np.searchsorted(np.cumsum(cost[drawn]), length - 2)) + 1
        texts.append(" ".join(words[drawn[:enough]]))
    return list(dict.fromkeys(texts))


def count_faults() -> int:
    """Pages that the system has given this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def wait_for_device() -> None:
    """Until a GPU, if there is one, has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
