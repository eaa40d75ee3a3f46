"""Check the numbers in a model's configurations against the weights, before the model allocates memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import read_object
from nestvec.models.model_files import list_module_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]  # file of weights to weight to its shape

_SETTINGS = (
    "config.json", "config_sentence_transformers.json", "sentence_*config.json", "tokenizer_config.json",
    "lstm_config.json", "cnn_config.json", "wordembedding_config.json",
)  # fmt: skip
_COUNTS = {  # settings that must be 1 or more
    "d_ff", "d_kv", "d_model", "dim", "dimension", "embedding_dimension", "embedding_size", "head_dim", "hidden_dim",
    "hidden_size", "in_features", "intermediate_size", "max_position_embeddings", "max_seq_length", "model_max_length",
    "n_embd", "n_head", "n_heads", "n_layer", "n_layers", "n_positions", "num_attention_heads", "num_heads",
    "num_hidden_layers", "num_key_value_heads", "num_layers", "out_features", "truncate_dim", "vocab_size",
    "word_embedding_dimension",
}  # fmt: skip
_SIZES = re.compile(
    r"(.*_)?(size|dim|dimension|features|embd|heads?|groups?|group_num|buckets|experts|labels|channels)"
    r"|d_(ff|kv|model|inner|head)|n_inner"
)  # settings for the size of a table or list that the library allocates
_LAYERS = re.compile(r"(.*_)?layers?")
_POSITIONS = re.compile(r"(position_embeddings?|embed_positions|wpe)\.weight$")  # weights with one row per position
_LEAST_LIMIT = 4096  # sizes up to this are never refused here: they take little memory, and loading shows what is wrong
_LEAST_LAYERS = 256
_FARTHEST = 10**8  # most positions; today's models state at most a tenth of this


@dataclass(frozen=True)
class _Limits:
    """The largest sizes and counts that the configuration files of a model's module may state."""

    size: float = inf
    layers: float = inf
    tokens: float = inf  # rows of the table of positions, if the weights have one

    @classmethod
    def of(cls, weights: Mapping[str, tuple[int, ...]]) -> _Limits:
        """Derive the largest plausible numbers of a module's configurations from the module's weights."""
        rows = [shape[0] for name, shape in weights.items() if _POSITIONS.search(name) and shape]
        largest = max((dimension for shape in weights.values() for dimension in shape), default=0)
        return cls(max(_LEAST_LIMIT, largest), max(_LEAST_LAYERS, len(weights)), max(rows, default=inf))

    def most(self, key: str) -> float:
        """Give the largest allowed value of a number in a module's configuration."""
        if key == "max_seq_length":
            return self.tokens
        if _LAYERS.fullmatch(key):
            return self.layers
        if "position" in key:
            return _FARTHEST
        return self.size if _SIZES.fullmatch(key) and key != "truncate_dim" else inf


def check_model_settings(path: Path, shapes: Shapes | None = None) -> None:
    """Check the configurations of a model's modules; raises InputError for a damaged file or an absurd number.

    A size larger than all dimensions of the model's weights, `shapes`, is absurd: the library would allocate the memory
    before it compares. With None, as for an adapter whose weights are elsewhere, numbers must only be 1 or more. Other
    mistakes are left to the libraries, which report them when the model is loaded.
    """
    for folder in dict.fromkeys(["", *list_module_folders(path)]):
        own = _own_weights(folder, shapes) if shapes else {}
        limits = _Limits.of(own) if own else _Limits()
        for file in sorted(file for name in _SETTINGS for file in (path / folder).glob(name)):
            values = read_object(file, "the configuration of a model")
            _refuse_no_counts(values, file)
            _refuse_beyond(values, limits, file)
            _refuse_other_product(values, own, file)


def _own_weights(folder: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Find the weights of a module: in the module's own folder, or else in the model's folder."""
    inside = [weights for file, weights in shapes.items() if str(PurePosixPath(file).parent) == (folder or ".")]
    return {name: shape for weights in inside or shapes.values() for name, shape in weights.items()}


def _refuse_no_counts(values: dict[str, Any], file: Path) -> None:
    """Raise InputError for a count that is not a whole number of 1 or more; null is left to the library."""
    for key in sorted(_COUNTS & values.keys()):
        if (value := values[key]) is not None and not (_is_number(value) and value >= 1):
            raise InputError(
                f"{key} is {str(value)[:40]!r}",
                "a whole number, 1 or more: correct the file, or fetch the model again",
                file=file,
            )


def _refuse_beyond(values: dict[str, Any], limits: _Limits, file: Path) -> None:
    """Raise InputError for a number, at any depth of a configuration, that is larger than the weights allow."""
    for key, value in _list_numbers(values):
        if value > (most := limits.most(key)):
            wanted = f"at most {int(most):,}, as the model's weights show"
            raise InputError(f"{key} is {str(value)[:40]}", wanted, file=file)


def _refuse_other_product(values: dict[str, Any], weights: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Raise InputError if a Dense module states another size than its weights have: the product could be huge."""
    if not {"in_features", "out_features"} <= values.keys() or len(weights.get("linear.weight", ())) != 2:
        return
    for key, size in zip(("out_features", "in_features"), weights["linear.weight"], strict=True):
        if values[key] != size:
            raise InputError(f"{key} is {values[key]!r}", f"{size}, as the module's weights show", file=file)


def _list_numbers(values: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    """List every number of a configuration with its key, with those in nested tables and lists."""
    for key, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield from _list_numbers(entry)
            elif isinstance(entry, int | float) and not isinstance(entry, bool):
                yield key, entry


def _is_number(value: object) -> bool:
    """Whether a value is a whole number, possibly written as a float."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
