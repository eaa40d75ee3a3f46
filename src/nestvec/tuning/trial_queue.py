"""A study's trials, dealt out to workers: as many slots as are planned, each finished once, whoever dies on the way.

Every slot is a trial that waits in Optuna's queue, made before any is run, so that workers cannot begin more than were
planned. A worker holds the slot's lock while it trains. Where a slot's trial runs and nobody holds its lock, it was
killed: it fails, and the slot waits again with the same parameters.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.tuning.tune_settings import TRIALS
from nestvec.tuning.space import grid_of, size
from nestvec.tuning.storage import held

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from nestvec.tuning.space import Space, Value
    from nestvec.tuning.storage import Store

SLOT, MESSAGE, REPEATED, IDENTITY = "slot", "message", "repeated", "identity"
REPORTS = 5  # shares of a training at which a trial's value is told
_EDIT = "edit"  # the lock around every look at the queue
_BEFORE_PRUNING = 3  # trials that are seen through before one is stopped


@dataclass(frozen=True)
class Rules:
    """How trials are chosen.

    Attributes:
        search: `tpe`, `random`, `grid` or `data-size`.
        slots: how many trials are planned.
        fixed: the parameters of each slot, where they are known beforehand.
        space: where the others are drawn from.
        pruner: `median`, `hyperband` or `none`.
        directions: as Optuna has them.
        seed: decides every draw.
        identity: what makes this study this one; another under the same name is refused.
    """

    search: str
    slots: int
    fixed: tuple[dict[str, Value], ...]
    space: Space
    pruner: str
    directions: tuple[str, ...]
    seed: int
    identity: str


def planned(space: Space, search: str, trials: int | None, seed: int) -> tuple[int, tuple[dict[str, Value], ...]]:
    """How many trials there will be, and their parameters where these are known beforehand.

    Args:
        space: what is searched.
        search: `tpe`, `random` or `grid`.
        trials: as many as wished; None takes the grid's every point, or the usual number.
        seed: decides the order of a grid, and so which points are left out where there are more than wished.

    Returns:
        The number, never more than there are points, and the parameters of a grid.
    """
    if search != "grid":
        points, wanted = size(space), trials or TRIALS
        return wanted if points is None else min(points, wanted), ()
    grid = grid_of(space)
    order = np.random.default_rng(seed).permutation(len(grid))
    chosen = [grid[place] for place in order[:trials]]
    return len(chosen), tuple(chosen)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's lines and its warnings of what is experimental."""
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


