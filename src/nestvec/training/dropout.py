"""Dropout for the length of a training, whatever the model's configuration says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = ("dropout", "dropout_prob", "dropout_rate", "pdrop")  # of attention that is given its dropout as a number


@contextlib.contextmanager
def set_dropout(model: nn.Module, share: float | None) -> Iterator[None]:
    """Set every dropout probability of a model, and put the model's own back afterwards; None changes nothing.

    A module that the model's configuration left out because its own dropout is 0 is not added.
    """
    before = [] if share is None else [(module, name, getattr(module, name)) for module, name in _probabilities(model)]
    for module, name, _ in before:
        setattr(module, name, share)
    try:
        yield
    finally:
        for module, name, own in before:
            setattr(module, name, own)


def _probabilities(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Every module and attribute that holds a dropout probability."""
    for module in model.modules():
        for name, value in vars(module).items():
            of_layer = name == "p" and isinstance(module, nn.modules.dropout._DropoutNd)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if of_layer or (name.endswith(_NUMBERS) and is_number):
                yield module, name
