"""Several processes as one run: `torchrun --nproc-per-node N -m nestvec run …`.

Every process reads the same input and trains on its part of each batch; the first one alone writes. With one process,
as usual, nothing here does anything, and PyTorch is not imported.
"""

from __future__ import annotations

import os
from typing import Any


def world_size() -> int:
    """How many processes torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def join_processes() -> None:
    """Meet the other processes: NCCL where they have a GPU each, gloo otherwise; once is enough."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState()


def wait_for_all() -> None:
    """Return when every process has called this."""
    if world_size() > 1:
        from torch import distributed

        distributed.barrier()


def take_first_value(value: Any) -> Any:  # noqa: ANN401 - whatever the first process holds
    """The first process's value, for facts such as a file's presence on which all processes must act alike."""
    if world_size() == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def any_process(value: bool) -> bool:
    """Whether the value is true in at least one process."""
    if world_size() == 1:
        return value
    from torch import distributed

    values: list[bool] = [False] * world_size()
    distributed.all_gather_object(values, value)
    return any(values)
