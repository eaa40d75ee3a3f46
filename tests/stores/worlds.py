"""Documents whose vectors, and so the right answers, are known."""

from __future__ import annotations

import numpy as np

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.fusion import CANDIDATES, Fusion
from nestvec.lexical.hybrid_file import Hybrid
from nestvec.point import VectorFormat
from nestvec.stores.store import About, Batch
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
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
HYBRID = Hybrid(LexicalSettings(k1=0.9, b=0.6), Fusion(0.4), 300, 5.0)
COMMON = ["deck", "saw", "hose", "nail", "hinge", "paint", "drill", "éclair"]
ASKED = [  # words that many hold, few, and none; twice the same; none at all
    "deck", "saw hose", "rare3", "drill rare5 deck", "unheard-of", "nail nail nail deck", "", "paint unheard-of rare1",
    "Éclairs!", "deck saw hose nail hinge paint drill éclair rare1 rare2 rare3 rare4 rare5",
]  # fmt: skip


class World:
    """Documents with clustered vectors, and what an exhaustive search of their codes and of their words finds.

    Some documents share a vector, and many the same words, so that ties must be broken.
    """

    def __init__(self, stages, documents=300, queries=20, seed=0, hybrid=None):
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(12, WIDTH))
        drawn = centres[rng.integers(0, 12, documents)] + 0.7 * rng.normal(size=(documents, WIDTH))
        drawn[5:9] = drawn[4]
        self.vectors = prefix(drawn.astype(np.float32), WIDTH)
        asked = self.vectors[rng.integers(0, documents, queries)] + 0.08 * rng.normal(size=(queries, WIDTH))
        asked[0] = self.vectors[4]
        self.queries = prefix(asked.astype(np.float32), WIDTH)
        self.ids = [f"d{row % 97}-ü{row}" for row in range(documents)]
        likely = 1 / np.arange(1, len(COMMON) + 1)
        drawn_words = [rng.choice(COMMON, rng.integers(0, 5), p=likely / likely.sum()) for _ in range(documents)]
        rare = [f"rare{row % 7}" if row % 11 == 0 else "" for row in range(documents)]
        self.texts = [f"{' '.join(words)} <b> {rare[row]}" for row, words in enumerate(drawn_words)]
        self.fields = [
            {
                "brand": ("Acme", "Zenith", "Ünique")[row % 3],
                "price": row / 4,
                **({"size": "L"} if row % 7 == 0 else {}),
            }
            for row in range(documents)
        ]
        self.about = About("mnr", "0" * 64, WIDTH, stages, shortlist=40, hybrid=hybrid)
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

    def best_by_words(self, text, k, rows=None, passing=None):
        """Ids and scores by BM25 of the documents at `rows`, of those alone that pass a filter."""
        scores = self._word_scores(text, rows)
        return self._rank({row: score for row, score in scores.items() if score > 0}, k, passing)

    def best_by_both(self, query, text, k, fusion, rows=None, passing=None):
        """The same by the definition of the fusion, a document at a time."""
        rows = np.arange(len(self.ids)) if rows is None else np.array(rows, dtype=np.int64)
        passing = rows.tolist() if passing is None else passing
        by_words, place = self._word_scores(text, rows), {identifier: row for row, identifier in enumerate(self.ids)}
        ids, cosines = self.best(query, len(passing), passing)
        by_vectors = {place[identifier]: score for identifier, score in zip(ids, cosines, strict=True)}
        shared = {row: score for row, score in by_words.items() if score > 0}
        depth = max(CANDIDATES, k)
        legs = [self._rank(shared, depth, passing)[0], self.best(query, depth, passing)[0]]  # two stages look at few
        candidates = sorted({place[identifier] for leg in legs for identifier in leg})
        fused = fusion.fuse(
            *(np.array([[leg[row] for row in candidates]], np.float32) for leg in (by_words, by_vectors))
        )
        return self._rank(dict(zip(candidates, fused[0].tolist(), strict=True)), k)

    def _word_scores(self, text, rows=None):
        """The BM25 scores of the documents at `rows`, which are all that there are."""
        rows = np.arange(len(self.ids)) if rows is None else np.array(rows, dtype=np.int64)
        rows = rows[tie_order([self.ids[row] for row in rows])]
        if not len(rows):
            return {}
        places, scores = Bm25.of([self.texts[row] for row in rows], (self.about.hybrid or HYBRID).lexical).top_k(
            [text], len(rows)
        )
        return dict(zip(rows[places[0]].tolist(), scores[0].tolist(), strict=True))

    def _rank(self, scores, k, passing=None):
        """Ids and scores of the k best, of equal ones the greater id first."""
        kept = [row for row in scores if passing is None or row in set(passing)]
        kept.sort(key=lambda row: (scores[row], self.ids[row].encode()), reverse=True)
        return [self.ids[row] for row in kept[:k]], [scores[row] for row in kept[:k]]
