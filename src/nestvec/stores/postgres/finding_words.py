"""Searches PostgreSQL by keywords, or by keywords and vectors: the database stores postings, and BM25 is computed here.

The postings of a query's words are read, and all documents that contain any of the words are scored. Of the best
documents, those that pass the filter are read. In a fused search, each candidate of the keyword search or the vector
search gets a keyword score and a vector score, which are then combined.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.lexical.corrections import Corrector
from nestvec.lexical.fusion import CANDIDATES
from nestvec.lexical.words import split_words
from nestvec.stores.postgres import statements, word_statements
from nestvec.stores.postgres.postings import WordScores
from nestvec.stores.postgres.word_table import WordTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from nestvec.lexical.fusion import Fusion
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.stores.postgres.finding import Finder, ScoredIds, SearchRequest
    from nestvec.stores.store import Condition, Hit

_TOGETHER = 32  # queries whose postings are read in one statement
_ROOM = 1000  # least number of documents to read if there is a filter
_MORE = 16  # if too few documents pass the filter, the next round reads 16 times as many


class WordFinder:
    """Searches the documents of one table by keywords, or by keywords and vectors, inside a snapshot of `finder`.

    Args:
        connection: the finder's connection.
        finder: searches the same table by vectors.
        hybrid: the settings of keyword search and of fused search.

    Attributes:
        finder: vector search in the same table.
        hybrid: settings of keyword search and of its fusion with vector search.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], finder: Finder, hybrid: Hybrid) -> None:
        self._corrector: Corrector | None = None
        self._version: object = None  # version of the documents whose words the corrector knows
        self.finder = finder
        self._words = WordTable(connection, finder.table)
        self._numbers_text = statements.fill_name(word_statements.NUMBERS_OF_IDS, finder.table)
        self.hybrid = hybrid

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Correct the spelling of queries with the documents' words, which are counted again after each change."""
        lexical = self.hybrid.lexical
        if lexical.correction is None:
            return list(texts)
        version = self._words.read_version()
        if self._corrector is None or version != self._version:
            self._corrector = Corrector.of(self._words.read_texts(), lexical.forms, lexical.correction)
            self._version = version
        return self._corrector.correct(texts)

    def find(self, texts: Sequence[str], k: int, where: tuple[Condition, ...]) -> list[list[Hit]]:
        """Find the best documents for each query by keyword search (BM25)."""
        ranked: list[ScoredIds] = []
        for scores in self._score_words(texts):
            rows = self._read_best(scores, k, where, [])
            scored = zip(scores.of([number for _, number in rows]).tolist(), (row[0] for row in rows), strict=True)
            ranked.append(sorted(scored, reverse=True)[:k])
        return self.finder.read_hits(ranked)

    def find_fused(self, texts: Sequence[str], request: SearchRequest, exact: bool, fusion: Fusion) -> list[list[Hit]]:
        """Find the best documents for each query by fused keyword and vector search."""
        asked = replace(request, k=max(CANDIDATES, request.k), shown=request.k)
        by_vectors = self.finder.rank(asked, exact)
        one_by_one = (replace(asked, queries=query[None]) for query in asked.queries)
        fused = [
            self._fuse(scores, near, one, fusion)[: request.k]
            for scores, near, one in zip(self._score_words(texts), by_vectors, one_by_one, strict=True)
        ]
        return self.finder.read_hits(fused)

    def _score_words(self, texts: Sequence[str]) -> Iterator[WordScores]:
        """Yield, for each query, the BM25 scores of all documents that contain a word of the query."""
        asked = [Counter(words) for words in split_words(self.correct(texts), self.hybrid.lexical.forms)]
        for first in range(0, len(asked), _TOGETHER):
            part = asked[first : first + _TOGETHER]
            postings, totals = self._words.read(word for words in part for word in words)
            for words in part:
                yield WordScores(words, postings, totals, self.hybrid.lexical)

    def _read_best(
        self, scores: WordScores, k: int, where: tuple[Condition, ...], names: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        """Read ids, numbers and columns of documents that pass the filter, including the best k by keywords."""
        text = statements.select_numbers(self.finder.table, names, where)
        conditions = statements.condition_values(where)
        room = max(k, _ROOM) if where else k
        while True:
            numbers = scores.best(room).tolist()
            rows = self.finder.execute(text, [numbers, *conditions]).fetchall() if numbers else []
            if len(rows) >= k or len(numbers) < room:
                return rows
            room *= _MORE

    def _fuse(self, scores: WordScores, near: ScoredIds, request: SearchRequest, fusion: Fusion) -> ScoredIds:
        """Combine keyword and vector scores of all documents that either search found for one query; best first."""
        stage = len(self.finder.columns.about.stages) - 1
        names = self.finder.columns.needed_columns(stage)
        rows = self._read_best(scores, request.k, request.where, names)
        by_words = zip(scores.of([row[1] for row in rows]).tolist(), rows, strict=True)
        rows = [row for _, row in sorted(by_words, key=lambda each: (each[0], each[1][0]), reverse=True)[: request.k]]
        cosines = {identifier: score for score, identifier in near}
        numbers = {identifier: number for identifier, number, *_ in rows}
        others = [(identifier, *codes) for identifier, _, *codes in rows if identifier not in cosines]
        unknown = [identifier for identifier in cosines if identifier not in numbers]
        cosines |= {identifier: score for score, identifier in self.finder.score_rows(request.queries, others, stage)}
        numbers |= dict(self.finder.execute(self._numbers_text, [unknown]).fetchall())
        ids = sorted(numbers, reverse=True)  # Python's order of texts is that of their UTF-8 bytes
        words = scores.of([numbers[identifier] for identifier in ids])
        vectors = np.array([cosines[identifier] for identifier in ids], dtype=np.float32)
        values = fusion.fuse(words[None], vectors[None])[0]
        return [(float(values[row]), ids[row]) for row in np.argsort(-values, kind="stable").tolist()]
