"""Writes SQL files for hybrid search in PostgreSQL with pgvector, with the run's fitted BM25 and fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.lexical.fusion import BEST, RANGE
from nestvec.vectors.rabitq import Rotated

if TYPE_CHECKING:
    from nestvec.exporting.recipe_numbers import RecipeNumbers
    from nestvec.vectors.rabitq import Range

_TYPES = {"float32": "vector", "float16": "halfvec", "int8": "halfvec"}
_SHORTLIST = 2000  # documents with the nearest signs, which are then scored by their codes
_TABLES = """\
-- Written by nestvec export for {form}; see ../README.md. Run this once, then load.py, then 2-weigh.sql.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE nestvec_documents (
    id text COLLATE "C" PRIMARY KEY,
    body text NOT NULL,
    words integer NOT NULL,  -- number of words in the body
{columns}
);

CREATE TABLE nestvec_counts (
    word text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL REFERENCES nestvec_documents ON DELETE CASCADE,
    times integer NOT NULL,  -- how often the word occurs in the body
    PRIMARY KEY (word, id)
);

CREATE TABLE nestvec_postings (
    word text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    weight double precision NOT NULL,  -- what the word adds to the document's BM25 score
    PRIMARY KEY (word, id)
) WITH (fillfactor = 100);
{extra}"""
_COLUMNS_OF_NUMBERS = "    embedding {type}({dimension}) NOT NULL  -- unit length"
_COLUMNS_OF_BITS = (
    "    signs bit({dimension}) NOT NULL,  -- the first bit of each number\n"
    "    code bytea NOT NULL  -- the measured code: {bits} bit(s) per number, then a byte each for lean and factor"
)
_HNSW = """
-- From about 100,000 documents on, an approximate index finds nearly the same documents faster:
-- CREATE INDEX ON nestvec_documents USING hnsw ({column} {operators});
-- SET hnsw.ef_search = {candidates};
"""
_PRODUCT = """
CREATE FUNCTION nestvec_score(code bytea, turned double precision[], along double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- (levels . turned query) * factor + lean * (query . axis)
    SELECT sum((2 * ((get_byte(code, (place - 1) * {bits} / 8) >> (8 - {bits} - ((place - 1) * {bits}) % 8))
               & {mask}) - {mask}) * turned[place])
           * ({factor_low!r} + get_byte(code, length(code) - 1) * {factor_step!r})
           + ({lean_low!r} + get_byte(code, length(code) - 2) * {lean_step!r}) * along
    FROM generate_series(1, {dimension}) AS place
$$;
"""
_WEIGH = """\
-- BM25 in Lucene's form with k1 = {k1!r} and b = {b!r}, fitted on training queries. Run again after documents changed.
BEGIN;
TRUNCATE nestvec_postings;
INSERT INTO nestvec_postings (word, id, weight)
SELECT c.word, c.id,
       ln(1 + (total.documents - held.holders + 0.5::double precision) / (held.holders + 0.5::double precision))
       * c.times / (c.times + {k1!r}::double precision * (1 - {b!r}::double precision
       + {b!r}::double precision * d.words / coalesce(nullif(total.mean_words, 0), 1)))
FROM nestvec_counts c
JOIN nestvec_documents d USING (id)
JOIN (SELECT word, count(*)::double precision AS holders FROM nestvec_counts GROUP BY word) held USING (word)
CROSS JOIN (
    SELECT count(*)::double precision AS documents, sum(words)::double precision / greatest(count(*), 1) AS mean_words
    FROM nestvec_documents
) total
ORDER BY c.word, c.id;
COMMIT;
ANALYZE nestvec_postings;
"""
_SEARCH = """\
-- $1: the query's words, as load.py splits them; {asked}; ${last}: number of documents to return.
PREPARE nestvec_search (text[], {types}, integer) AS
WITH asked AS (
    SELECT word, count(*)::double precision AS times FROM unnest($1) AS word GROUP BY word
), lexical AS (
    SELECT p.id, sum(a.times * p.weight ORDER BY p.word)::real AS score
    FROM asked a JOIN nestvec_postings p ON p.word = a.word COLLATE "C" GROUP BY p.id
), by_words AS (
    SELECT id FROM lexical WHERE score > 0 ORDER BY score DESC, id DESC LIMIT greatest({candidates}, ${last})
), {nearest}, candidates AS (
    SELECT id FROM by_words UNION SELECT id FROM by_vectors
), scored AS (
    SELECT d.id, d.body, coalesce(l.score, 0)::double precision AS words,
           ({score})::real::double precision AS vectors
    FROM candidates JOIN nestvec_documents d USING (id) LEFT JOIN lexical l USING (id)
), scaled AS (
    SELECT id, body, {words} AS words, {vectors} AS vectors FROM scored
)
SELECT id, body, ({weight!r}::double precision * words + {rest!r}::double precision * vectors)::real AS score
FROM scaled ORDER BY score DESC, id DESC LIMIT ${last};

-- EXECUTE nestvec_search(ARRAY['cordless', 'drill'], {example}, 10);
"""
_BY_NUMBERS = """by_vectors AS (
    SELECT id FROM nestvec_documents d ORDER BY {distance}, id DESC LIMIT greatest({candidates}, ${last})
)"""
_BY_BITS = """shortlist AS (
    SELECT id, code FROM nestvec_documents ORDER BY signs <~> $2, id DESC LIMIT greatest({shortlist}, ${last})
), by_vectors AS (
    SELECT id FROM shortlist d ORDER BY ({score})::real DESC, id DESC LIMIT greatest({candidates}, ${last})
)"""
_LOAD = '''\
"""Loads documents into PostgreSQL with nestvec's words and the measured codes. Needs nestvec[evaluate].

    import psycopg, load
    with psycopg.connect(URL) as connection:
        load.add(connection, ids, texts, vectors)   # vectors: (n, {dimension}) float32 of the exported model
        connection.execute(open("2-weigh.sql").read())
        connection.execute(open("3-search.sql").read())
        connection.execute(load.question("cordless drill", vector, 10)).fetchall()
"""

from collections import Counter
from pathlib import Path

import numpy as np

from nestvec.lexical.words import WordForms, split_words
from nestvec.vectors.cut import prefix
from nestvec.vectors.stored import load_codecs

FORMS = WordForms({language!r}, stem={stem!r}, stop_words={stop_words!r})
CODEC = load_codecs(Path(__file__).parents[2] / "codec.safetensors")[{form!r}]


def add(connection, ids, texts, vectors):
    """Add documents with their (n, {dimension}) vectors."""
    counts = [Counter(words) for words in split_words(texts, FORMS)]
    columns = document_columns(prefix(vectors, {dimension}))
    cursor = connection.cursor()
    cursor.executemany(
        {insert!r},
        [(id, text, sum(count.values()), *own) for id, text, count, own in zip(ids, texts, counts, columns)],
    )
    cursor.executemany(
        "INSERT INTO nestvec_counts (word, id, times) VALUES (%s, %s, %s)",
        [(word, id, times) for id, count in zip(ids, counts) for word, times in count.items()],
    )


def question(query, vector, k):
    """Make the statement that searches for k documents."""
    from psycopg import sql

    words = sql.Literal(split_words([query], FORMS)[0])
    vector = prefix(np.asarray(vector, dtype=np.float32)[None], {dimension})
    asked = sql.SQL(", ").join(sql.SQL("{{}}::{{}}").format(sql.Literal(value), sql.SQL(kind))
                               for value, kind in query_values(vector))
    return sql.SQL("EXECUTE nestvec_search({{}}::text[], {{}}, {{}})").format(words, asked, sql.Literal(k))


def as_list(numbers, signs="[]"):
    return signs[0] + ",".join(map(str, numbers.tolist())) + signs[1]

'''
_LOAD_NUMBERS = '''
def document_columns(vectors):
    """Return the value of each document's column: its vector."""
    return [(as_list(row),) for row in CODEC.decode(CODEC.encode(vectors))]


def query_values(vector):
    """Return the search's parameter for the query: its vector."""
    return [(as_list(vector[0]), "vector({dimension})")]
'''
_LOAD_BITS = '''
BITS = {bits}


def signs(codes):
    """Return the first bit of each number."""
    bits = np.unpackbits(codes[:, :-2], axis=1)[:, ::BITS][:, :{dimension}]
    return ["".join(map(str, row)) for row in bits.tolist()]


def document_columns(vectors):
    """Return the values of each document's columns: signs and code."""
    codes = CODEC.encode(vectors)
    return [(bits, code.tobytes()) for bits, code in zip(signs(codes), codes)]


def query_values(vector):
    """Return the search's parameters for the query: signs of the rotated vector, that vector, and axis product."""
    along = float((vector[0].astype(np.float64) * CODEC.axis).sum())
    turned = CODEC.turn(vector)[0]
    return [
        ("".join("1" if number >= 0 else "0" for number in turned), "bit({dimension})"),
        (as_list(turned, "{{}}"), "double precision[]"),
        (along, "double precision"),
    ]
'''


def pgvector_recipe(numbers: RecipeNumbers) -> dict[str, str]:
    """Render the files for pgvector: SQL for tables, BM25 and fused search, and Python that loads documents."""
    codec = numbers.codec
    bits = codec if isinstance(codec, Rotated) else None
    return {
        "pgvector/1-tables.sql": _render_tables(numbers, bits),
        "pgvector/2-weigh.sql": _WEIGH.format(k1=numbers.lexical.k1, b=numbers.lexical.b),
        "pgvector/3-search.sql": _render_search(numbers, bits),
        "pgvector/load.py": _render_loading(numbers, bits),
    }


def _render_tables(numbers: RecipeNumbers, bits: Rotated | None) -> str:
    form = numbers.format
    if bits is None:
        kind = _TYPES[form.precision]
        columns = _COLUMNS_OF_NUMBERS.format(type=kind, dimension=form.dimension)
        indexed = "embedding" if kind == "vector" else f"(embedding::vector({form.dimension}))"
        extra = _HNSW.format(column=indexed, operators="vector_ip_ops", candidates=numbers.candidates)
    else:
        columns = _COLUMNS_OF_BITS.format(dimension=form.dimension, bits=bits.bits)
        product = _PRODUCT.format(
            bits=bits.bits,
            mask=2**bits.bits - 1,
            dimension=form.dimension,
            lean_low=bits.lean.low,
            lean_step=_step(bits.lean),
            factor_low=bits.factor.low,
            factor_step=_step(bits.factor),
        )
        extra = product + _HNSW.format(column="signs", operators="bit_hamming_ops", candidates=1000)
    return _TABLES.format(form=form.name, columns=columns, extra=extra)


def _step(values: Range) -> float:
    """Return the difference in value between two successive bytes, for a number stored in one byte."""
    return (values.high - values.low) / 255


def _render_search(numbers: RecipeNumbers, bits: Rotated | None) -> str:
    fusion, form = numbers.fusion, numbers.format
    if bits is None:
        kind = f"vector({form.dimension})"
        embedding = "d.embedding" if _TYPES[form.precision] == "vector" else f"d.embedding::{kind}"
        distance = f"{embedding} <#> $2"  # the query stays in float32
        score, last, types = f"-({distance})", 3, kind
        nearest, example = _BY_NUMBERS, f"'[…]'::{kind}"
        asked = "$2: the query's vector"
    else:
        score, last, distance = "nestvec_score(d.code, $3, $4)", 5, ""
        types = f"bit({form.dimension}), double precision[], double precision"
        nearest, example = _BY_BITS, f"B'…'::bit({form.dimension}), '{{…}}', 0.1"
        asked = "$2: the signs of the rotated vector; $3: the rotated vector; $4: the vector's product with the axis"
    filled = nearest.format(
        distance=distance, score=score, candidates=numbers.candidates, shortlist=_SHORTLIST, last=last
    )
    return _SEARCH.format(
        asked=asked,
        types=types,
        last=last,
        candidates=numbers.candidates,
        nearest=filled,
        score=score,
        words=_scale("words", numbers),
        vectors=_scale("vectors", numbers),
        weight=fusion.weight,
        rest=1 - fusion.weight,
        example=example,
    )


def _scale(leg: str, numbers: RecipeNumbers) -> str:
    """Write SQL that scales the scores of keyword search (`words`) or of vector search, before both are fused."""
    fusion = numbers.fusion
    if fusion.normalisation == RANGE:
        low, high = f"min({leg}) OVER ()", f"max({leg}) OVER ()"
        return f"({leg} - {low}) / coalesce(nullif({high} - {low}, 0), 1)"
    if fusion.normalisation == BEST:
        return f"{leg} / coalesce(nullif(max({leg}) OVER (), 0), 1)" if leg == "words" else leg
    return f"1.0::double precision / ({fusion.constant} + rank() OVER (ORDER BY {leg} DESC))"


def _render_loading(numbers: RecipeNumbers, bits: Rotated | None) -> str:
    form, forms = numbers.format, numbers.lexical.forms
    names = "embedding" if bits is None else "signs, code"
    places = "%s" if bits is None else f"%s::bit({form.dimension}), %s"
    insert = f"INSERT INTO nestvec_documents (id, body, words, {names}) VALUES (%s, %s, %s, {places})"
    text = _LOAD.format(
        language=forms.language,
        stem=forms.stem,
        stop_words=forms.stop_words,
        form=form.name,
        dimension=form.dimension,
        insert=insert,
    )
    own = _LOAD_NUMBERS if bits is None else _LOAD_BITS.replace("{bits}", str(bits.bits))
    return text + own.replace("{dimension}", str(form.dimension)).replace("{{}}", "{}")
