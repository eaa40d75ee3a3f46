"""The search space of a tuning study: which settings are searched, and the values or the range of each.

Every value is checked like a setting of a run before anything is written, so no trial fails on a wrong value.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product
from math import floor, isfinite, prod
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.point import PRECISIONS
from nestvec.settings import GradedSettings, Settings, TrainingSettings
from nestvec.training.systems import SYSTEMS
from nestvec.tuning.aim import DIMENSION, PRECISION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.distributions import BaseDistribution

    from nestvec.tuning.aim import Aim

FADE = "dimension_fade"  # loss weight of each width relative to the next wider one; becomes dimension_weights
_NOT_TUNED = {"model", "model_sha256", "report_to", "systems", "compute", "adapt"}
_TYPES = {field.name: str(field.type) for kind in (TrainingSettings, GradedSettings) for field in fields(kind)}
_TUNED = set(_TYPES) - _NOT_TUNED
_FORM = "a list of values, or a range such as {low = 1e-5, high = 1e-3, log = true}"
MOST_POINTS = 10_000  # most points that a grid may have

Value = float | int | str


@dataclass(frozen=True)
class Values:
    """A setting to search, with a list of values; a value that is itself a list is stored as text with commas."""

    name: str
    choices: tuple[Value, ...]

    @property
    def grid(self) -> tuple[Value, ...] | None:
        """All values of the setting that a grid search tries."""
        return self.choices

    def distribution(self) -> BaseDistribution:
        """Return the values as an Optuna distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)

    def to_toml(self) -> Any:  # noqa: ANN401 - TOML
        """Return the values in the form of the table `[tune.space]`."""
        return list(self.choices)


