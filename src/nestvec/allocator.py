"""Speed up training by letting glibc's malloc keep freed memory for reuse; `NESTVEC_ALLOCATOR=system` turns this off.

A training step frees its activations, and the next step allocates as much again. By default glibc returns the pages to
the system in between, which then clears each page again: up to a third of the processor time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCH = "NESTVEC_ALLOCATOR"  # environment variable; `system` changes nothing
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # numbers of <malloc.h>
_MIB = 1 << 20
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * _MIB, _MMAP_MAX: 0}
# glibc's defaults; the first two are the values that its adaptive thresholds reach after large arrays are freed
_USUAL = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB, _TOP_PAD: 128 << 10, _MMAP_MAX: 65_536}


@contextlib.contextmanager
def keep_freed_pages() -> Iterator[None]:
    """Let malloc keep freed pages for later allocations in the `with` block, and return them to the system at its end.

    Does nothing with a C library other than glibc, with `NESTVEC_ALLOCATOR=system`, or if an environment variable such
    as `GLIBC_TUNABLES` configures malloc.
    """
    if not _is_ours_to_set():
        yield
        return
    libc = ctypes.CDLL(None)
    _apply_options(libc, _KEEPING)
    try:
        yield
    finally:
        _apply_options(libc, _USUAL)
        libc.malloc_trim(0)


def _is_ours_to_set() -> bool:
    """Whether this process uses glibc, and no environment variable configures glibc's malloc."""
    told = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    return platform.libc_ver()[0] == "glibc" and os.environ.get(SWITCH) != "system" and not told


def _apply_options(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
