"""The numbers that a model's configurations state, held against its weights before memory is taken for them."""

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
_COUNTS = {  # 1 or more wherever they are stated
    "d_ff", "d_kv", "d_model", "dim", "dimension", "embedding_dimension", "embedding_size", "head_dim", "hidden_dim",
    "hidden_size", "in_features", "intermediate_size", "max_position_embeddings", "max_seq_length", "model_max_length",
    "n_embd", "n_head", "n_heads", "n_layer", "n_layers", "n_positions", "num_attention_heads", "num_heads",
    "num_hidden_layers", "num_key_value_heads", "num_layers", "out_features", "truncate_dim", "vocab_size",
    "word_embedding_dimension",
}  # fmt: skip
_SIZES = re.compile(
    r"(.*_)?(size|dim|dimension|features|embd|heads?|groups?|group_num|buckets|experts|labels|channels)"
    r"|d_(ff|kv|model|inner|head)|n_inner"
)  # of a table or a list that the library makes
_LAYERS = re.compile(r"(.*_)?layers?")
_POSITIONS = re.compile(r"(position_embeddings?|embed_positions|wpe)\.weight$")  # of a weight with a row a position
_LEAST_LIMIT = 4096  # sizes up to it are never refused here: they take little memory, and loading tells what is wrong
_LEAST_LAYERS = 256
_FARTHEST = 10**8  # positions: none of today's models states more than a tenth of it


@dataclass(frozen=True)
class _Limits:
    """The most that a module's configurations may state."""

    size: float = inf
    layers: float = inf
    tokens: float = inf  # rows of the table of positions, where the weights have one

    @classmethod
    def of(cls, weights: Mapping[str, tuple[int, ...]]) -> _Limits:
        """Those of a module with these weights."""
        rows = [shape[0] for name, shape in weights.items() if _POSITIONS.search(name) and shape]
        largest = max((dimension for shape in weights.values() for dimension in shape), default=0)
        return cls(max(_LEAST_LIMIT, largest), max(_LEAST_LAYERS, len(weights)), max(rows, default=inf))

    def most(self, key: str) -> float:
        """The most that a setting may be."""
        if key == "max_seq_length":
            return self.tokens
        if _LAYERS.fullmatch(key):
            return self.layers
        if "position" in key:
            return _FARTHEST
        return self.size if _SIZES.fullmatch(key) and key != "truncate_dim" else inf


def check_model_settings(path: Path, shapes: Shapes | None = None) -> None:
    """Read the configurations of a model's modules; raises InputError for one that is damaged, or an absurd number.

    A size beyond all that the model's weights have, `shapes`, is absurd: the library would take the memory first and
    compare then. None, as for an adapter, whose weights are elsewhere, holds numbers to being 1 or more. What only the
    libraries know of is left to them: they say what is wrong when the model is loaded.
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
    """The weights of a module's folder; those of the whole model for a module without any."""
    inside = [weights for file, weights in shapes.items() if str(PurePosixPath(file).parent) == (folder or ".")]
    return {name: shape for weights in inside or shapes.values() for name, shape in weights.items()}


def _refuse_no_counts(values: dict[str, Any], file: Path) -> None:
    """Raise for a count that is no whole number from 1 on; null is left to the library."""
    for key in sorted(_COUNTS & values.keys()):
        if (value := values[key]) is not None and not (_is_number(value) and value >= 1):
            raise InputError(
                f"{key} is {str(value)[:40]!r}",
                "a number, 1 or more: correct the file, or fetch the model again",
                file=file,
            )


def _refuse_beyond(values: dict[str, Any], limits: _Limits, file: Path) -> None:
    """Raise for a number that is larger than the weights allow, however deep it stands in a configuration."""
    for key, value in _list_numbers(values):
        if value > (most := limits.most(key)):
            wanted = f"at most {int(most):,}, as the model's weights show"
            raise InputError(f"{key} is {str(value)[:40]}", wanted, file=file)


def _refuse_other_product(values: dict[str, Any], weights: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Raise where a Dense module states another size than its product has: both at once could be large."""
    if not {"in_features", "out_features"} <= values.keys() or len(weights.get("linear.weight", ())) != 2:
        return
    for key, size in zip(("out_features", "in_features"), weights["linear.weight"], strict=True):
        if values[key] != size:
            raise InputError(f"{key} is {values[key]!r}", f"{size}, as the module's weights show", file=file)


def _list_numbers(values: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Every number of a configuration with its key, and those of tables and lists in it."""
    for key, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield from _list_numbers(entry)
            elif isinstance(entry, int | float) and not isinstance(entry, bool):
                yield key, entry


def _is_number(value: object) -> bool:
    """Whether a value is a whole number, or a float so large that it stands for none."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