@dataclass(frozen=True)
class Range:
    """A setting to search, with a range of numbers from `low` to `high`: uniform, log-uniform, or in steps."""

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def grid(self) -> tuple[Value, ...] | None:
        """All numbers that a grid search tries: those of a range with steps; None for a range without steps."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return None
        numbers = [self.low + count * step for count in range(floor((self.high - self.low) / step + 1e-9) + 1)]
        return tuple(int(number) if self.whole else round(number, 12) for number in numbers)

    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def to_toml(self) -> Any:  # noqa: ANN401 - TOML
        """Return the range in the form of the table `[tune.space]`: `{low = …, high = …}`."""
        kind = int if self.whole else float
        ends: dict[str, Any] = {"low": kind(self.low), "high": kind(self.high)}
        return ends | ({"log": True} if self.log else {}) | ({} if self.step is None else {"step": kind(self.step)})


Knob = Values | Range
Space = tuple[Knob, ...]


def default_space(system: str, grid: bool, aim: Aim, settings: Settings) -> Space:
    """Make the default search space from settings that apply to the system.

    With `grid` the space is small, because every combination of values is tried.
    """
    row, formats = SYSTEMS[system], _format_knobs(aim, settings)
    rates, batches = (3e-5, 1e-4, 2e-4), (16, 32, 64) if row.judged else (64, 128, 256)
    if grid:
        sizes = batches[:2] if row.judged else batches
        epochs = (Values("epochs", (1, 2)),) if row.judged else ()
        return (Values("learning_rate", rates), Values("batch_size", sizes), *epochs, *formats)
    knobs: list[Knob] = [Range("learning_rate", 1e-5, 3e-4, log=True), Values("batch_size", batches)]
    if row.judged:  # `adapted` makes a single pass
        knobs.append(Values("epochs", (1, 2, 3)))
    knobs.append(Range("warmup", 0.0, 0.3, step=0.1))
    if row.scaled:
        knobs.append(Range("scale", 10.0, 50.0, step=10.0))
    if row.nested:
        knobs.append(Values(FADE, (1.0, 0.5, 0.25)))
    if row.ours:
        knobs += [Values("hard_negatives", (0, 1, 2, 4)), Values("mixing", (1.0, 0.75, 0.5))]
    return (*knobs, *formats)


def _format_knobs(aim: Aim, settings: Settings) -> Space:
    """Return dimension and precision as settings to search if few bytes are an aim; else an empty space."""
    if not aim.with_bytes:
        return ()
    return Values(DIMENSION, tuple(settings.evaluation.dimensions or ())), Values(PRECISION, PRECISIONS)


def read_space(table: Mapping[str, Any], settings: Settings, aim: Aim, where: str) -> Space:
    """Read the table `[tune.space]`: settings with a list of values or a range each, in the order of the table.

    If few bytes are an aim, dimension and precision are searched even if the table lacks them. Raises InputError, which
    names the file `where`, for a setting that cannot be searched or a value that the setting does not take.
    """
    if not isinstance(table, dict) or not table:
        raise InputError(f"tune.space is {table!r}", "a table: for each setting, values or a range", file=where)
    space = []
    for given, wish in table.items():
        name, key = given.replace("-", "_"), f"{where}, [tune.space] {given}"
        known = _TUNED | {FADE} | ({DIMENSION, PRECISION} if aim.with_bytes else set())
        known -= set() if SYSTEMS[settings.training.systems[0]].judged else {"epochs"}  # `adapted` makes a single pass
        if name not in known:
            raise InputError("cannot be searched", "one of " + ", ".join(sorted(known)), file=key)
        knob = _parse_knob(name, wish, key)
        _check_knob(knob, settings, aim, key)
        space.append(knob)
    named = {knob.name for knob in space}
    _refuse_duplicates(space, where)
    return (*space, *(knob for knob in _format_knobs(aim, settings) if knob.name not in named))


def _refuse_duplicates(space: list[Knob], where: str) -> None:
    """Raise InputError if the search space has a setting twice, perhaps under two names."""
    names = ["dimension_weights" if knob.name == FADE else knob.name for knob in space]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"[tune.space] sets {name} twice", "each setting once", file=where)


def _parse_knob(name: str, wish: object, key: str) -> Knob:
    """Read the list of values, or the range, that `[tune.space]` has for a setting."""
    if isinstance(wish, list) and wish:
        choices = tuple(_check_scalar(value, key) for value in wish)
        if len(set(map(str, choices))) < len(choices):
            raise InputError(f"holds a value twice: {wish}", "each value once", file=key)
        return Values(name, choices)
    if not isinstance(wish, dict) or not {"low", "high"} <= set(wish) <= {"low", "high", "log", "step"}:
        raise InputError(f"is {wish!r}", _FORM, file=key)
    return _parse_range(name, wish, key)


def _parse_range(name: str, wish: Mapping[str, Any], key: str) -> Range:
    """Read a range from a table with `low`, `high` and, optionally, `log` or `step`."""
    low, high, log, step = wish["low"], wish["high"], wish.get("log", False), wish.get("step")
    numbers = [number for number in (low, high, step) if number is not None]
    right = all(isinstance(number, int | float) and type(number) is not bool and isfinite(number) for number in numbers)
    if not right or not isinstance(log, bool):
        raise InputError(f"is {dict(wish)!r}", _FORM, file=key)
    if low >= high or (log and low <= 0) or (step is not None and (step <= 0 or log)):
        wanted = "low below high; with log, low above 0 and no step; a step above 0"
        raise InputError(f"is {dict(wish)!r}", wanted, file=key)
    kind = _TYPES.get(name, "float")
    whole = kind.startswith("int")
    if name == PRECISION or not kind.startswith(("int", "float")):
        raise InputError("is a range", "a list of values", file=key)
    if whole and not all(isinstance(number, int) for number in numbers):
        raise InputError(f"is {dict(wish)!r}", "whole numbers", file=key)
    return Range(name, low, high, log, step, whole or name == DIMENSION)


def _check_scalar(value: object, key: str) -> Value:
    """Check a value in a setting's list of values; convert a value that is itself a list to text with commas."""
    if isinstance(value, list) and value:
        return ",".join(str(_check_scalar(item, key)) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise InputError(f"holds {value!r}", "numbers, words, or lists of these", file=key)
    return value


def _check_knob(knob: Knob, settings: Settings, aim: Aim, key: str) -> None:
    """Raise InputError if the search space has a value that the setting cannot have."""
    for value in knob.choices if isinstance(knob, Values) else (knob.low, knob.high):
        if knob.name == DIMENSION:
            right = isinstance(value, int) and 1 <= value <= aim.format.dimension
        else:
            right = knob.name != PRECISION or value in PRECISIONS
        if knob.name == FADE:
            right = isinstance(value, int | float) and 0 < value <= 1
        if not right:
            raise InputError(f"holds {value!r}", "a width, a precision, or a factor above 0, at most 1", file=key)
        try:
            apply_params(settings, {knob.name: int(value) if getattr(knob, "whole", False) else value})
        except InputError as error:
            raise InputError(error.problem, error.expected, file=key) from error


def apply_params(settings: Settings, params: Mapping[str, Value]) -> Settings:
    """Return the settings of a trial: the settings that all trials share, with the trial's parameters.

    Dimension and precision are ignored here: they only say in which vector format the trial is measured.
    """
    values = {name: value for name, value in params.items() if name not in {DIMENSION, PRECISION, FADE}}
    lists = {name for name, value in settings.flat().items() if isinstance(value, list)} | {"dimension_weights"}
    chosen: dict[str, Any] = {name: str(value) if name in lists else value for name, value in values.items()}
    if FADE in params:
        count = len(settings.evaluation.dimensions or ())
        chosen["dimension_weights"] = [float(params[FADE]) ** width for width in range(count)]
    return Settings.from_flat({**settings.flat(), **chosen}, "the study")


def list_grid(space: Space) -> list[dict[str, Value]]:
    """List all combinations of values in a search space; the last setting changes fastest.

    Raises InputError if a range has no steps, or if there are more than 10,000 combinations.
    """
    axes = []
    for knob in space:
        if knob.grid is None:
            wanted = "a list of values, or a range with a step"
            raise InputError(f"[tune.space] {knob.name} is a range without steps, which a grid cannot try", wanted)
        axes.append(knob.grid)
    count = prod(map(len, axes))
    if count > MOST_POINTS:
        wanted = f"at most {MOST_POINTS:,}, or --search random"
        raise InputError(f"the grid has {count:,} combinations of values", wanted)
    return [dict(zip((knob.name for knob in space), values, strict=True)) for values in product(*axes)]


def count_points(space: Space) -> int | None:
    """Count the combinations of values in a search space; None if a range has no steps, so that they are endless."""
    counted = [len(knob.grid) for knob in space if knob.grid is not None]
    return prod(counted) if len(counted) == len(space) else None
