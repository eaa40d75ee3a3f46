"""Searches a run's documents by keywords (BM25), or by keywords and vectors fused, as the run measured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.candidates import Leg, fuse_one
from nestvec.lexical.fusion import CANDIDATES
from nestvec.lexical.hybrid_file import Hybrid, read_hybrid
from nestvec.lexical.words import WordForms
from nestvec.serving.lazy_value import LazyValue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Catalogue
    from nestvec.lexical.fusion import Fusion
    from nestvec.point import VectorFormat
    from nestvec.runs.run import Run
    from nestvec.serving.code_cache import CodedDocuments
    from nestvec.stores.exact import ScoredRows


class Query(NamedTuple):
    """A query, and the document that results leave out because the query is that document itself.

    Attributes:
        text: the query as typed.
        own: the position in tie order of the document that is the query itself; None if there is no such document.
    """

    text: str
    own: int | None

    def depth(self, k: int) -> int:
        """Return how many documents to find, so that k remain after the query's own document is left out."""
        return k if self.own is None else k + 1

    def leave_out_own(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> ScoredRows:
        """Remove the document that is the query itself from `depth(k)` results, so that the best k remain."""
        if self.own is None:
            return rows, scores
        kept = np.argsort(rows == self.own, kind="stable")[:-1]  # if the own document is not among them, drop the last
        return rows[kept], scores[kept]


class KeywordSearch:
    """Keyword search over the run's documents; the first search counts the words. Thread-safe.

    Args:
        run: the run. A run of an earlier nestvec has no fitted keyword settings; the defaults are used.
        catalogue: the run's documents.
    """

    def __init__(self, run: Run, catalogue: Catalogue) -> None:
        path = run.folder.path("hybrid")
        language = str(run.config.settings.get("language", "english"))
        self.hybrid = read_hybrid(path) if path.is_file() else Hybrid(LexicalSettings(WordForms(language)))
        self._catalogue = catalogue
        self._index = LazyValue(self._index_words)

    def index(self) -> Bm25:
        """Return the BM25 index of the run's documents, sorted as equal scores rank; the first call builds it."""
        return self._index()

    def fusion(self, stored: VectorFormat, weight: float | None = None) -> Fusion:
        """Return how BM25 fuses with vectors of a format; BM25's `weight` is 0 to 1, None takes the fitted weight."""
        return self.hybrid.fusion_of(stored).weighted(weight)

    def correct(self, queries: Sequence[str]) -> list[str]:
        """Return queries with corrected spelling, or unchanged if the run was measured without spelling correction."""
        return self.index().correct(queries)

    def rank(self, query: Query, k: int) -> ScoredRows:
        """Find the k best documents by BM25: their rows in `index()`, and their scores (0 without a common word)."""
        index = self.index()
        rows, scores = index.top_k([query.text], query.depth(k))
        return query.leave_out_own(rows[0], scores[0])

    def search(
        self, query: Query, vector: NDArray[np.float32], coded: CodedDocuments, fusion: Fusion, k: int, pool: Executor
    ) -> ScoredRows:
        """Find the best documents by keyword search (BM25) and vectors fused.

        Args:
            query: the query's text, and the document to leave out.
            vector: (full width,) float32 vector of the query, of unit length.
            coded: the documents' quantised vectors.
            fusion: combines a document's keyword score and vector score.
            k: number of documents, at least 1.
            pool: threads that search the quantised vectors.

        Returns:
            Positions of at most k documents in tie order, best first, and their float32 scores.
        """
        index, depth = self.index(), query.depth(max(CANDIDATES, k))
        asked = index.count_queries([query.text])

        def score_words(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return index.score_pairs(asked, np.zeros(len(rows), dtype=np.int64), rows)

        found = query.leave_out_own(*(each[0] for each in index.rank(asked, depth)))
        words = Leg.of_one(*found, score_words)
        vectors = Leg.of_one(*query.leave_out_own(*coded.top_k(vector, depth, pool)), partial(coded.score, vector))
        rows, fused = fuse_one(vectors, words, fusion)
        best = np.argsort(-fused, kind="stable")[:k]
        return rows[best], fused[best]

    def _index_words(self) -> Bm25:
        texts = self._catalogue.texts
        return Bm25.of([texts[row] for row in self._catalogue.order], self.hybrid.lexical)
