"""Writes OpenSearch files for hybrid search with the run's fitted BM25: an index, a search pipeline, and a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.exporting.recipe_numbers import lucene_analysis, lucene_mappings, lucene_similarity, to_json
from nestvec.lexical.fusion import BEST, RANKS

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_COMPRESSION = {"float16": "2x", "int4": "8x", "int2": "16x", "binary": "32x"}  # with the engine faiss
_LUCENE = {"int8": "4x"}  # with the engine lucene


def opensearch_recipe(numbers: RecipeNumbers) -> dict[str, str]:
    """Render JSON files for OpenSearch 3.2 or newer: an index, a search pipeline that fuses scores, and a query."""
    return {
        "opensearch/index.json": to_json(_make_index(numbers)),
        "opensearch/pipeline.json": to_json(_make_pipeline(numbers)),
        "opensearch/search.json": to_json(_make_search(numbers)),
    }


def _make_index(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of `PUT /documents`, which creates the OpenSearch index."""
    stored = numbers.format
    compression = _COMPRESSION.get(stored.precision) or _LUCENE.get(stored.precision)
    vector = {
        "type": "knn_vector",
        "dimension": stored.dimension,
        "space_type": "cosinesimil",
        "method": {"name": "hnsw", "engine": "lucene" if stored.precision in _LUCENE else "faiss"},
        **({"compression_level": compression} if compression else {}),
    }
    settings = {
        "index": {"knn": True, "number_of_shards": 1, "similarity": lucene_similarity(numbers)},
        "analysis": lucene_analysis(numbers),
    }
    return {"settings": settings, "mappings": lucene_mappings(vector)}


def _make_pipeline(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of an OpenSearch search pipeline that fuses keyword and vector scores."""
    fusion = numbers.fusion
    weights = {"weights": [fusion.weight, 1 - fusion.weight]}
    if fusion.normalisation == RANKS:
        combination = {"technique": "rrf", "rank_constant": max(1, fusion.constant), "parameters": weights}
        return {"phase_results_processors": [{"score-ranker-processor": {"combination": combination}}]}
    normalization: dict[str, Any] = {"technique": "min_max"}
    if fusion.normalisation == BEST:  # divide keyword scores by the best; a score of "cosinesimil" is (1 + cosine) / 2
        normalization["parameters"] = {
            "lower_bounds": [{"mode": "apply", "min_score": 0.0}, {"mode": "apply", "min_score": 0.5}],
            "upper_bounds": [{"mode": "ignore"}, {"mode": "apply", "max_score": 1.0}],
        }
    combination = {"technique": "arithmetic_mean", "parameters": weights}
    processor = {"normalization": normalization, "combination": combination}
    return {"phase_results_processors": [{"normalization-processor": processor}]}


def _make_search(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make the JSON body of an OpenSearch hybrid query, with placeholders for the query's text and vector."""
    vector = [0.0] * (numbers.format.dimension - 1) + [1.0]
    queries = [
        {"match": {"text": {"query": "QUERY"}}},
        {"knn": {"embedding": {"vector": vector, "k": numbers.candidates}}},
    ]
    return {
        "query": {"hybrid": {"pagination_depth": numbers.candidates, "queries": queries}},
        "size": 10,
        "_source": ["id", "text"],
    }
