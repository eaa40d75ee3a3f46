"""What an index is asked, and what it answers: hits, the texts that were searched and the count, all of one state."""

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

REBUILDS = 3  # that a search follows before it gives up


class RebuiltError(InputError):
    """An index was built anew and serves something else than a search was prepared for: prepare it again."""

    def __init__(self, place: object) -> None:
        super().__init__("is built anew again and again", "an index that stays while it is searched", file=place)


@dataclass(frozen=True)
class IndexQuery:
    """A search that is prepared for what an index serves.

    Attributes:
        about: what the index must serve still.
        texts: q queries.
        vectors: (q, full dimension) float32 of the same, rows of unit length; None: by words alone.
        mode: `fused`, `vectors` or `words`.
        k: at least 1.
        where: what documents must fulfil, all of it.
        exact: don't use an approximate index where the store has one.
        weight: of the words where both count, 0 to 1; None: as fitted.
        count: whether to say how many documents there are; a database reads all of them for that.
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
    """What an index found.

    Attributes:
        hits: q lists of at most k, best first.
        searched: q texts as their words were searched; vectors are asked the queries as they are.
        documents: how many the index held; 0 where that was not asked.
    """

    hits: list[list[Hit]]
    searched: list[str]
    documents: int


def answer_query(store: Store, asked: IndexQuery) -> IndexAnswer | About:
    """Search one state of a store; where it serves something else than was prepared, gives that instead."""
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
