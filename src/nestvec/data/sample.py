"""The built-in sample: a hardware store's catalogue, its customers' queries and graded judgements, all invented.

Nothing is taken from anybody's file. `hardware.toml` lists the words, all of them real but for fourteen brands; a seed
decides everything else. The same seed gives the same bytes on every machine: only `random()` is drawn from numpy's
PCG64, and what is computed from it rounds alike everywhere (`sample_store`). The generator's model, in the order in
which it draws:

**Products** (`sample_products`). Ten departments hold 48 categories, and each category has four kinds. A product is a
category, a brand of its department, a kind, and one wording for each other axis that applies: material, size, colour,
power, pack. The name prints brand, kind and category, and each attribute with probability 0.9; what it leaves out
stands only in the description, which says what sets the kind apart and prints every attribute, in varying words, among
selling points, store boilerplate and mentions of *other* categories and brands. Lengths are mostly near 75 word pieces
with a tail to the right.

**Queries** (`sample_queries`). A query is a set of wishes that one product meets: its category, at times its brand or
its kind, in half of the queries one further attribute, and more of them until only a handful of products meet them all.
Shoppers do not type what the catalogue prints: categories, kinds and values go by other names, abbreviations and units,
and every third query names a problem instead of a product: "door slams shut in the wind 4 in". Words come in any order,
and some are misspelt.

**Splits.** Every query is for training, validation or test, and so is every product: one size of each kind is judged
for training queries only, all others for held-out queries only. A query that products of both sides meet is left out.
So the split is leak-free, nothing is withheld, and a held-out query is judged against *all* products that meet it. A
random split could not do this: with 3,000 held-out queries, nearly every product would be judged for one of them. There
are far more held-out queries than training ones, because they cost little and decide what can be proven.

**Latent relevance** (`sample_judgements`). For query q and product d it is

    relevance(q, d) = 0.93 * (product of m(wish) over the wishes that d does not meet) + taste,

with m = 0.2 for a missed category, 0.5 to 0.54 for any other wish, and taste ~ N(0, 0.04).

**Raters.** Three simulated raters, one strict, one middling and one mild, each see relevance + bias + noise, with noise
~ N(0, 0.1), and say 3 from 0.72 on, 2 from 0.30 on, else 1. The grade is their mean, to two decimals: 1, 1.33, 1.67, 2,
2.33, 2.67 or 3. A product that meets all wishes lies well above 0.72, and one that misses a wish well below, so that
raters seldom split between 2 and 3: the histogram has two humps with a dip near 2.5.

**Pooling.** The products judged for a query are all that meet every wish, some of its category that miss one or two
wishes, and for most queries one product of another category. If the raters find nothing relevant for a query, they rate
its products again, so every query has an answer.

**Kept.** Generating takes some seconds, so `sample.parquet` beside this module keeps the table of the default seed;
`python -m nestvec.data.sample` writes the file anew, and a test checks that both are equal.

The sample is not real: it has one language and no search sessions, no clicks, no taste that changes. So what is learned
from it says nothing about a real shop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nestvec.data.sample_judgements import make_judgements
from nestvec.data.sample_products import make_products
from nestvec.data.sample_queries import Shelves, make_queries
from nestvec.data.sample_store import read_store

SAMPLE_SEED = 2024
KEPT = Path(__file__).parent / "sample.parquet"


def read_sample() -> pa.Table:
    """Read the stored sample, which is the same table that `make_sample()` generates."""
    return pq.read_table(KEPT)


def make_sample(seed: int = SAMPLE_SEED) -> pa.Table:
    """Generate the sample.

    Args:
        seed: another seed gives another shop; reports and documentation use the default seed.

    Returns:
        One row per judged record in random order: document_id, name, description, query, split (text) and relevance
        (float64).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    store = read_store()
    shelves = Shelves(make_products(store, rng))
    queries = make_queries(store, shelves, rng)
    judgements = make_judgements(queries, shelves, rng)
    judged = [shelves.products[judgement.product] for judgement in judgements]
    asked = [queries[judgement.query] for judgement in judgements]
    return pa.table(
        {
            "document_id": [product.document_id for product in judged],
            "name": [product.name for product in judged],
            "description": [product.description for product in judged],
            "query": [query.text for query in asked],
            "relevance": pa.array([judgement.relevance for judgement in judgements], pa.float64()),
            "split": [query.split for query in asked],
        }
    )


if __name__ == "__main__":
    pq.write_table(make_sample(), KEPT, compression="zstd", compression_level=19)