class Board:
    """A study that several processes work on.

    Args:
        store: where it is kept.
        name: of the study.
        rules: how trials are chosen.

    Raises:
        InputError: the storage has another study of that name.
    """

    def __init__(self, store: Store, name: str, rules: Rules) -> None:
        import optuna

        self.rules, self.locks = rules, store.locks
        with held(self.locks, _EDIT), quiet():
            self.study: Study = optuna.create_study(
                storage=store.storage,
                study_name=name,
                directions=list(rules.directions),  # type: ignore[arg-type]
                pruner=_pruner(rules),
                sampler=_sampler(rules, 0, 0),
                load_if_exists=True,
            )
            if self.study.user_attrs.get(IDENTITY, rules.identity) != rules.identity:
                wanted = "the same settings and data, or another name (--study)"
                raise InputError(f"the storage has a study {name!r} with other settings or data", wanted)
            self.study.set_user_attr(IDENTITY, rules.identity)
            self._fill()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All attempts so far, by number."""
        with quiet():
            return self.study.get_trials(deepcopy=False)

    @property
    def finished(self) -> dict[int, FrozenTrial]:
        """Slot to the trial that finished it: complete, pruned, or failed by itself."""
        found = {int(trial.user_attrs[SLOT]): trial for trial in self.trials if _counts(trial)}
        return {slot: found[slot] for slot in sorted(found) if slot < self.rules.slots}

    @property
    def done(self) -> bool:
        """Whether every slot is finished."""
        return len(self.finished) == self.rules.slots

    def take(self) -> tuple[Trial, int] | None:
        """Begin the next trial and hold its slot.

        Returns:
            The trial and its slot; None where none waits. Others may still be at work, or die at it.
        """
        with held(self.locks, _EDIT), quiet():
            self._bury()
            self._fill()
            while (waiting := self._waiting()) is not None:
                slot, attempt = int(waiting.user_attrs[SLOT]), int(waiting.user_attrs["attempt"])
                self.study.sampler = _sampler(self.rules, slot, attempt)
                trial = self.study.ask({knob.name: knob.distribution() for knob in self.rules.space})
                if (other := self._untried(trial)) is None:
                    self.locks.take(lock_of(slot))
                    return trial, slot
                trial.set_user_attr(REPEATED, True)
                self._fail(trial.number)
                self._enqueue(slot, attempt + 1, other)
        return None

    def let_go(self, slot: int) -> None:
        """A trial is over, or interrupted: then it is left as one that was killed."""
        self.locks.release(lock_of(slot))

    def tell(self, trial: Trial, values: list[float] | None, pruned: bool = False) -> bool:
        """End a trial: with its values, as pruned, or, without values, as failed; says whether it was still ours."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        state = TrialState.PRUNED if pruned else TrialState.COMPLETE if values is not None else TrialState.FAIL
        with quiet():
            try:
                self.study.tell(trial.number, None if pruned else values, state)
            except (UpdateFinishedTrialError, ValueError):  # the connection was lost, and another took the slot over
                return False
        return True

    def _waiting(self) -> FrozenTrial | None:
        """The trial that Optuna will take next."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return min(waiting, key=lambda trial: trial.number, default=None)

    def _bury(self) -> None:
        """Fail the trials whose process is dead."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            slot = trial.user_attrs.get(SLOT)
            if slot is None:
                self._fail(trial.number)
            elif self.locks.take(lock_of(slot)):
                running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                if any(other.number == trial.number for other in running):  # not ended since it was seen to run
                    self._fail(trial.number)
                self.locks.release(lock_of(slot))

    def _fail(self, number: int) -> None:
        """Fail a trial that finishes no slot."""
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState.FAIL)

    def _fill(self) -> None:
        """Let every slot wait that is neither finished nor at work nor waiting; what was begun keeps its parameters."""
        trials = self.study.get_trials(deepcopy=False)
        by_slot: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            by_slot.setdefault(int(trial.user_attrs.get(SLOT, -1)), []).append(trial)
        for slot in range(self.rules.slots):
            attempts = by_slot.get(slot, [])
            if any(_counts(trial) or not trial.state.is_finished() for trial in attempts):
                continue
            begun = next((dict(trial.params) for trial in reversed(attempts) if trial.params), None)
            if begun is not None and attempts[-1].user_attrs.get(REPEATED):
                begun = None
            fixed = self.rules.fixed[slot] if self.rules.fixed else {}
            repeated = sum(bool(trial.user_attrs.get(REPEATED)) for trial in attempts)
            self._enqueue(slot, repeated, begun or fixed)

    def _enqueue(self, slot: int, attempt: int, params: dict[str, Any]) -> None:
        """Let a slot wait."""
        self.study.enqueue_trial(params, user_attrs={SLOT: slot, "attempt": attempt})

    def _untried(self, trial: Trial) -> dict[str, Value] | None:
        """A point that nobody has tried, where this trial's was; None where it is new, or points have no end."""
        if self.rules.fixed or size(self.rules.space) is None:
            return None
        trials = self.study.get_trials(deepcopy=False)
        others = [_place(other.params) for other in trials if _tried(other, trial.number)]
        if _place(trial.params) not in others:
            return None
        left = [point for point in grid_of(self.rules.space) if _place(point) not in others]
        rng = np.random.default_rng([self.rules.seed, trial.number])
        return left[int(rng.integers(len(left)))] if left else None


def lock_of(slot: int) -> str:
    """The name of a slot's lock."""
    return f"slot-{slot}"


def _place(params: Mapping[str, Value]) -> dict[str, Value]:
    """Parameters that can be compared: a step's multiples differ in their last bits."""
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in params.items()}


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial finishes its slot: it came to an end by itself."""
    from optuna.trial import TrialState

    failed = trial.state == TrialState.FAIL and MESSAGE in trial.user_attrs
    return failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _tried(trial: FrozenTrial, number: int) -> bool:
    """Whether another trial's parameters are in use: finished, or at work."""
    from optuna.trial import TrialState

    return trial.number != number and (_counts(trial) or trial.state == TrialState.RUNNING)


def _sampler(rules: Rules, slot: int, attempt: int) -> BaseSampler:
    """What draws a slot's parameters: made anew for each, so that a study that is continued draws the same."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.default_rng([rules.seed, slot, attempt]).integers(2**31))
    if rules.search != "tpe":
        return RandomSampler(seed=seed)
    with quiet():
        return TPESampler(seed=seed, n_startup_trials=max(4, rules.slots // 3), multivariate=True)


def _pruner(rules: Rules) -> BasePruner:
    """What stops trials that fall behind; two aims have no order to fall behind in."""
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if rules.pruner == "none" or len(rules.directions) > 1:
        return NopPruner()
    if rules.pruner == "median":
        return MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=0)
    return HyperbandPruner(min_resource=1, max_resource=REPORTS, reduction_factor=3)
