"""Documents whose vectors, and so the right answers, are known."""

from __future__ import annotations

import numpy as np

from nestvec.point import VectorFormat
from nestvec.stores.store import About, Batch
from nestvec.vectors.codecs import CODECS, prefix
from nestvec.vectors.topk import rerank, tie_order, top_k

WIDTH = 48
STAGES = {
    "float32": (VectorFormat(WIDTH, "float32"),),
    "float16": (VectorFormat(WIDTH, "float16"),),
    "int8": (VectorFormat(16, "int8"),),
    "int8-wide": (VectorFormat(32, "int8"),),  # of a width that faiss has a rounded product for
    "int4": (VectorFormat(WIDTH, "int4"),),
    "int2": (VectorFormat(WIDTH, "int2"),),
    "binary": (VectorFormat(WIDTH, "binary"),),
    "two-stage": (VectorFormat(16, "int8"), VectorFormat(WIDTH, "int8")),
    "two-stage-binary": (VectorFormat(WIDTH, "binary"), VectorFormat(WIDTH, "float16")),
}


class World:
    """Documents with clustered vectors, and what an exhaustive search of their codes finds.

    Some documents share a vector, so that ties must be broken.
    """

    def __init__(self, stages, documents=300, queries=20, seed=0):
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(12, WIDTH))
        drawn = centres[rng.integers(0, 12, documents)] + 0.7 * rng.normal(size=(documents, WIDTH))
        drawn[5:9] = drawn[4]
        self.vectors = prefix(drawn.astype(np.float32), WIDTH)
        asked = self.vectors[rng.integers(0, documents, queries)] + 0.08 * rng.normal(size=(queries, WIDTH))
        asked[0] = self.vectors[4]
        self.queries = prefix(asked.astype(np.float32), WIDTH)
        self.ids = [f"d{row % 97}-ü{row}" for row in range(documents)]
        self.texts = [f"document {row} <b>" for row in range(documents)]
        self.fields = [
            {
                "brand": ("Acme", "Zenith", "Ünique")[row % 3],
                "price": row / 4,
                **({"size": "L"} if row % 7 == 0 else {}),
            }
            for row in range(documents)
        ]
        self.about = About("mnr", "0" * 64, WIDTH, stages, shortlist=40)
        self.codecs = [CODECS[stage.precision](prefix(self.vectors, stage.dimension)) for stage in stages]

    def batches(self, rows=None, size=64):
        rows = list(range(len(self.ids)) if rows is None else rows)
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            columns = [[column[row] for row in part] for column in (self.ids, self.texts, self.fields)]
            yield Batch(columns[0], columns[1], self.vectors[part], columns[2])

    def put_into(self, store):
        store.build(self.about, self.codecs, self.batches())

    def best(self, query, k, rows=None):
        """Ids and scores by a search of all codes, over the documents at `rows`."""
        rows = np.arange(len(self.ids)) if rows is None else np.array(rows, dtype=np.int64)
        rows = rows[tie_order([self.ids[row] for row in rows])]
        if not len(rows):
            return [], []
        sides = []
        for stage, codec in zip(self.about.stages, self.codecs, strict=True):
            vectors = prefix(self.vectors[rows], stage.dimension)
            sides.append(
                (prefix(self.queries[query : query + 1], stage.dimension), codec.encode(vectors), codec.decode)
            )
        asked, codes, decode = sides[0]
        found, scores = top_k(asked, codes, max(k, self.about.shortlist) if len(sides) > 1 else k, decode)
        if len(sides) > 1:
            found, scores = rerank(sides[1][0], sides[1][1], found, sides[1][2])
        return [self.ids[rows[row]] for row in found[0, :k]], scores[0, :k].tolist()
