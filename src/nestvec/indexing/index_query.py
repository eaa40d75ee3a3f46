"""Prepared searches of an index and their answers; each answer comes from one state of the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.indexing.index_settings import FUSED, VECTORS, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nestvec.stores.store import About, Condition, Hit, Store

REBUILDS = 3  # attempts of a search while builds keep replacing the index


class RebuiltError(InputError):
    """The index was built anew and serves something else than the search was prepared for: prepare it again."""

    def __init__(self, place: object) -> None:
        problem = "other processes keep replacing the index during the search"
        super().__init__(problem, "no builds in progress: search again when they are done", file=place)


@dataclass(frozen=True)
class IndexQuery:
    """A search that was prepared for what an index serves.

    Attributes:
        about: what the search was prepared for, which the index must still serve.
        texts: q queries.
        vectors: (q, full dimension) float32 vectors of the queries, rows of unit length; None to search by words alone.
        mode: `fused`, `vectors` or `words`.
        k: documents to find for each query, at least 1.
        where: conditions; a document must fulfil all of them.
        exact: skip the approximate index, if the store has one, and compare all documents.
        weight: weight of the keyword score in a fused search, 0 to 1; None takes the fitted weight.
        count: whether to count the documents, for which a database reads all of them.
    """

    about: About
    texts: Sequence[str]
    vectors: NDArray[np.float32] | None
    mode: str
    k: int
    where: Sequence[Condition] = ()
    exact: bool = False
    weight: float | None = None
    count: bool = False


@dataclass(frozen=True)
class IndexAnswer:
    """The answer of an index.

    Attributes:
        hits: q lists of at most k hits, best first.
        searched: q texts as keyword search used them, with corrected spelling; vectors are of the original queries.
        documents: number of documents in the index; 0 if `IndexQuery.count` was false.
    """

    hits: list[list[Hit]]
    searched: list[str]
    documents: int


def answer_query(store: Store, asked: IndexQuery) -> IndexAnswer | About:
    """Search one state of a store; if it serves something else than the search was prepared for, returns that About."""
    with store.one_state() as about:
        if about != asked.about:
            return about
        searched = list(asked.texts) if asked.mode == VECTORS else store.correct(asked.texts)
        return IndexAnswer(_search(store, asked), searched, len(store) if asked.count else 0)


def _search(store: Store, asked: IndexQuery) -> list[list[Hit]]:
    if asked.mode == WORDS or asked.vectors is None:
        return store.search_words(asked.texts, asked.k, asked.where)
    if asked.mode == FUSED:
        return store.search_fused(asked.texts, asked.vectors, asked.k, asked.where, asked.exact, asked.weight)
    return store.search(asked.vectors, asked.k, asked.where, asked.exact)
