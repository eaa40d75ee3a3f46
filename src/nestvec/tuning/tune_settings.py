"""The options of `nestvec tune` besides those of a run: search, trials, aim, storage and workers."""

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
    """What a tuning study searches, and how; fields with `help` are options of `nestvec tune`.

    Attributes:
        search: how parameters are chosen: `tpe`, `random`, `grid` or `data-size`.
        trials: number of trials; None means all combinations of values for a grid, and 12 otherwise.
        aim: what to improve: `recall@10`, `ndcg@10.48.int8`, or with few bytes `recall@10,bytes`.
        pruner: what stops trials that fall behind: `median`, `hyperband` or `none`.
        repeats: number of trainings at each data size, for `data-size`.
        space: the table `[tune.space]`; None takes the default space.
        storage: None keeps the study in a file in its folder; else the URL of a PostgreSQL database.
        study: the study's name in a database; None takes the folder's name.
        workers: number of processes that train at the same time; None means one, or on a cluster one per device.
        engine: `local` or `ray`.
        where: the file that holds `[tune.space]`, for messages.
    """

    search: str = option("tpe", "tpe, random, grid, or data-size for a learning curve.")
    trials: int | None = option(None, "Number of trials (12; for a grid, all combinations).")
    aim: str = option("recall@10", "recall@10, ndcg@10.48.int8, or with bytes: recall@10,bytes.")
    pruner: str = option("median", "How to stop weak trials: median, hyperband, none.")
    repeats: int = option(REPEATS, "Trainings at each data size, for --search data-size.")
    space: Mapping[str, Any] | None = None
    storage: str | None = option(None, "Database of the trials: postgresql://user@host/db (a file).")
    study: str | None = option(None, "Name of the study in a database (the folder's name).")
    workers: int | None = option(None, "Parallel trainings (1, or with ray one per device).")
    engine: str = option("local", "local, or ray for a cluster.")
    where: str = "the settings"

    def __post_init__(self) -> None:
        """Raise InputError for the first setting whose value is outside its range."""
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
            raise InputError(
                "--trials or [tune.space] is given with --search data-size",
                "--repeats N, the number of trainings at each data size",
            )
        if not isinstance(self.aim, str):
            wanted = "a metric as text, alone or with a vector format: recall@10, or recall@10.48.int8"
            raise InputError(f"--aim is {self.aim!r}", wanted)

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], where: str = "the settings") -> TuneSettings:
        """Build the settings of a study from names and values; a value of None keeps the default.

        Raises InputError, naming the file `where`, for an unknown name or a value outside its range.
        """
        known = [entry.name for entry in fields(cls) if entry.name != "where"]
        for name in values:
            if name not in known:
                raise InputError(f"unknown setting {name!r} in [tune]", "one of " + ", ".join(known), file=where)
        return cls(**{name: value for name, value in values.items() if value is not None}, where=where)

    @property
    def is_data_size(self) -> bool:
        """Whether the study trains on parts of the data of different sizes (`--search data-size`)."""
        return self.search == DATA_SIZE
