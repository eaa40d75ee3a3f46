"""What PyTorch computes with on this machine: how many threads, and which number format is fast."""

from __future__ import annotations

import logging
import os
import platform
import sys
from pathlib import Path

from nestvec.processors import count_processors

_LOG = logging.getLogger(__name__)
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
