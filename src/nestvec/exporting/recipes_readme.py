"""Renders `recipes/README.md`: how to use the files for each search engine, and how its results may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.exporting.elasticsearch_recipe import index_options
from nestvec.exporting.recipe_numbers import stems_differ
from nestvec.lexical.fusion import BEST, RANGE, RANKS
from nestvec.vectors.rabitq import Rotated

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_FUSIONS = {
    BEST: "keyword scores are divided by the query's best keyword score; cosines are unchanged",
    RANGE: "both scores are scaled to run from 0 for the query's lowest candidate to 1 for its best",
    RANKS: "both scores are replaced by 1 / (constant + rank), with the constant {constant}",
}
_TEXT = """\
# Search by words and vectors: recipes

These settings were fitted on training queries, for document vectors of {form}:

- words: BM25 in Lucene's form, k1 {k1:g}, b {b:g}; language `{language}`, {stem}, {stop}
- fusion: {weight:g} * words + {rest:g} * vectors; {fusion}
- candidates: the {candidates} best documents by words and the {candidates} best by vectors, each scored by both

The same numbers are in `../hybrid.json`. Measure a recipe on your own queries before you rely on it: only pgvector's
recipe was tested against nestvec's measurement. In every file, replace `QUERY` by the query, and the example vector by
the vector that the exported model gives for the query.
{correction}
## pgvector/

Run `1-tables.sql` once, `load.py` to load documents, `2-weigh.sql` after loading, and `3-search.sql` in each session,
which prepares the statement for fused search. {pgvector}

## elasticsearch/ (9.2 or newer)

`PUT /documents` with `index.json`, then `POST /documents/_search` with `search.json`. The linear retriever needs an
Elastic subscription that includes it. {elasticsearch}
{lucene}

## opensearch/ (3.2 or newer)

`PUT /documents` with `index.json`, `PUT /_search/pipeline/nestvec` with `pipeline.json`, then
`POST /documents/_search?search_pipeline=nestvec` with `search.json`. {opensearch} OpenSearch uses Lucene's BM25, too,
with the differences described for Elasticsearch.

## qdrant/ (1.16 or newer)

`PUT /collections/documents` with `collection.json`. Split texts into words as `pgvector/load.py` does. In a document's
sparse vector, the value of a word is `times / (times + {k1:g} * (1 - {b:g} + {b:g} * words / {mean_length:g}))`, where
`times` is how often the word occurs and `words` is the document's number of words. In a query's sparse vector, the
value is how often the word occurs. Qdrant multiplies by idf with the formula of the measurement, but counts documents
per shard. {qdrant}{estimator}

## vespa/

`documents.sd` is the schema. {vespa} Vespa multiplies BM25 by k1 + 1, which the division cancels, and counts idf per
content node. The stemmer is OpenNLP's or Lucene's, depending on Vespa's configuration, so some words are stemmed
differently. Precisions below 16 bits are stored as bfloat16: Vespa's own binary vectors lack nestvec's rotation and
would rank documents differently.
"""


_CORRECTION = """
## Correct the query's spelling first: no recipe does

In the measurement, query words that occur in no document were corrected, split or joined to match the documents' words.
All figures for keyword search and fused search include this. Correct `QUERY` (with pgvector, the query that you pass to
`load.question`) before you search, but encode the query as typed for its vector. This needs `nestvec[evaluate]`:

```python
from nestvec.lexical.corrections import CorrectionRules, Corrector
from nestvec.lexical.words import WordForms

corrector = Corrector.of(
    texts,  # of all documents
    {forms!r},
    {rules!r},
)
corrector.correct(["cordles drill"])  # ["cordless drill"], if documents contain both words
```

`corrector.vocabulary` is a dictionary of words with the number of documents that contain each. Store it as JSON, and
`Corrector(vocabulary, ...)` starts without reading the texts.
"""


def render_recipes_readme(numbers: RecipeNumbers) -> str:
    """Render `recipes/README.md` of an export; the text needs no escaping, because no user's text is filled in."""
    lexical, fusion, form = numbers.lexical, numbers.fusion, numbers.format
    best, ranks = fusion.normalisation == BEST, fusion.normalisation == RANKS
    return _TEXT.format(
        form=form.name,
        k1=lexical.k1,
        b=lexical.b,
        language=lexical.forms.language,
        stem="with stemming" if lexical.forms.stem else "without stemming",
        stop="without stop words" if lexical.forms.stop_words else "stop words kept",
        correction=_describe_correction(numbers),
        weight=fusion.weight,
        rest=1 - fusion.weight,
        fusion=_FUSIONS[fusion.normalisation].format(constant=fusion.constant),
        candidates=numbers.candidates,
        mean_length=numbers.mean_length,
        pgvector=_describe_pgvector(numbers),
        elasticsearch=_describe_elasticsearch(numbers),
        lucene=_describe_lucene(numbers),
        opensearch=_describe_opensearch(best, ranks),
        qdrant=_describe_qdrant(fusion.normalisation),
        estimator=_describe_estimator(numbers),
        vespa=_describe_vespa(best, ranks),
    )


