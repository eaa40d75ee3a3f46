"""Several processes as one run: `torchrun --nproc-per-node N -m nestvec run …`.

Every process reads the same input and trains on its part of each batch; the first one alone writes. With one process,
as usual, nothing here does anything, and PyTorch is not imported.
"""

from __future__ import annotations

import os
from typing import Any


def count() -> int:
    """How many processes share the work, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def join() -> None:
    """Meet the other processes: NCCL where they have a GPU each, gloo otherwise; once is enough."""
    if count() > 1:
        from accelerate import PartialState

        PartialState()


def wait_for_all() -> None:
    """Until every process is here."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


def agreed(value: Any) -> Any:  # noqa: ANN401 - whatever the first process holds
    """What the first process holds; for facts, such as a file's presence, on which all must act alike."""
    if count() == 1:
        return value
    from torch import distributed

    held = [value]
    distributed.broadcast_object_list(held)
    return held[0]


def any_of_them(value: bool) -> bool:
    """Whether it is true in at least one process."""
    if count() == 1:
        return value
    from torch import distributed

    held: list[bool] = [False] * count()
    distributed.all_gather_object(held, value)
    return any(held)
