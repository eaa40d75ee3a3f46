"""Writes Vespa files for hybrid search: a schema that fuses the run's fitted BM25 with cosines, and a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.exporting.recipe_numbers import to_json
from nestvec.lexical.fusion import BEST, RANKS

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_CELLS = {"float32": "float"}  # cell type by precision; lower precisions use bfloat16
_SCHEMA = """\
# Vespa 8: application/schemas/documents.sd, written by nestvec export; see ../README.md
schema documents {{
    document documents {{
        field id type string {{
            indexing: summary | attribute
        }}
        field text type string {{
            indexing: summary | index
            index: enable-bm25
            stemming: {stemming}
        }}
        field embedding type tensor<{cells}>(x[{dimension}]) {{
            indexing: attribute | index
            attribute {{
                distance-metric: prenormalized-angular
            }}
        }}
    }}

    fieldset default {{
        fields: text
    }}

    rank-profile words {{
        rank-properties {{
            bm25(text).k1: {k1!r}
            bm25(text).b: {b!r}{mean_length}
        }}
        first-phase {{
            expression: bm25(text)
        }}
    }}

    rank-profile fused inherits words {{
        inputs {{
            query(q) tensor<float>(x[{dimension}])
            query(weight) double: {weight!r}
            query(best_words) double: 1.0
        }}
        function cosine() {{
            expression: sum(query(q) * attribute(embedding))
        }}
        first-phase {{
            expression: {first}
        }}
        match-features: bm25(text) cosine{last}
    }}
}}
"""
_LAST = """
        global-phase {{
            rerank-count: {count}
            expression: {expression}
        }}"""
_BY_BEST = "query(weight) * bm25(text) / max(query(best_words), 0.000001) + (1 - query(weight)) * cosine"
_BY_RANGE = "query(weight) * normalize_linear(bm25(text)) + (1 - query(weight)) * normalize_linear(cosine)"
_BY_RANKS = (
    "query(weight) * reciprocal_rank(bm25(text), {constant}) + "
    "(1 - query(weight)) * reciprocal_rank(cosine, {constant})"
)


def vespa_recipe(numbers: RecipeNumbers) -> dict[str, str]:
    """Render the files for Vespa: a schema, a query that finds the best keyword score, and a fused query."""
    limits = f"{{targetHits:{numbers.candidates}}}"
    fused = {
        "yql": f"select id, text from documents where ({limits}userInput(@query)) or "
        f"({limits}nearestNeighbor(embedding, q))",
        "query": "QUERY",
        "ranking.profile": "fused",
        "input.query(q)": [0.0] * (numbers.format.dimension - 1) + [1.0],
        "input.query(best_words)": 1.0,
        "hits": 10,
    }
    words = {
        "yql": "select id from documents where userInput(@query)",
        "query": "QUERY",
        "ranking.profile": "words",
        "hits": 1,
    }
    return {
        "vespa/documents.sd": _render_schema(numbers),
        "vespa/best_words.json": to_json(words),
        "vespa/search.json": to_json(fused),
    }


def _render_schema(numbers: RecipeNumbers) -> str:
    fusion, lexical, stored = numbers.fusion, numbers.lexical, numbers.format
    length = f"\n            bm25(text).averageFieldLength: {numbers.mean_length!r}" if numbers.mean_length else ""
    last = ""
    if fusion.normalisation != BEST:
        chosen = _BY_RANKS if fusion.normalisation == RANKS else _BY_RANGE
        expression = chosen.format(constant=float(fusion.constant))
        last = _LAST.format(count=2 * numbers.candidates, expression=expression)
    return _SCHEMA.format(
        stemming="best" if lexical.forms.stem else "none",
        cells=_CELLS.get(stored.precision, "bfloat16"),
        dimension=stored.dimension,
        k1=lexical.k1,
        b=lexical.b,
        mean_length=length,
        weight=fusion.weight,
        first=_BY_BEST,
        last=last,
    )
