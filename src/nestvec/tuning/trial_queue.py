"""The queue of a tuning study's trials: every planned trial is finished exactly once, even if workers die.

Every planned trial has a number, its slot, and waits in Optuna's queue. All planned trials are queued before the first
one runs, so that workers cannot start more. A worker holds the slot's lock while it trains. A running trial whose lock
no worker holds was killed: it is marked as failed, and its slot is queued again with the same parameters.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.tuning.space import count_points, list_grid
from nestvec.tuning.storage import holding_lock
from nestvec.tuning.tune_settings import TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from nestvec.tuning.space import Space, Value
    from nestvec.tuning.storage import StudyStorage

SLOT, MESSAGE, REPEATED, IDENTITY = "slot", "message", "repeated", "identity"
REPORTS = 5  # a trial's value is reported after each fifth of its training
_EDIT = "edit"  # the lock that protects every access to the queue
_BEFORE_PRUNING = 3  # trials that run to their end before any trial is stopped early


@dataclass(frozen=True)
class TrialRules:
    """How the parameters of tuning trials are chosen, how many trials there are, and when a trial is stopped early."""

    search: str  # `tpe`, `random`, `grid` or `data-size`
    slots: int  # number of planned trials
    fixed: tuple[dict[str, Value], ...]  # the parameters of each slot in a grid or data-size search; else empty
    space: Space  # parameters are drawn from it
    pruner: str  # `median`, `hyperband` or `none`
    directions: tuple[str, ...]  # `maximize` or `minimize`, for each aim
    seed: int  # seed of all draws
    identity: str  # a hash of the study's settings and data; another study under the same name is refused


def plan_trials(space: Space, search: str, trials: int | None, seed: int) -> tuple[int, tuple[dict[str, Value], ...]]:
    """Return the number of trials and, for a grid search, the parameters of each trial.

    There are never more trials than combinations of values in the search space. `trials` is the wanted number; None
    means all combinations for a grid, and 12 for other searches. If a grid has more combinations than wanted, the seed
    decides which ones are tried.
    """
    if search != "grid":
        points, wanted = count_points(space), trials or TRIALS
        return wanted if points is None else min(points, wanted), ()
    grid = list_grid(space)
    order = np.random.default_rng(seed).permutation(len(grid))
    chosen = [grid[point] for point in order[:trials]]
    return len(chosen), tuple(chosen)


@contextmanager
def silence_optuna() -> Iterator[None]:
    """Suppress Optuna's log and its warnings about experimental features during the `with` block."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
        warnings.filterwarnings("ignore", category=FutureWarning, module="optuna")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


