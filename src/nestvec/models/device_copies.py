"""Copy a model's inputs to a GPU and the outputs back while the GPU goes on computing.

A plain `.to(device)` or `.cpu()` waits until the GPU has finished all queued work. Copies from and to pinned memory are
queued like other work, so the GPU computes on. On a CPU nothing is copied or queued.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from nestvec.models.base_encoder import Encoded

    # rows of the texts, tokens of each, (n, width) output on the device
    Computed = tuple[NDArray[Any], NDArray[Any] | int, Tensor]

_AHEAD = {"cpu": 0}  # by device: batches to queue before the output of an earlier batch is fetched
_AHEAD_ELSEWHERE = 1


def send(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Copy an array or a tensor to a device. A copy to a GPU is queued before any work that the caller queues later."""
    import torch

    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def send_inputs(inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Copy a model's inputs to a device; inputs that are neither arrays nor tensors are returned unchanged."""
    import numpy as np
    import torch

    return {
        name: send(value, device) if isinstance(value, np.ndarray | torch.Tensor) else value
        for name, value in inputs.items()
    }


def fetch_behind(computed: Iterable[Computed], ahead: int | None = None) -> Generator[Encoded]:
    """Copy a model's outputs to memory and yield them in order, while the device computes the next outputs.

    An output is fetched after `ahead` later batches were queued; None means 0 on a CPU and 1 on a GPU.
    """
    waiting = deque[tuple[Any, Any, "Callable[[], NDArray[Any]]"]]()
    for rows, lengths, output in computed:
        waiting.append((rows, lengths, _start_fetch(output)))
        most = _AHEAD.get(output.device.type, _AHEAD_ELSEWHERE) if ahead is None else ahead
        while len(waiting) > most:
            yield _finish(waiting.popleft())
    while waiting:
        yield _finish(waiting.popleft())


def _finish(fetched: tuple[Any, Any, Callable[[], NDArray[Any]]]) -> Encoded:
    rows, lengths, fetch = fetched
    return rows, lengths, fetch()


def _start_fetch(output: Tensor) -> Callable[[], NDArray[Any]]:
    """Queue the copy of an output into memory; returns a function that waits for the copy and returns it."""
    import torch

    if output.device.type != "cuda":
        return lambda: output.cpu().numpy()
    copy = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
    copy.copy_(output, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(output.device))

    def fetch() -> NDArray[Any]:
        done.synchronize()
        return copy.numpy()

    return fetch
