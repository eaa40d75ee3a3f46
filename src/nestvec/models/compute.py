"""What this machine computes with: how many threads this process may use, and which number format is fast."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from math import ceil
from pathlib import Path

_LOG = logging.getLogger(__name__)
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def use_processors() -> int:
    """Give PyTorch as many threads as this process has processors and return the number; `OMP_NUM_THREADS` goes first.

    PyTorch counts the machine's cores. A container that owns two of sixty-four would wait for itself.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), count_processors()))
    _LOG.debug("PyTorch computes in %d threads", torch.get_num_threads())
    return torch.get_num_threads()


def limit_threads(count: int) -> None:
    """Let PyTorch compute in so many threads when the calling thread asks it to; nothing where it is not loaded."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def count_processors() -> int:
    """How many processors this process may use; `OMP_NUM_THREADS` has the last word."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else max(1, min(_count_allowed(), _count_quota()))


def choose_compute(wanted: str) -> str:
    """`float32` or `bfloat16`, as wanted; for `auto` bfloat16 exactly where the hardware has instructions for it.

    Emulated bfloat16 is far slower than float32, so the processor's flags decide and not what PyTorch accepts.
    """
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if platform.system() == "Linux" else ""
    return "bfloat16" if any(flag in flags.split() for flag in _FLAGS) else "float32"


def _count_allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_quota() -> int:
    """Processors that a container's quota allows, rounded up; all of the machine's where there is no quota."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = _QUOTA.read_text(encoding="utf-8").split()
        return ceil(int(limit) / int(period))
    return os.cpu_count() or 1