class TrialQueue:
    """The queue of a study's trials, from which several processes take trials.

    Raises InputError if the storage has a study with the same name, but other settings or data.
    """

    def __init__(self, store: StudyStorage, name: str, rules: TrialRules) -> None:
        import optuna

        self.rules, self.locks = rules, store.locks
        with holding_lock(self.locks, _EDIT), silence_optuna():
            self.study: Study = optuna.create_study(
                storage=store.storage,
                study_name=name,
                directions=list(rules.directions),  # type: ignore[arg-type]
                pruner=_make_pruner(rules),
                sampler=_make_sampler(rules, 0, 0),
                load_if_exists=True,
            )
            if self.study.user_attrs.get(IDENTITY, rules.identity) != rules.identity:
                wanted = "the same settings and data, or another name: --study NAME"
                raise InputError(f"the storage has a study {name!r} with other settings or data", wanted)
            self.study.set_user_attr(IDENTITY, rules.identity)
            self._enqueue_missing()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that Optuna has so far, also killed attempts, in the order of their numbers."""
        with silence_optuna():
            return self.study.get_trials(deepcopy=False)

    @property
    def finished(self) -> dict[int, FrozenTrial]:
        """Map the number (slot) of each finished trial to its result: complete, pruned, or failed with an error."""
        trials = {int(trial.user_attrs[SLOT]): trial for trial in self.trials if _finishes_slot(trial)}
        return {slot: trials[slot] for slot in sorted(trials) if slot < self.rules.slots}

    @property
    def is_done(self) -> bool:
        """Whether every planned trial of the study is finished."""
        return len(self.finished) == self.rules.slots

    def take_trial(self) -> tuple[Trial, int] | None:
        """Begin the next planned trial and lock it for this worker; return the trial and its number in the plan (slot).

        Returns None if no trial waits; if another worker dies, its trial is queued again later.
        """
        with holding_lock(self.locks, _EDIT), silence_optuna():
            self._fail_orphans()
            self._enqueue_missing()
            while (waiting := self._next_waiting()) is not None:
                slot, attempt = int(waiting.user_attrs[SLOT]), int(waiting.user_attrs["attempt"])
                self.study.sampler = _make_sampler(self.rules, slot, attempt)
                trial = self.study.ask({knob.name: knob.distribution() for knob in self.rules.space})
                if (untried := self._draw_untried(trial)) is None:
                    self.locks.take(slot_lock(slot))
                    return trial, slot
                trial.set_user_attr(REPEATED, True)
                self._fail_trial(trial.number)
                self._enqueue_slot(slot, attempt + 1, untried)
        return None

    def release_slot(self, slot: int) -> None:
        """Release this worker's lock on a planned trial (slot); if the trial has not ended, it counts as killed."""
        self.locks.release(slot_lock(slot))

    def end_trial(self, trial: Trial, values: list[float] | None, pruned: bool = False) -> bool:
        """Record the end of a trial: complete, with one value per aim; pruned; or, without values, failed.

        Returns False if another worker has ended or taken over the trial in the meantime.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        state = TrialState.PRUNED if pruned else TrialState.COMPLETE if values is not None else TrialState.FAIL
        with silence_optuna():
            try:
                self.study.tell(trial.number, None if pruned else values, state)
            except (UpdateFinishedTrialError, ValueError):  # the connection was lost, and another worker took the slot
                return False
        return True

    def _next_waiting(self) -> FrozenTrial | None:
        """Find the waiting trial that Optuna will start next; None if no trial waits."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return min(waiting, key=lambda trial: trial.number, default=None)

    def _fail_orphans(self) -> None:
        """Mark running trials as failed if their worker process is dead."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            slot = trial.user_attrs.get(SLOT)
            if slot is None:
                self._fail_trial(trial.number)
            elif self.locks.take(slot_lock(slot)):
                running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                if any(other.number == trial.number for other in running):  # it may have ended since the first look
                    self._fail_trial(trial.number)
                self.locks.release(slot_lock(slot))

    def _fail_trial(self, number: int) -> None:
        """Mark an attempt at a planned trial as failed, without an error message, so that the trial is tried again."""
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState.FAIL)

    def _enqueue_missing(self) -> None:
        """Queue each planned trial that is not finished, running or waiting; a begun trial keeps its parameters."""
        by_slot: dict[int, list[FrozenTrial]] = defaultdict(list)
        for trial in self.study.get_trials(deepcopy=False):
            by_slot[int(trial.user_attrs.get(SLOT, -1))].append(trial)
        for slot in range(self.rules.slots):
            attempts = by_slot[slot]
            if any(_finishes_slot(trial) or not trial.state.is_finished() for trial in attempts):
                continue
            params = self.rules.fixed[slot] if self.rules.fixed else {}
            if attempts and not attempts[-1].user_attrs.get(REPEATED):
                params = next((dict(trial.params) for trial in reversed(attempts) if trial.params), params)
            self._enqueue_slot(slot, sum(bool(trial.user_attrs.get(REPEATED)) for trial in attempts), params)

    def _enqueue_slot(self, slot: int, attempt: int, params: dict[str, Any]) -> None:
        self.study.enqueue_trial(params, user_attrs={SLOT: slot, "attempt": attempt})

    def _draw_untried(self, trial: Trial) -> dict[str, Value] | None:
        """Draw untried parameters for a trial whose parameters another trial has already.

        Returns None if the trial's parameters are new, or if the search space is endless or has no untried parameters.
        """
        if self.rules.fixed or count_points(self.rules.space) is None:
            return None
        trials = self.study.get_trials(deepcopy=False)
        tried = [_round_params(other.params) for other in trials if _is_in_use(other, trial.number)]
        if _round_params(trial.params) not in tried:
            return None
        untried = [point for point in list_grid(self.rules.space) if _round_params(point) not in tried]
        rng = np.random.default_rng([self.rules.seed, trial.number])
        return untried[int(rng.integers(len(untried)))] if untried else None


def slot_lock(slot: int) -> str:
    """Return the name of the lock on a planned trial, given by its number (slot)."""
    return f"slot-{slot}"


def _round_params(params: Mapping[str, Value]) -> dict[str, Value]:
    """Round parameters so that they can be compared, as sums of a range's steps may differ in the last bits."""
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in params.items()}


def _finishes_slot(trial: FrozenTrial) -> bool:
    """Whether a trial needs no further attempt: it is complete, pruned, or failed with an error, and was not killed."""
    from optuna.trial import TrialState

    failed = trial.state == TrialState.FAIL and MESSAGE in trial.user_attrs
    return failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _is_in_use(trial: FrozenTrial, number: int) -> bool:
    """Whether a trial is finished or running, so that its parameters are tried; False for the trial `number` itself."""
    from optuna.trial import TrialState

    return trial.number != number and (_finishes_slot(trial) or trial.state == TrialState.RUNNING)


def _make_sampler(rules: TrialRules, slot: int, attempt: int) -> BaseSampler:
    """Make the sampler of a planned trial, with a seed of its own: a continued study draws the same parameters."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.default_rng([rules.seed, slot, attempt]).integers(2**31))
    if rules.search != "tpe":
        return RandomSampler(seed=seed)
    with silence_optuna():
        return TPESampler(seed=seed, n_startup_trials=max(4, rules.slots // 3), multivariate=True)


def _make_pruner(rules: TrialRules) -> BasePruner:
    """Make Optuna's pruner, which stops trials that fall behind; with two aims no trial is stopped."""
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if rules.pruner == "none" or len(rules.directions) > 1:
        return NopPruner()
    if rules.pruner == "median":
        return MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=0)
    return HyperbandPruner(min_resource=1, max_resource=REPORTS, reduction_factor=3)
