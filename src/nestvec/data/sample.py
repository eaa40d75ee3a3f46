"""The built-in sample: a hardware store's catalogue, its customers' queries and graded judgements, all invented.

Nothing is taken from anybody's file. `hardware.toml` lists the words; a seed decides everything else. The same seed
gives the same bytes on every machine: only `random()` is drawn from numpy's PCG64, and what is computed from it rounds
alike everywhere (`sample_store`). The generator's model, in the order in which it draws:

**Products** (`sample_products`). Ten departments hold 48 categories; a department has three or four brands and twelve
lines ("series"), each with products in all its categories. A product is a category, a line and one wording for each
axis that applies: kind, material, size, colour, power, pack. The name prints brand, line and category, and each
attribute with probability 3/4; what it leaves out stands only in the description, which prints every attribute, in
varying words, among selling points, store boilerplate and mentions of *other* categories, lines and brands. Lengths
are mostly near 70 word pieces with a tail to the right.

**Queries** (`sample_queries`). A query is a set of wishes read off one product: its category, its line or both; in half
of the queries one axis value; and further ones until no more than a handful of products meet them all. What is typed
for a wish is not what is printed: a category goes by a common name or by this store's slang, a line by its name or by
what it was once called (neither slang nor old names stand in any product text, so that only training can know them), a
value by an abbreviation, another unit or a synonym; words come in any order, and some are misspelt.

**Latent relevance** (`sample_judgements`). For query q and product d it is

    relevance(q, d) = 0.93 * (product of m(wish) over the wishes that d does not meet) + taste,

with m = 0.42 for a missed category, 0.52 for a missed line, 0.58 for a missed attribute, and taste ~ N(0, 0.04).

**Raters.** Three people, strict, middling and mild, each see relevance + leaning + slip, slip ~ N(0, 0.11), and say 3
from 0.72 on, 2 from 0.30 on, else 1. The grade is their mean, to two decimals: 1, 1.33, 1.67, 2, 2.33, 2.67 or 3. What
meets all wishes lies well above 0.72 and what misses one well below, so that raters seldom split between 2 and 3: the
histogram has two humps with a dip near 2.5.

**Pooling.** Judged for a query are all products that meet every wish, some that miss one or two, and at times one that
misses all. Products that no query has shown come first (so that the judgements name the whole catalogue), then the
bestsellers, a small part of the catalogue that turns up in many queries' results, as in any shop. That keeps most
products to one or two queries, and a split that withholds every document of a held-out query keeps most of its pairs.
A panel that would find nothing relevant for a query rates it again, so every query has an answer.

What it is not: real. It has no typing sessions, no clicks, no taste that changes, one language; what is learned from it
says nothing about a real shop.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nestvec.data.sample_judgements import make_judgements
from nestvec.data.sample_products import make_products
from nestvec.data.sample_queries import Shelf, make_queries
from nestvec.data.sample_store import read_store

SAMPLE_SEED = 2024


def make_sample(seed: int = SAMPLE_SEED) -> pa.Table:
    """Generate the sample.

    Args:
        seed: another one gives another shop; reports and documents speak of the default.

    Returns:
        One row per judged record in random order: document_id, name, description, query (text), relevance (float64).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    store = read_store()
    products = make_products(store, rng)
    shelf = Shelf(products)
    queries = make_queries(store, products, shelf, rng)
    judgements = make_judgements(products, queries, shelf, rng)
    judged = [products[judgement.product] for judgement in judgements]
    return pa.table(
        {
            "document_id": [product.document_id for product in judged],
            "name": [product.name for product in judged],
            "description": [product.description for product in judged],
            "query": [queries[judgement.query].text for judgement in judgements],
            "relevance": pa.array([judgement.relevance for judgement in judgements], pa.float64()),
        }
    )
