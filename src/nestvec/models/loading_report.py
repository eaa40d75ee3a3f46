"""What transformers reports of the weights that it loads: a model that lacks some must not be measured."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_POOLER = "pooler."  # weights beside the layers, whose output sentence vectors are seldom made of
_LOCK = threading.Lock()


class ReportedError(Exception):
    """The loader filled weights in with random numbers; the message names the first of them."""


@contextlib.contextmanager
def refusing_missing_weights() -> Iterator[list[str]]:
    """Let transformers load models in this block, and raise ReportedError where a model's files lack a weight.

    A pooler may be missing; the names of its weights are in the list that the block is given. The library tells of
    missing weights in its log only, unless it is asked for the report; and sentence-transformers, which calls it, has
    no way to ask. So `from_pretrained` asks for as long as the block lasts. One thread at a time loads models so.
    """
    from transformers import PreTrainedModel

    original, lacks_pooler = PreTrainedModel.__dict__["from_pretrained"], list[str]()

    def from_pretrained(cls: Any, /, *args: Any, output_loading_info: bool = False, **options: Any) -> Any:  # noqa: ANN401
        options |= {"ignore_mismatched_sizes": True}  # they are in the report, by name
        model, report = original.__func__(cls, *args, output_loading_info=True, **options)
        lacks_pooler.extend(_refuse_gaps(report))
        return (model, report) if output_loading_info else model

    with _LOCK:
        PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[assignment]
        try:
            yield lacks_pooler
        finally:
            PreTrainedModel.from_pretrained = original  # type: ignore[method-assign]


def _refuse_gaps(report: dict[str, Any]) -> list[str]:
    """Raise for the first weight that no file holds, or holds in another shape; returns a pooler's missing weights."""
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_POOLER))
    if missing:
        raise ReportedError(f"lacks {len(missing)} weights, {missing[0]} first")
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        raise ReportedError(f"holds the weight {name} in the shape {tuple(stored)}, not {tuple(wanted)}")
    return sorted(report["missing_keys"])
