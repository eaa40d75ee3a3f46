"""Choose how a transformer computes attention: with the library's operator, or as plain matrix products."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer


_LONGEST = 512  # tokens; for longer texts the matrix products of a pass would fill the memory
_LONGEST_FLOAT32 = 32  # tokens


def is_plain_faster(tokens: int, device: str, *, bfloat16: bool, dropout: bool) -> bool:
    """Whether a forward and backward pass over texts of `tokens` tokens is faster with plain attention.

    Speed-up of plain attention, measured on two cores of an EPYC (Zen 4) for 8 to 512 tokens, PyTorch 2.13: in bfloat16
    1.1 to 1.6 times with dropout and 1.8 to 6.2 times without; in float32 1.02 to 1.14 times with dropout, and without
    dropout 1.2 times at 24 tokens but 0.7 times from 128 on. On a GPU the answer is always no.
    """
    if device != "cpu" or tokens > _LONGEST:
        return False
    return bfloat16 or dropout or tokens <= _LONGEST_FLOAT32


@contextlib.contextmanager
def use_plain_attention(model: SentenceTransformer) -> Iterator[None]:
    """Let a model compute attention as plain matrix products within the block.

    Exporters can fuse these products, and on a CPU their backward pass is faster than that of PyTorch's own operator. A
    transformer that supports only one way of computing attention is not changed.
    """
    transformers: list[Any] = [part.auto_model for part in model.children() if hasattr(part, "auto_model")]
    before = [transformer.config._attn_implementation for transformer in transformers]
    for transformer in transformers:
        transformer.set_attn_implementation("eager")
    try:
        yield
    finally:
        for transformer, name in zip(transformers, before, strict=True):
            transformer.set_attn_implementation(name)
