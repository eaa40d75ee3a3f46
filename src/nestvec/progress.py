"""How long work tells whoever waits for it: lines, and steps with a known number of units."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

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