def _describe_correction(numbers: RecipeNumbers) -> str:
    rules = numbers.lexical.correction
    return _CORRECTION.format(rules=rules, forms=numbers.lexical.forms) if rules else ""


def _describe_pgvector(numbers: RecipeNumbers) -> str:
    if isinstance(numbers.codec, Rotated):
        return (
            "Codes and scores equal the measured ones. If there are more than 2,000 documents, only the 2,000 with the "
            "nearest signs are scored, so a document can be missed. Without an HNSW index, everything else is exact."
        )
    if numbers.format.precision == "int8":
        return (
            "pgvector has no 8-bit numbers: codes are stored in half precision, so documents with nearly equal scores "
            "may swap places."
        )
    return (
        "Without an HNSW index, the results equal the measured ones, except for the order of documents whose scores "
        "differ by less than 1e-6."
    )


def _describe_elasticsearch(numbers: RecipeNumbers) -> str:
    form, fusion = numbers.format, numbers.fusion
    kind = index_options(form.dimension, form.precision)
    vectors = f"Vectors are in an index of type `{kind}`, whose codes and scores differ from nestvec's {form.name}."
    if fusion.normalisation == RANKS:
        fused = (
            "Ranks are counted in each search's own list: a document that only one of the two searches finds gets no "
            "score from the other."
        )
    elif fusion.normalisation == BEST:
        fused = (
            "`minmax` scales keyword scores from the lowest score in the window, not from 0, and a document that only "
            "one of the two searches finds gets no score from the other. To fuse as in the measurement, run the two "
            "searches separately and fuse their scores in the client."
        )
    else:
        fused = "`minmax` is computed over each search's own list, not over the candidates of both."
    return f"{vectors} {fused}"


def _describe_lucene(numbers: RecipeNumbers) -> str:
    stems = (
        " Lucene has no Snowball stemmer for this language, so stems differ more; check them with `_analyze`."
        if stems_differ(numbers)
        else ""
    )
    return (
        "Lucene stores a document's length in one byte (exact up to 40 words, then in steps), counts idf per shard "
        "and includes deleted documents until segments are merged, and may use another version of the Snowball "
        f"stemmer.{stems}"
    )


def _describe_opensearch(best: bool, ranks: bool) -> str:
    if ranks:
        return "Ranks are counted in each search's own list."
    scaled = (
        "The bounds make `min_max` divide keyword scores by the best score and leave cosines from 0 to 1 unchanged."
        if best
        else "`min_max` is computed over each search's own list, not over the candidates of both."
    )
    return f"{scaled} A document that only one of the two searches finds gets no score from the other."


def _describe_qdrant(normalisation: str) -> str:
    if normalisation == BEST:
        return (
            "Run the query `best_words.json` first and write its score as the value of `right` in `search.json`, which "
            "scores the candidates of both searches by words and vectors, as in the measurement."
        )
    if normalisation == RANKS:
        return "Ranks are counted in each search's own list, and begin at 0 in Qdrant but at 1 in nestvec."
    return (
        "Qdrant cannot scale scores from lowest to best. The recipe uses `dbsf` instead, which scales by mean and "
        "standard deviation and ignores the weight."
    )


def _describe_estimator(numbers: RecipeNumbers) -> str:
    if not isinstance(numbers.codec, Rotated):
        return ""
    return (
        " Qdrant's binary codes differ from nestvec's: Qdrant finds candidates with them and rescores these with the "
        "full vectors, which it keeps on disk. nestvec's bytes per vector therefore hold for memory only."
    )


def _describe_vespa(best: bool, ranks: bool) -> str:
    if best:
        return (
            "Run the query `best_words.json` first and write its relevance as `input.query(best_words)` in "
            "`search.json`. Every document that either search matches is scored by words and vectors."
        )
    what = "ranks" if ranks else "ranges"
    return f"`search.json` runs both searches; {what} are computed over the hits of the last phase."
