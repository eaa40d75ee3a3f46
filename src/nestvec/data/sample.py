"""sample"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.sample_products import make_products
from nestvec.data.sample_queries import Shelf, make_queries
from nestvec.data.sample_judgements import make_judgements
from nestvec.data.sample_store import read_store

SAMPLE_SEED = 2024


def make_sample(seed: int = SAMPLE_SEED) -> pa.Table:
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
