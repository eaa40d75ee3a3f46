"""Run several processes as one run: `torchrun --nproc-per-node N -m nestvec run …`.

Every process reads the same input and trains on its part of each batch; only the first process writes. With a single
process these functions do nothing and do not import PyTorch.
"""

from __future__ import annotations

import os
from typing import Any


def world_size() -> int:
    """Return the number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the first process that torchrun started; only the first one writes files and prints."""
    return os.environ.get("RANK", "0") == "0"


def join_processes() -> None:
    """Connect the processes that torchrun started, over NCCL (on GPUs) or gloo; later calls do nothing."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState()


def wait_for_all() -> None:
    """Wait until every process that torchrun started has called this function."""
    if world_size() > 1:
        from torch import distributed

        distributed.barrier()


def take_first_value(value: Any) -> Any:  # noqa: ANN401 - whatever the first process holds
    """Return the first process's value in all processes, so that all of them take the same decision."""
    if world_size() == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def any_process(value: bool) -> bool:
    """Whether a value is true in at least one of the processes that torchrun started."""
    if world_size() == 1:
        return value
    from torch import distributed

    values: list[bool] = [False] * world_size()
    distributed.all_gather_object(values, value)
    return any(values)
