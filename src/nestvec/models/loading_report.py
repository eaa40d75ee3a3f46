"""What transformers is asked and reports of the weights that it loads: a model that lacks some must not be measured."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_POOLER = "pooler."  # weights beside the layers, whose output sentence vectors are seldom made of
_SPARE = 2, 1 << 24  # times the numbers that files hold, and so many more: what a model may have that no file holds
_LOCK = threading.Lock()


class ReportedError(Exception):
    """The loader would fill weights in with random numbers, or did; the message names the first of them."""


@contextlib.contextmanager
def refusing_missing_weights(held: int | None) -> Iterator[list[str]]:
    """Let transformers load models in this block, and raise ReportedError where a model's files lack a weight.

    A model whose configuration calls for far more numbers than its files hold, `held`, is refused before memory is
    taken for them; None: how many they hold is not known.

    A pooler may be missing; the names of its weights are in the list that the block is given. The library tells of
    missing weights in its log only, unless it is asked for the report; and sentence-transformers, which calls it, has
    no way to ask. So `from_pretrained` asks for as long as the block lasts. One thread at a time loads models so.
    """
    from transformers import PreTrainedModel

    original, lacks_pooler = PreTrainedModel.__dict__["from_pretrained"], list[str]()

    def from_pretrained(cls: Any, /, *args: Any, output_loading_info: bool = False, **options: Any) -> Any:  # noqa: ANN401
        options |= {"ignore_mismatched_sizes": True}  # they are in the report, by name
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
    """Raise for a configuration that calls for far more numbers than the files hold; takes no memory for them."""
    import torch

    with torch.device("meta"):
        bare = kind(copy.deepcopy(config))
    wanted = sum(tensor.numel() for tensors in (bare.parameters(), bare.buffers()) for tensor in tensors)
    if wanted > _SPARE[0] * held + _SPARE[1]:
        raise ReportedError(f"config.json calls for {wanted:,} numbers, while the files of weights hold {held:,}")


def _refuse_gaps(report: dict[str, Any]) -> list[str]:
    """Raise for the first weight that no file holds, or holds in another shape; returns a pooler's missing weights."""
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_POOLER))
    if missing:
        raise ReportedError(f"lacks {len(missing)} weights, {missing[0]} first")
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        raise ReportedError(f"holds the weight {name} in the shape {tuple(stored)}, not {tuple(wanted)}")
    return sorted(report["missing_keys"])
