"""`recipes/README.md`: what to run, and where each engine differs from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.exporting.elasticsearch_recipe import index_options
from nestvec.exporting.recipe_numbers import stems_differ
from nestvec.lexical.fusion import BEST, RANGE, RANKS
from nestvec.vectors.rabitq import Rotated

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers

_FUSIONS = {
    BEST: "words' scores divided by the query's best one; cosines as they are",
    RANGE: "both scores from 0, the query's lowest candidate, to 1, its best",
    RANKS: "1 / (constant + rank) in both, with the constant {constant}",
}
_TEXT = """\
# Search by words and vectors: recipes

Fitted on training queries, for documents' vectors of {form}:

- words: BM25 in Lucene's form, k1 {k1:g}, b {b:g}; language `{language}`, stems {stem}, stop words {stop}
- fusion: {weight:g} * words + {rest:g} * vectors; {fusion}
- candidates: the {candidates} best documents by words and the {candidates} best by vectors, each scored by both

The same numbers are in `../hybrid.json`. Measure a recipe on your own queries before you trust it: only pgvector's was
run against what nestvec measured. In every file `QUERY` and the example vector are yours to replace: the vector is what
the exported model gives for the query.
{correction}
## pgvector/

`1-tables.sql` once, `load.py` for the documents, `2-weigh.sql` after loading, `3-search.sql` in each session; the
last prepares one statement that fuses. {pgvector}

## elasticsearch/ (9.2 or newer)

`PUT /documents` with `index.json`, then `POST /documents/_search` with `search.json`. The linear retriever needs a
licence that has it. {elasticsearch}
{lucene}

## opensearch/ (3.2 or newer)

`PUT /documents` with `index.json`, `PUT /_search/pipeline/nestvec` with `pipeline.json`, then
`POST /documents/_search?search_pipeline=nestvec` with `search.json`. {opensearch} The differences of
Lucene's BM25 above hold here too.

## qdrant/ (1.16 or newer)

`PUT /collections/documents` with `collection.json`. A document's sparse vector has for each of its words (as
`pgvector/load.py` splits them) `times / (times + {k1:g} * (1 - {b:g} + {b:g} * words / {mean_length:g}))`; a query's
has how often the word stands in it. Qdrant multiplies by the idf, whose formula is the one that was measured;
it is counted per shard. {qdrant}{estimator}

## vespa/

`documents.sd` is the schema. {vespa} Vespa's BM25 is multiplied by k1 + 1, which the division takes out again; its idf
is counted per content node. Its stemmer is OpenNLP's or Lucene's as configured, so some words differ. Precisions below
16 bits are kept as bfloat16: Vespa's own bits are signs without nestvec's rotation and would rank otherwise.
"""


_CORRECTION = """
## Correct the query first: no recipe does

Query words that no document holds were corrected, split or joined by the documents' words, and all figures of words
and of both legs were measured so. Correct `QUERY` (for pgvector, what `load.question` is given) before you search; the
vector is that of the query as it was typed. Needs `nestvec[evaluate]`:

```python
from nestvec.lexical.corrections import CorrectionRules, Corrector
from nestvec.lexical.words import WordForms

corrector = Corrector.of(
    texts,  # of all documents
    {forms!r},
    {rules!r},
)
corrector.correct(["cordles drill"])  # ["cordless drill"], where documents hold both words
```

`corrector.vocabulary` is a dictionary of words and how many documents hold each; keep it as JSON, and
`Corrector(vocabulary, ...)` starts without the texts.
"""


def render_recipes_readme(numbers: RecipeNumbers) -> str:
    """The text; everything in it is a number or a name of nestvec's own."""
    lexical, fusion, form = numbers.lexical, numbers.fusion, numbers.format
    best, ranks = fusion.normalisation == BEST, fusion.normalisation == RANKS
    return _TEXT.format(
        form=form.name,
        k1=lexical.k1,
        b=lexical.b,
        language=lexical.forms.language,
        stem="cut" if lexical.forms.stem else "kept as they are",
        stop="left out" if lexical.forms.stop_words else "kept",
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
            "The codes and their scores are those that were measured; of more than 2,000 documents, the 2,000 whose "
            "signs are nearest are scored, so a document can be missed. Without an HNSW index the rest is exact."
        )
    if numbers.format.precision == "int8":
        return "pgvector has no 8-bit numbers: the codes are kept in half precision, so close documents may swap."
    return "Without an HNSW index the lists are those that were measured, but for scores that differ by less than 1e-6."


def _describe_elasticsearch(numbers: RecipeNumbers) -> str:
    form, fusion = numbers.format, numbers.fusion
    kind = index_options(form.dimension, form.precision)
    vectors = f"Vectors are in an index of the kind `{kind}`, whose codes and estimates are not nestvec's {form.name}."
    if fusion.normalisation == RANKS:
        fused = "Ranks count within each leg's own list: a document that one leg did not list gets nothing from it."
    elif fusion.normalisation == BEST:
        fused = (
            "`minmax` scales words' scores from the lowest of the window, not from 0, and a document that one leg did "
            "not list gets nothing from it; to fuse as was measured, ask both legs apart and fuse in the client."
        )
    else:
        fused = "`minmax` is taken over each leg's own list, not over the candidates of both."
    return f"{vectors} {fused}"


def _describe_lucene(numbers: RecipeNumbers) -> str:
    stems = (
        " Lucene has no Snowball stemmer for the language: words differ more, so look at `_analyze`."
        if stems_differ(numbers)
        else ""
    )
    return (
        "Lucene keeps a document's length in one byte (exact to 40 words, then in steps), counts idf per shard and "
        f"with deleted documents until they are merged away, and its stemmer may be another version of Snowball.{stems}"
    )


def _describe_opensearch(best: bool, ranks: bool) -> str:
    if ranks:
        return "Ranks count within each leg's own list."
    scaled = (
        "The bounds make `min_max` divide words by the best score and leave cosines from 0 to 1 as they are."
        if best
        else "`min_max` is taken over each leg's own list, not over the candidates of both."
    )
    return f"{scaled} A document that one leg did not list gets nothing from it."


def _describe_qdrant(normalisation: str) -> str:
    if normalisation == BEST:
        return (
            "Ask `best_words.json` first and put its score in place of `right` in `search.json`, which scores the "
            "candidates of both legs by both, as was measured."
        )
    if normalisation == RANKS:
        return "Ranks count within each leg's own list, and Qdrant's begin at 0 where ours begin at 1."
    return "Qdrant has no fusion from lowest to best: `dbsf`, by mean and deviation, stands in and ignores the weight."


def _describe_estimator(numbers: RecipeNumbers) -> str:
    if not isinstance(numbers.codec, Rotated):
        return ""
    return (
        " Its binary codes are not nestvec's: Qdrant finds by them and scores again by the whole vectors, which it "
        "keeps on the disk, so figures of the vectors' bytes hold for memory only."
    )


def _describe_vespa(best: bool, ranks: bool) -> str:
    if best:
        return (
            "Ask `best_words.json` first and give its relevance as `input.query(best_words)` in `search.json`. Every "
            "document that either leg matched is scored by both."
        )
    return f"`search.json` asks both legs; {'ranks' if ranks else 'ranges'} are taken over the hits of the last phase."
