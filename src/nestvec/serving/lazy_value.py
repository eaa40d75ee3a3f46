"""A value that is made once, when it is first asked for, however many threads ask meanwhile."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class LazyValue(Generic[T]):
    """Gives a value to any thread; threads that ask while it is being made wait for it.

    Args:
        make: gives the value. What it raises is raised, and whoever asks next tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, Lock()
        self._values: list[T] = []

    def __call__(self) -> T:
        """The value."""
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]
