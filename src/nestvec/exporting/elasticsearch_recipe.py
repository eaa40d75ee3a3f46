"""Writes Elasticsearch files for hybrid search with the run's fitted BM25: an index, and a fused query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.exporting.recipe_numbers import lucene_analysis, lucene_mappings, lucene_similarity, to_json
from nestvec.lexical.fusion import BEST, RANKS

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_FEWEST_BITS = 64  # least dimension for Elasticsearch's binary quantisation (bbq)


def elasticsearch_recipe(numbers: RecipeNumbers) -> dict[str, str]:
    """Render JSON files for Elasticsearch 9.2 or newer: an index, and a query that fuses keyword and vector scores."""
    return {
        "elasticsearch/index.json": to_json(_make_index(numbers)),
        "elasticsearch/search.json": to_json(_make_search(numbers)),
    }


def index_options(dimension: int, precision: str) -> str:
    """Return the type of Elasticsearch's vector index, such as `int8_hnsw`, that is closest to nestvec's precision."""
    if precision == "binary" and dimension >= _FEWEST_BITS:
        return "bbq_hnsw"
    if precision in ("binary", "int2", "int4") and dimension % 2 == 0:
        return "int4_hnsw"
    return "hnsw" if precision in ("float32", "float16") else "int8_hnsw"


def _make_index(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of `PUT /documents`, which creates the Elasticsearch index."""
    stored = numbers.format
    vector = {
        "type": "dense_vector",
        "dims": stored.dimension,
        "index": True,
        "similarity": "cosine",
        "index_options": {"type": index_options(stored.dimension, stored.precision)},
    }
    settings = {
        "number_of_shards": 1,
        "similarity": lucene_similarity(numbers),
        "analysis": lucene_analysis(numbers),
    }
    return {"settings": settings, "mappings": lucene_mappings(vector)}


def _make_search(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of an Elasticsearch hybrid search, with placeholders for the query's text and vector."""
    fusion, window = numbers.fusion, numbers.candidates
    words = {"standard": {"query": {"match": {"text": {"query": "QUERY"}}}}}
    knn = {
        "field": "embedding",
        "query_vector": [0.0] * (numbers.format.dimension - 1) + [1.0],
        "k": window,
        "num_candidates": 5 * window,
    }
    if fusion.normalisation == RANKS:
        retriever: dict[str, Any] = {
            "rrf": {
                "retrievers": [
                    {"retriever": words, "weight": fusion.weight},
                    {"retriever": {"knn": knn}, "weight": 1 - fusion.weight},
                ],
                "rank_constant": max(1, fusion.constant),
                "rank_window_size": window,
            }
        }
    else:  # Elasticsearch's score for "cosine" is (1 + cosine) / 2, so the weight is doubled
        best = fusion.normalisation == BEST
        vectors = {"weight": 2 * (1 - fusion.weight), "normalizer": "none"}
        scaled = {"weight": 1 - fusion.weight, "normalizer": "minmax"}
        retriever = {
            "linear": {
                "retrievers": [
                    {"retriever": words, "weight": fusion.weight, "normalizer": "minmax"},
                    {"retriever": {"knn": knn}, **(vectors if best else scaled)},
                ],
                "rank_window_size": window,
            }
        }
    return {"retriever": retriever, "size": 10, "_source": ["id", "text"]}
