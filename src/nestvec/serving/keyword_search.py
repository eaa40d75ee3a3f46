"""The keyword leg of a run beside its vectors: words and both legs fused, as the run measured them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.candidates import Found, Leg, fuse_one
from nestvec.lexical.fusion import CANDIDATES
from nestvec.lexical.hybrid_file import Hybrid, read_hybrid
from nestvec.lexical.words import WordForms
from nestvec.serving.lazy_value import LazyValue

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Catalogue
    from nestvec.lexical.fusion import Fusion
    from nestvec.point import VectorFormat
    from nestvec.runs.run import Run
    from nestvec.serving.code_cache import CodedDocuments


class KeywordSearch:
    """The catalogue's words, counted when they are first asked for. Any thread may ask.

    Args:
        run: the run; one of an earlier version has no fitted numbers, and is searched with those of nobody's choice.
        catalogue: its documents.
    """

    def __init__(self, run: Run, catalogue: Catalogue) -> None:
        path = run.folder.path("hybrid")
        language = str(run.config.settings.get("language", "english"))
        self.hybrid = read_hybrid(path) if path.is_file() else Hybrid(LexicalSettings(WordForms(language)))
        self._catalogue = catalogue
        self._index = LazyValue(self._index_words)

    def index(self) -> Bm25:
        """BM25 over the documents; rows are in tie order."""
        return self._index()

    def fusion(self, stored: VectorFormat, weight: float | None = None) -> Fusion:
        """How words and vectors of a format fuse: as fitted, or with another weight of the words, 0 to 1."""
        return self.hybrid.fusion_of(stored).weighted(weight)

    def search(
        self, query: str, vector: NDArray[np.float32], coded: CodedDocuments, fusion: Fusion, k: int, pool: Executor
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the best documents by words and vectors.

        Args:
            query: a text.
            vector: (full width,) float32 of the query, of unit length.
            coded: the documents' codes.
            fusion: how the two scores become one.
            k: at least 1.
            pool: searches the codes.

        Returns:
            Up to k rows in tie order, best first, and their float32 scores.
        """
        depth = max(CANDIDATES, k)
        index = self.index()
        asked = index.counts.count_queries([query])
        words = Leg(Found(*index.rank(asked, depth)), partial(index.score_pairs, asked))
        vectors = Leg.of_one(*coded.top_k(vector, depth, pool), partial(coded.score, vector))
        rows, fused = fuse_one(vectors, words, fusion)
        best = np.argsort(-fused, kind="stable")[:k]
        return rows[best], fused[best]

    def _index_words(self) -> Bm25:
        texts = self._catalogue.texts
        return Bm25.of([texts[row] for row in self._catalogue.order], self.hybrid.lexical)
