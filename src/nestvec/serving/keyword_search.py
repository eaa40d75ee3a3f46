"""The keyword leg of a run beside its vectors: words and both legs fused, as the run measured them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.lexical.bm25 import Bm25, LexicalSettings
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
        fitted = self.hybrid.fusion_of(stored)
        return fitted if weight is None else replace(fitted, weight=weight)

    def correct(self, queries: Sequence[str]) -> list[str]:
        """The texts of q queries that are searched by words: corrected where the run measured that."""
        return self.index().correct(queries)

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
        asked = index.count_queries([query])
        by_words, scores = index.rank(asked, depth)
        by_vectors, _ = coded.top_k(vector, depth, pool)
        rows = np.union1d(by_words[0][scores[0] > 0], by_vectors)
        words = index.score_pairs(asked, np.zeros(len(rows), dtype=np.int64), rows)
        fused = fusion.fuse(words[None], coded.score(vector, rows)[None])[0]
        best = np.argsort(-fused, kind="stable")[:k]
        return rows[best], fused[best]

    def _index_words(self) -> Bm25:
        texts = self._catalogue.texts
        return Bm25.of([texts[row] for row in self._catalogue.order], self.hybrid.lexical)
