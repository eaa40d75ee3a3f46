"""How a transformer computes attention: by the library's choice, or as plain matrix products."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer


@contextlib.contextmanager
def use_plain_attention(model: SentenceTransformer) -> Iterator[None]:
    """Compute attention as plain matrix products, and as before afterwards.

    Exporters can fuse them, and on a processor their backward pass is faster than that of PyTorch's own operator. A
    transformer that knows one way only keeps it.
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
