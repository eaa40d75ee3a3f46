"""Refuses models with missing weights, using the report that transformers makes when it loads a model."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_POOLER = "pooler."  # weights beside the layers, which few sentence vectors depend on
_SPARE = 2, 1 << 24  # a model may have at most 2 times the numbers in its files, plus 16 million
_LOCK = threading.Lock()


class ReportedError(Exception):
    """A model lacks weights or has wrong ones, so that transformers would use random numbers; the message names one."""


@contextlib.contextmanager
def refusing_missing_weights(held: int | None) -> Iterator[list[str]]:
    """Raise ReportedError within the block if transformers loads a model whose files lack a weight.

    `held` counts the numbers in the model's files, None if unknown. A model whose configuration calls for far more
    numbers is refused before memory is allocated for them.

    A pooler may lack its weights; the list that the `with` statement yields then names these weights. transformers only
    logs missing weights unless its caller asks for a report, and sentence-transformers does not ask. So
    `from_pretrained` is replaced within the block. Only one thread at a time can be in such a block.
    """
    from transformers import PreTrainedModel

    original, lacks_pooler = PreTrainedModel.__dict__["from_pretrained"], list[str]()

    def from_pretrained(cls: Any, /, *args: Any, output_loading_info: bool = False, **options: Any) -> Any:  # noqa: ANN401
        options |= {"ignore_mismatched_sizes": True}  # the report lists them by name
        if held is not None and "config" in options:
            _refuse_larger(cls, options["config"], held)
        model, report = original.__func__(cls, *args, output_loading_info=True, **options)
        lacks_pooler.extend(_refuse_gaps(report))
        return (model, report) if output_loading_info else model

    with _LOCK:
        PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[assignment]
        try:
            yield lacks_pooler
        finally:
            PreTrainedModel.from_pretrained = original  # type: ignore[method-assign]


def _refuse_larger(kind: Any, config: Any, held: int) -> None:  # noqa: ANN401 - the library's classes
    """Raise ReportedError if a configuration calls for far more numbers than the files hold; allocates no memory."""
    import torch

    with torch.device("meta"):
        bare = kind(copy.deepcopy(config))
    wanted = sum(tensor.numel() for tensors in (bare.parameters(), bare.buffers()) for tensor in tensors)
    if wanted > _SPARE[0] * held + _SPARE[1]:
        raise ReportedError(f"config.json needs {wanted:,} weights, but the model files hold {held:,}")


def _refuse_gaps(report: dict[str, Any]) -> list[str]:
    """Raise ReportedError if a weight is missing or has a wrong shape; returns the missing weights of a pooler."""
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_POOLER))
    if missing:
        raise ReportedError(f"lacks {len(missing)} weights, such as {missing[0]}")
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        raise ReportedError(f"the weight {name} has the shape {tuple(stored)}; config.json calls for {tuple(wanted)}")
    return sorted(report["missing_keys"])
