"""Count the tokens of texts, and find a model's length limit; loads only the model's tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError, MissingExtraError
from nestvec.files import read_object
from nestvec.models.model_files import list_module_folders
from nestvec.models.token_batches import ENDLESS, prepare_tokenizer, split_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_BATCH = 10_000  # texts tokenised together
_STATIC = "StaticEmbedding"  # a module without length limit and without special tokens
_CONFIG = "the configuration of a model"


def count_tokens(path: Path, texts: Sequence[str]) -> tuple[NDArray[np.int64], int | None]:
    """Count the tokens of n texts, (n,), with special tokens, and find the model's length limit in tokens.

    The limit is None for a model without limit. Raises InputError if the model's folder `path` has no fast tokenizer,
    or a damaged one.
    """
    folder, kind = next(iter(list_module_folders(path).items()))
    tokenizer = prepare_tokenizer(_load_tokenizer(path / folder), None)
    special = kind != _STATIC
    lengths = (
        len(encoding.ids)
        for part in split_texts(texts, _BATCH)
        for encoding in tokenizer.encode_batch_fast(list(part), add_special_tokens=special)
    )
    return np.fromiter(lengths, np.int64, len(texts)), None if kind == _STATIC else _read_limit(path / folder)


def _load_tokenizer(folder: Path) -> Tokenizer:
    """Load the fast tokenizer of a module's folder; without tokenizer.json, transformers converts the vocabulary."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "train") from error
    path, wanted = folder / "tokenizer.json", "a model with a fast tokenizer"
    if path.is_file():
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"is damaged ({error})", wanted, file=path) from error
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True).backend_tokenizer
    except Exception as error:  # each kind of tokenizer raises its own errors
        raise InputError("there is no such file", wanted, file=path) from error
    if not isinstance(tokenizer, Tokenizer):
        raise InputError("there is no such file", wanted, file=path)
    return tokenizer


def _read_limit(folder: Path) -> int | None:
    """Find the length limit in tokens, as sentence-transformers derives it from the files of a transformer's folder."""
    names = sorted(folder.glob("sentence_*_config.json"), key=lambda path: path.name != "sentence_bert_config.json")
    named = next(filter(None, (_read_number(path, "max_seq_length") for path in names)), None)
    config = folder / "config.json"
    kind = str(read_object(config, _CONFIG).get("model_type")) if config.is_file() else ""
    positions = ("max_position_embeddings",) if "t5" in kind else ("max_position_embeddings", "n_positions")
    stated = (
        _read_number(folder / "tokenizer_config.json", "model_max_length"),
        *(_read_number(config, key) for key in positions),  # n_positions of T5 is not a limit
    )
    limit = named or min(filter(None, stated), default=ENDLESS)
    return limit if limit < ENDLESS else None


def _read_number(path: Path, key: str) -> int | None:
    """Read a positive whole number from a JSON file; None if the file or the number is missing."""
    value = read_object(path, _CONFIG).get(key) if path.is_file() else None
    return value if isinstance(value, int) and value > 0 else None
