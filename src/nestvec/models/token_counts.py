"""How many tokens texts have, and how many a model reads at most; of the model only its tokenizer is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError, MissingExtraError
from nestvec.files import read_json
from nestvec.models.token_batches import prepare_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_DEFAULT_LIMIT = 512  # of a model whose files state none
_BATCH = 10_000  # texts tokenised at a time


def count_tokens(folder: Path, texts: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """(n,) tokens of n texts, special ones included, and how many a model reads at most, without loading the model.

    InputError is raised where the folder holds no tokenizer.json, or a damaged one.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "train") from error
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError("there is no such file", "a model with a fast tokenizer", file=path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"is damaged ({error})", "a fast tokenizer", file=path) from error
    prepare_tokenizer(tokenizer, None)
    lengths = (
        len(encoding.ids)
        for first in range(0, len(texts), _BATCH)
        for encoding in tokenizer.encode_batch_fast(list(texts[first : first + _BATCH]))
    )
    return np.fromiter(lengths, np.int64, len(texts)), _read_limit(folder)


def _read_limit(folder: Path) -> int:
    """Tokens that the model reads at most: what sentence-transformers makes of the files of a model."""
    named, tokenizer, model = (
        _read_number(folder / file, key)
        for file, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
            ("config.json", "max_position_embeddings"),
        )
    )
    return named or min(filter(None, (tokenizer, model)), default=_DEFAULT_LIMIT)


def _read_number(path: Path, key: str) -> int | None:
    """A positive whole number in a JSON file, if it is there."""
    value = read_json(path).get(key) if path.is_file() else None
    return value if isinstance(value, int) and value > 0 else None
