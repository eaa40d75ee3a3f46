"""Count the processors that this process may use, and run work in threads on them."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def count_processors() -> int:
    """Count the processors that this process may use; `OMP_NUM_THREADS` overrides the count."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else max(1, min(_count_allowed(), _count_quota()))


def map_in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Apply `work` to each item, in one thread per processor; return the results in the order of the items."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(len(items), count_processors()), "nestvec-share") as pool:
        return list(pool.map(work, items))


def make_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items of an iterator; a thread computes the next item while the caller works on the present item."""
    end = object()
    with ThreadPoolExecutor(1, "nestvec-ahead") as pool:
        following = pool.submit(next, items, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # an item, as it is not `end`


def _count_allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_quota() -> int:
    """Count the processors that a container's quota allows, rounded up; without a quota, all that the machine has."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = _QUOTA.read_text(encoding="utf-8").split()
        return ceil(int(limit) / int(period))
    return os.cpu_count() or 1
