"""The keyword arguments of the Python function `nestvec.tune`, with types for editors."""

from collections.abc import Mapping
from typing import Any

from nestvec.pipeline.run_arguments import RunSettings


class StudySettings(RunSettings, total=False):
    """The keyword arguments of `tune`: settings of the search, and the settings of a run that all trials share."""

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
