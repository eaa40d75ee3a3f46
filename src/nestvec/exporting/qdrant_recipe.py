"""Writes Qdrant files for hybrid search: a collection with dense and sparse vectors, and a fused query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.exporting.recipe_numbers import to_json
from nestvec.lexical.fusion import BEST, RANKS

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_BITS = {"binary": "one_bit", "int2": "two_bits", "int4": "two_bits"}


def qdrant_recipe(numbers: RecipeNumbers) -> dict[str, str]:
    """Render JSON files for Qdrant 1.16: a collection, a query for the best keyword score, and a fused query."""
    best = {"query": _SPARSE, "using": "words", "limit": 1}
    return {
        "qdrant/collection.json": to_json(_make_collection(numbers)),
        "qdrant/best_words.json": to_json(best),
        "qdrant/search.json": to_json(_make_search(numbers)),
    }


_SPARSE = {"indices": [0], "values": [1.0]}  # placeholder: numbers of the query's words, and how often each occurs


def _make_collection(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of `PUT /collections/documents`, which creates the Qdrant collection."""
    stored = numbers.format
    vectors: dict[str, Any] = {"size": stored.dimension, "distance": "Cosine"}
    if stored.precision == "float16":
        vectors["datatype"] = "float16"
    elif stored.precision == "int8":
        vectors["quantization_config"] = {"scalar": {"type": "int8", "always_ram": True}}
    elif stored.precision in _BITS:
        vectors["quantization_config"] = {"binary": {"always_ram": True, "encoding": _BITS[stored.precision]}}
    if stored.precision not in ("float32", "float16"):
        vectors["on_disk"] = True  # the full vectors stay on disk; only the codes are in memory
    return {"vectors": {"dense": vectors}, "sparse_vectors": {"words": {"modifier": "idf"}}}


def _make_search(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of Qdrant's fused query, with placeholders for words, vector and best keyword score."""
    fusion, window = numbers.fusion, numbers.candidates
    dense = [0.0] * (numbers.format.dimension - 1) + [1.0]
    legs = [
        {"query": _SPARSE, "using": "words", "limit": window},
        {"query": dense, "using": "dense", "limit": window},
    ]
    if fusion.normalisation == RANKS:
        query = {"rrf": {"k": max(1, fusion.constant), "weights": [fusion.weight, 1 - fusion.weight]}}
        return {"prefetch": legs, "query": query, "limit": 10, "with_payload": True}
    both = [{**leg, "limit": 2 * window, "prefetch": legs} for leg in legs]  # each scores all candidates
    if fusion.normalisation == BEST:
        words: Any = {"div": {"left": "$score[0]", "right": 1.0, "by_zero_default": 0.0}}
        formula = {"sum": [{"mult": [fusion.weight, words]}, {"mult": [1 - fusion.weight, "$score[1]"]}]}
        defaults = {"$score[0]": 0.0, "$score[1]": 0.0}
        return {
            "prefetch": both,
            "query": {"formula": formula, "defaults": defaults},
            "limit": 10,
            "with_payload": True,
        }
    return {"prefetch": both, "query": {"fusion": "dbsf"}, "limit": 10, "with_payload": True}
