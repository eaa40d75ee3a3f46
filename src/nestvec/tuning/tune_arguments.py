"""Keyword arguments of `tune`: see `nestvec.pipeline.run_arguments`."""

from collections.abc import Mapping
from typing import Any

from nestvec.pipeline.run_arguments import RunSettings


class StudySettings(RunSettings, total=False):
    """The settings of `tune`: the fields of `TuneSettings`, and the settings that all trials share."""

    search: str
    trials: int | None
    aim: str
    pruner: str
    repeats: int
    space: Mapping[str, Any] | None
    storage: str | None
    study: str | None
    workers: int | None
    engine: str
