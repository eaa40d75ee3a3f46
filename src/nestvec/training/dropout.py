"""Dropout for the length of a training: how much, whatever the model's configuration says, and masks that are cheap.

On processors that are not Intel's PyTorch draws a mask one number after the other on one thread: 5 to 7 ns each, a
tenth of a step and more.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_STEPS = 65_536  # that a probability is counted in
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


def has_dropout(model: nn.Module) -> bool:
    """Whether training drops anything."""
    return any(getattr(module, name) > 0 for module, name in _probabilities(model))


def _probabilities(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Every module and attribute that holds a dropout probability."""
    for module in model.modules():
        for name, value in vars(module).items():
            of_layer = name == "p" and isinstance(module, nn.modules.dropout._DropoutNd)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if of_layer or (name.endswith(_NUMBERS) and is_number):
                yield module, name


def drop_quickly(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Let NumPy draw dropout's masks in the block on a processor; a GPU keeps PyTorch's own, which are faster there."""
    return QuickDropout() if device.type == "cpu" else contextlib.nullcontext()


class QuickDropout(TorchFunctionMode):
    """Draws the masks of `torch.nn.functional.dropout` with NumPy while it is entered, 16 bits a number.

    The generator is seeded from PyTorch's own when it is made, so that a seed or a restored state decides all masks. A
    probability is rounded to 1/65536, and what is kept is scaled by just that, so that its expectation is the input.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()))))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function gives
        """Call a function of PyTorch's, dropout in our way."""
        del types
        return (self._drop if func is functional.dropout else func)(*args, **(kwargs or {}))

    def _drop(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """As `torch.nn.functional.dropout`."""
        dropped = round(p * _STEPS)
        if not training or not 0 < dropped < _STEPS or input.device.type != "cpu":
            return functional.dropout(input, p, training, inplace)
        words = self._generator.integers(0, 2**64, size=-(-input.numel() // 4), dtype=np.uint64)
        drawn = torch.from_numpy(words.view(np.int16))[: input.numel()].view(input.shape)
        factors = (drawn >= dropped - _STEPS // 2).to(input.dtype).mul_(_STEPS / (_STEPS - dropped))
        return input.mul_(factors) if inplace else input * factors
