"""What a study is to do, and by whom: the options of `nestvec tune` besides those of a run."""

from __future__ import annotations

from collections.abc import Mapping  # at run time, too: the command line reads the fields' types
from dataclasses import dataclass, fields
from typing import Any

from nestvec.errors import InputError
from nestvec.settings import option

DATA_SIZE = "data-size"
SEARCHES = ("tpe", "random", "grid", DATA_SIZE)
PRUNERS = ("median", "hyperband", "none")
ENGINES = ("local", "ray")
TRIALS, REPEATS = 12, 3
SHARES = (0.12, 0.25, 0.5, 1.0)  # of the training queries, in a search over the size of the data
_COUNTS = ("trials", "repeats", "workers")


@dataclass(frozen=True)
class TuneSettings:
    """What a study is to do; fields with `help` are options of the command.

    Attributes:
        search: one of `SEARCHES`.
        trials: how many; None takes a grid's every point, and 12 otherwise.
        aim: as `tuning.aim` reads it.
        pruner: one of `PRUNERS`; what stops a trial that falls behind.
        repeats: trainings of each size, in a search over the size of the data.
        space: the table `[tune.space]`; None takes the default.
        storage: where the study is kept: None for a file in its folder, or postgresql://…
        study: its name in a database; None takes the folder's.
        workers: processes that train at a time; None takes one, or one a device on a cluster.
        engine: `local` or `ray`.
        where: the file that the space was read from, for messages.
    """

    search: str = option("tpe", "tpe, random, grid, or data-size for a learning curve.")
    trials: int | None = option(None, "How many trials (12; a grid's every point).")
    aim: str = option("recall@10", "recall@10, ndcg@10.48.int8, or recall@10,bytes for both.")
    pruner: str = option("median", "What stops trials that fall behind: median, hyperband, none.")
    repeats: int = option(REPEATS, "Trainings of each size, for data-size.")
    space: Mapping[str, Any] | None = None
    storage: str | None = option(None, "postgresql://user@host:port/database (a file in the folder).")
    study: str | None = option(None, "The study's name in a database (the folder's).")
    workers: int | None = option(None, "Processes that train at a time (1; with ray one a device).")
    engine: str = option("local", "local, or ray for a cluster.")
    where: str = "the settings"

    def __post_init__(self) -> None:
        """Raise InputError for the first value outside its range."""
        words = {"search": SEARCHES, "pruner": PRUNERS, "engine": ENGINES}
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"--{name} is {getattr(self, name)}", "one of " + ", ".join(allowed))
        for name in _COUNTS:
            value, least = getattr(self, name), 2 if name == "repeats" else 1
            if value is not None and (type(value) is not int or value < least):
                raise InputError(f"--{name} is {value}", f"a whole number, {least} or more")
        if self.storage is not None and not self.storage.startswith(("postgresql://", "postgres://")):
            raise InputError(f"--storage is {self.storage}", "postgresql://user@host:port/database")
        if self.is_data_size and (self.trials is not None or self.space is not None):
            raise InputError("--search data-size takes no --trials and no [tune.space]", "--repeats")
        if not isinstance(self.aim, str):
            raise InputError(f"--aim is {self.aim!r}", "text")

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], where: str = "the settings") -> TuneSettings:
        """Build from options by name; None stands for what was not given.

        Raises InputError, which names the file `where`, for a name that is unknown or a value outside its range.
        """
        known = [entry.name for entry in fields(cls) if entry.name != "where"]
        for name in values:
            if name not in known:
                raise InputError(f"[tune] has no {name!r}", "one of " + ", ".join(known), file=where)
        return cls(**{name: value for name, value in values.items() if value is not None}, where=where)

    @property
    def is_data_size(self) -> bool:
        """Whether the study searches over the size of the data."""
        return self.search == DATA_SIZE
