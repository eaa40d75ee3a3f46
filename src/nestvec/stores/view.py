"""Searches an embedded index by vectors, keywords or both, among all documents or those that pass a filter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec.lexical.candidates import Leg, fuse_one
from nestvec.lexical.fusion import CANDIDATES
from nestvec.stores.exact import Part, Parts, rank_rows
from nestvec.stores.scan import Scan
from nestvec.stores.store import Hit
from nestvec.vectors.topk import score_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.lexical.fusion import Fusion
    from nestvec.stores.exact import ScoredRows
    from nestvec.stores.generation import Generation
    from nestvec.stores.store import Condition
    from nestvec.stores.word_index import AskedWords

_FEW = 4  # if a filter leaves fewer than one in four rows, only the codes of these rows are searched


@dataclass(frozen=True)
class View:
    """The documents of an embedded index that a search may return: all, or those that pass a filter.

    Attributes:
        generation: the open build of the index that holds the documents, vectors and postings.
        parts: the stored vectors to compare with the query.
        live: boolean for each row of the generation: whether its document may be returned.
        pool: threads that search the vectors.
        is_filtered: whether the search has a filter.
    """

    generation: Generation
    parts: Parts
    live: NDArray[np.bool_]
    pool: Executor
    is_filtered: bool

    def find_by_vectors(self, query: NDArray[np.float32], k: int) -> list[Hit]:
        """Find the k documents whose vectors are most similar to the query's, best first.

        `query` is a float32 vector of unit length, in the system's full dimension.
        """
        return self._read_hits(*self._search_vectors(query, k))

    def find_by_words(self, text: str, k: int) -> list[Hit]:
        """Find the k best documents for a query by keyword search (BM25), best first."""
        return self._read_hits(*self._search_words(self.generation.words.ask(text), k))

    def find_by_both(self, text: str, query: NDArray[np.float32], k: int, fusion: Fusion) -> list[Hit]:
        """Find the k best documents for a query by fused keyword and vector scores, best first.

        `text` and `query` are the query's text and its vector.
        """
        depth, asked = max(CANDIDATES, k), self.generation.words.ask(text)
        vectors = Leg.of_one(*self._search_vectors(query, depth), partial(self._score_by_vectors, query))
        words = Leg.of_one(*self._search_words(asked, depth), asked.score)
        return self._read_hits(*self._keep_best(*fuse_one(vectors, words, fusion), k))

    def _search_vectors(self, query: NDArray[np.float32], k: int) -> ScoredRows:
        """Find the rows of the k documents most similar to the query's vector, with their scores, in any order.

        In an index with two vector formats, the second re-ranks a shortlist that the first finds.
        """
        about = self.generation.about
        two = len(about.stages) > 1
        wanted = max(k, about.shortlist) if two else k
        asked = self.generation.codecs[0].cut(query[None])[0]
        found = self.parts.find_best(
            asked, wanted, lambda rows: self._rank_by_stage(0, query, rows[self.live[rows]], wanted), self.pool
        )
        rows, scores = self._keep_best(*found, wanted)
        return self._keep_best(*self._rank_by_stage(1, query, rows, k), k) if two else (rows, scores)

    def _search_words(self, asked: AskedWords, k: int) -> ScoredRows:
        """Find the rows of the k documents with the highest BM25 scores, with these scores, in any order."""
        rows, scores = asked.find_best(k, self.live if self.is_filtered else None)
        return self._keep_best(*self._keep_first_ties(rows, scores, k), k)

    def _rank_by_stage(self, stage: int, query: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> ScoredRows:
        """Find the k best of the given rows by exact vector scores, highest first, and all that tie with the k-th.

        `stage` is the number of the vector format to use: 0 for the first, 1 for the one that re-ranks.
        """
        codec = self.generation.codecs[stage]
        asked = codec.cut(query[None])[0]
        return rank_rows(codec, asked, rows, partial(self.generation.codes_at, stage), k)

    def _score_by_vectors(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute the vector scores of the given rows for a query; with two vector formats, the second is used."""
        about, codec = self.generation.about, self.generation.codecs[-1]
        codes = self.generation.codes_at(len(about.stages) - 1, rows)
        pairs = np.zeros(len(rows), dtype=np.int64), np.arange(len(rows))
        return score_pairs(codec.cut(query[None]), codes, codec.decode, *pairs)

    def _keep_first_ties(self, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> ScoredRows:
        """Drop rows that cannot be among the k best, to look up fewer ids when scores are equal.

        A segment's documents are sorted by id, the greatest first. So of the rows that share the k-th highest score,
        only the first k of each segment are kept. `rows` must be ascending.
        """
        if len(rows) <= k:
            return rows, scores
        tied = np.flatnonzero(scores == _least_of(scores, k))
        firsts = [segment.first for segment in self.generation.segments]
        parts = np.split(tied, np.searchsorted(rows[tied], firsts[1:]))
        kept = np.ones(len(rows), dtype=np.bool_)
        kept[np.concatenate([part[k:] for part in parts])] = False
        return rows[kept], scores[kept]

    def _keep_best(self, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> ScoredRows:
        """Keep the k rows with the highest scores, in any order; of equal scores, those with the greater ids."""
        if len(rows) <= k:
            return rows, scores
        least = _least_of(scores, k)
        better, tied = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        if len(better) + len(tied) > k:
            ids = self.generation.ids_at(rows[tied])
            ranked = sorted(tied.tolist(), key=lambda place: ids[int(rows[place])].encode(), reverse=True)
            tied = np.array(ranked[: k - len(better)])
        kept = np.concatenate([better, tied])
        return rows[kept], scores[kept]

    def _read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """Read the documents of the given rows and sort them by score, best first."""
        score = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        documents = self.generation.documents_at(rows)
        documents.sort(key=lambda document: (score[document.row], document.id.encode()), reverse=True)
        return [Hit(document.id, score[document.row], document.text, document.fields) for document in documents]


def _least_of(scores: NDArray[np.float32], k: int) -> np.float32:
    """Return the k-th highest score; there must be more than k scores."""
    least: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    return least


def filter_generation(generation: Generation, where: Sequence[Condition], pool: Executor) -> View:
    """Prepare a search among the documents that fulfil all conditions in `where`; without conditions, among all."""
    live = generation.live_rows()
    parts = [Part(segment.scans[0], segment.first) for segment in generation.segments]
    if where:
        rows = generation.matching_rows(where)
        if len(rows) * _FEW < len(live):
            codes = generation.codes_at(0, rows)
            parts = [Part(Scan.of(generation.codecs[0], codes), rows)] if len(rows) else []
        allowed = np.zeros_like(live)
        allowed[rows] = True
        live &= allowed
    return View(generation, Parts(generation.codecs[0], parts), live, pool, bool(where))
