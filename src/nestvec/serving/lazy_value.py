"""A thread-safe value that is computed once, at the first use."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class LazyValue(Generic[T]):
    """Computes a value at the first call and keeps the value; other threads that call meanwhile wait.

    Args:
        make: computes the value. If it raises an error, the call raises the error and the next call tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, Lock()
        self._values: list[T] = []

    def __call__(self) -> T:
        """Return the value; the first call computes it."""
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]
