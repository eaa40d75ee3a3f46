"""Choose the number of threads and the number format in which PyTorch computes on this machine."""

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
    """Give PyTorch one thread per processor of this process, unless `OMP_NUM_THREADS` is set; returns the number.

    PyTorch counts the machine's cores. In a container with two of sixty-four cores, that many threads would be slow.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), count_processors()))
    _LOG.debug("PyTorch computes in %d threads", torch.get_num_threads())
    return torch.get_num_threads()


def limit_threads(count: int) -> None:
    """Limit PyTorch to `count` threads for work of the calling thread; does nothing if PyTorch is not loaded."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def choose_compute(wanted: str) -> str:
    """Choose the number format as the user asks; `auto` takes bfloat16 if the hardware has instructions for bfloat16.

    Emulated bfloat16 is far slower than float32, so the processor's flags decide, not what PyTorch accepts.
    """
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if platform.system() == "Linux" else ""
    return "bfloat16" if any(flag in flags.split() for flag in _FLAGS) else "float32"
