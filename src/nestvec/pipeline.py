"""The product in one screen: each stage called in order, skipped if its files are done.

records → grades → split → training → embeddings → surface → recommendation → report

Whatever can be wrong with the user's input is found before the run's folder is touched.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nestvec.errors import InputError
from nestvec.files import RunFolder, read_json
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Reporter(Protocol):
    """Who is told how the work goes on."""

    def say(self, text: str) -> None:
        """Take one line."""

    def step(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Open a step of `total` units; the block calls what it is given with the units done."""


class Silent:
    """A reporter for callers who don't want to hear."""

    def say(self, text: str) -> None:
        """Forget the line."""

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Forget the step."""
        del label, total
        yield lambda _: None
