"""Sets the dropout probability for a training, and draws dropout masks quickly.

On processors that are not from Intel, PyTorch draws masks one number at a time on one thread, at 5 to 7 ns per number,
which takes a tenth of a training step or more.
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

_STEPS = 65_536  # probabilities are rounded to multiples of 1/65536
_NUMBERS = ("dropout", "dropout_prob", "dropout_rate", "pdrop")  # ends of the names of number attributes for dropout


@contextlib.contextmanager
def set_dropout(model: nn.Module, share: float | None) -> Iterator[None]:
    """Set all dropout probabilities of a model for a `with` block, and restore them afterwards; None changes none.

    A model whose configuration sets dropout to 0 may have no dropout modules; none are added.
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
    """Whether any dropout probability of the model is above 0."""
    return any(getattr(module, name) > 0 for module, name in _probabilities(model))


def _probabilities(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Find every module attribute that holds a dropout probability: pairs of module and attribute name."""
    for module in model.modules():
        for name, value in vars(module).items():
            of_layer = name == "p" and isinstance(module, nn.modules.dropout._DropoutNd)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if of_layer or (name.endswith(_NUMBERS) and is_number):
                yield module, name


def drop_quickly(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Draw dropout masks with NumPy inside the `with` block on a CPU; on a GPU PyTorch's own masks are faster."""
    return QuickDropout() if device.type == "cpu" else contextlib.nullcontext()


class QuickDropout(TorchFunctionMode):
    """Context in which NumPy draws the masks of `torch.nn.functional.dropout`, with 16 random bits per number.

    The generator is seeded from PyTorch's generator, so that PyTorch's seed or restored state decides all masks. The
    probability is rounded to a multiple of 1/65536. Kept values are scaled by this rounded probability, so that their
    expected value is exact.
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
        """Call a PyTorch function; calls of `dropout` use `_drop`, which draws the masks with NumPy."""
        del types
        return (self._drop if func is functional.dropout else func)(*args, **(kwargs or {}))

    def _drop(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """Apply dropout with masks drawn by NumPy; takes the arguments of `torch.nn.functional.dropout`."""
        dropped = round(p * _STEPS)
        if not training or not 0 < dropped < _STEPS or input.device.type != "cpu":
            return functional.dropout(input, p, training, inplace)
        words = self._generator.integers(0, 2**64, size=-(-input.numel() // 4), dtype=np.uint64)
        drawn = torch.from_numpy(words.view(np.int16))[: input.numel()].view(input.shape)
        factors = (drawn >= dropped - _STEPS // 2).to(input.dtype).mul_(_STEPS / (_STEPS - dropped))
        return input.mul_(factors) if inplace else input * factors
