"""Searches an index; an answer never mixes two states of the index, even if another process rebuilds it."""

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
    """The index was rebuilt with other settings after the queries were encoded for it: encode the queries again."""

    def __init__(self, place: object) -> None:
        problem = "other processes keep replacing the index during the search"
        super().__init__(problem, "no builds in progress: search again when they are done", file=place)


@dataclass(frozen=True)
class IndexQuery:
    """One or more queries for an index, with their vectors; the index must still be the one they were encoded for.

    Attributes:
        about: describes the index that the vectors are for: its system, vector formats and keyword settings.
        texts: the texts of q queries.
        vectors: (q, full dimension) float32 vectors of the queries, rows of unit length; None for keyword search alone.
        mode: `fused`, `vectors` or `words` (keyword search).
        k: documents to find for each query, at least 1.
        where: conditions on fields; a document must fulfil all of them.
        exact: skip the approximate index, if the store has one, and compare all documents.
        weight: weight of the keyword score in a fused search, 0 to 1; None takes the fitted weight.
        count: whether to count the index's documents; a database must read all of them to count them.
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
    """The documents that an index found for one or more queries.

    Attributes:
        hits: q lists of at most k hits, best first.
        searched: q query texts with corrected spelling, as keyword search used them; vectors are of the texts as given.
        documents: number of documents in the index; 0 if `IndexQuery.count` was false.
    """

    hits: list[list[Hit]]
    searched: list[str]
    documents: int


def answer_query(store: Store, asked: IndexQuery) -> IndexAnswer | About:
    """Search an index; if its description is no longer `asked.about`, because it was rebuilt, return the new one."""
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
