"""What a fine-tuned model has to be measured against: BM25, and cutting vectors along their principal axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.evaluation.word_splitting import split_words
from nestvec.vectors.topk import best_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BM25_SETTINGS = {"method": "lucene", "k1": 1.5, "b": 0.75, "stopwords": "none"}
_STEP = 64  # queries between two progress reports
_ROWS = 16_384  # documents in float64 at a time


class Bm25:
    """Documents' words, indexed by bm25s; words of one letter or digit count too, stemmed. Any thread may search.

    Args:
        documents: d texts in tie order.
        language: of the stems, see `split_words`.

    Raises:
        MissingExtraError: bm25s or PyStemmer is not installed.
    """

    def __init__(self, documents: Sequence[str], language: str = "english") -> None:
        self._language = language
        words = split_words(documents, language)
        self._documents = len(documents)
        self._index: Any = None  # where no document has a word, which bm25s cannot index
        if any(words):
            import bm25s

            self._index = bm25s.BM25(method="lucene", k1=BM25_SETTINGS["k1"], b=BM25_SETTINGS["b"])
            self._index.index(words, show_progress=False)

    def top_k(
        self, queries: Sequence[str], k: int, advance: Callable[[int], None] = lambda _: None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best documents of each query.

        Documents that share no word with the query score 0 and follow in tie order, so that every ranking is full.

        Args:
            queries: q texts.
            k: at least 1; at most d are returned.
            advance: called with the number of queries done since the last call.

        Returns:
            (q, min(k, d)) rows of documents, best first, and their float32 scores.
        """
        k = min(k, self._documents)
        rows, best = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float32)
        words_by_query = split_words(queries, self._language)
        for first in range(0, len(queries), _STEP):
            chunk = words_by_query[first : first + _STEP]
            for query, words in enumerate(chunk, start=first):
                scores = self._score_query(words).astype(np.float32)
                rows[query] = best_rows(scores, k)
                best[query] = scores[rows[query]]
            advance(len(chunk))
        return rows, best

    def _score_query(self, words: list[str]) -> NDArray[np.floating]:
        """(d,) scores of a query."""
        if self._index is None or not words:
            return np.zeros(self._documents)
        scores: NDArray[np.floating] = self._index.get_scores(words)
        return scores


def principal_axes(
    queries: NDArray[np.float32], documents: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn vectors to the principal axes of the documents, the one with the largest variance first.

    Cutting the result keeps as much of the documents' variance as any such number of directions can (Pearson 1901).

    Args:
        queries: (q, w) float32.
        documents: (d, w) float32, d at least 1.

    Returns:
        (q, w) and (d, w) float32: less the documents' mean, on the axes. Each axis points where its largest entry is
        positive, for its sign is arbitrary.
    """
    mean = documents.mean(axis=0, dtype=np.float64)
    spread = np.zeros((len(mean), len(mean)))
    for first in range(0, len(documents), _ROWS):
        centred = documents[first : first + _ROWS] - mean
        spread += centred.T @ centred
    axes = np.linalg.eigh(spread)[1][:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(mean))])
    centre, axes = mean.astype(np.float32), axes.astype(np.float32)
    return (queries - centre) @ axes, (documents - centre) @ axes
