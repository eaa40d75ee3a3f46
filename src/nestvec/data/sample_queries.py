"""The sample's queries: what a shopper wants, and what the shopper types for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.data.sample_store import AXES, pick, shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.sample_products import Product
    from nestvec.data.sample_store import Store

QUERIES = 930
MOST_RELEVANT = 6  # products that may meet all of a query's wishes; with more, a ranking of ten could not show them


class Form(NamedTuple):
    """How a query names its category and its line.

    Attributes:
        category: `asked` or `slang`; None where the query does not name it.
        series: `name` or `old`; None where the query does not name it.
    """

    category: str | None
    series: str | None


_FORMS = {  # and how many such queries there are of a hundred
    Form("asked", None): 18,
    Form("slang", None): 8,
    Form("asked", "name"): 30,
    Form("asked", "old"): 10,
    Form("slang", "name"): 12,
    Form("slang", "old"): 4,
    Form(None, "name"): 12,
    Form(None, "old"): 6,
}
_PICKY = 0.5  # share of queries that name one attribute even where fewer words would do
_KIND_FIRST = 0.6  # share of queries whose first attribute is the kind, what people think of first
_NOUN_LAST = 0.5  # share of queries that end with the category, if they name it; else words stand in any order
_MISSPELT = 0.18  # share of queries with one word misspelt
_CHATTY = 0.06  # share of queries that open with a word of `_CHATTER`
_CHATTER = ("need", "best", "cheap", "where is", "looking for")


@dataclass(frozen=True)
class Query:
    """One query.

    Attributes:
        text: what is typed.
        wishes: what is meant: ("category" | "series" | an axis of `AXES`, catalogue wording) pairs.
    """

    text: str
    wishes: tuple[tuple[str, str], ...]


class Shelf:
    """Which products meet a wish: one mask over the catalogue per wish."""

    def __init__(self, products: list[Product]) -> None:
        self.size = len(products)
        rows: dict[tuple[str, str], list[int]] = {}
        for row, product in enumerate(products):
            for wish in wishes_met(product):
                rows.setdefault(wish, []).append(row)
        self._masks: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for wish, members in rows.items():
            self._masks[wish] = np.zeros(self.size, dtype=bool)
            self._masks[wish][members] = True

    def meets(self, wish: tuple[str, str]) -> NDArray[np.bool_]:
        """(products,) which of them meet the wish."""
        return self._masks[wish]

    def count_met(self, wishes: tuple[tuple[str, str], ...]) -> NDArray[np.int64]:
        """(products,) how many of the wishes each product meets."""
        count: NDArray[np.int64] = np.sum([self._masks[wish] for wish in wishes], axis=0, dtype=np.int64)
        return count


def wishes_met(product: Product) -> list[tuple[str, str]]:
    """Every wish that the product meets."""
    return [("category", product.category.name), ("series", product.series.name), *product.values.items()]


def make_queries(store: Store, products: list[Product], shelf: Shelf, rng: np.random.Generator) -> list[Query]:
    """Distinct queries, each met in full by one to `MOST_RELEVANT` products.

    Every query starts from a product: one that no earlier query was met by, as long as there are any.
    """
    queries: list[Query] = []
    texts: dict[str, None] = {}
    waiting = shuffled(rng, range(len(products)))
    covered = np.zeros(len(products), dtype=bool)
    while len(queries) < QUERIES:
        while waiting and covered[waiting[-1]]:
            waiting.pop()
        product = products[waiting.pop()] if waiting else pick(rng, products)
        form = _draw_form(rng)
        wishes = _draw_wishes(product, form, shelf, rng)
        met = shelf.count_met(wishes) == len(wishes)
        if not 1 <= int(met.sum()) <= MOST_RELEVANT:
            continue
        text = _type_query(store, product, wishes, form, rng)
        if text in texts:
            continue
        texts[text] = None
        covered |= met
        queries.append(Query(text, wishes))
    return queries


def _draw_form(rng: np.random.Generator) -> Form:
    left = rng.random() * sum(_FORMS.values())
    for form, weight in _FORMS.items():
        left -= weight
        if left < 0:
            return form
    return list(_FORMS)[-1]


def _draw_wishes(product: Product, form: Form, shelf: Shelf, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """What is meant: attributes of the product are added until few enough products meet them all."""
    wishes: list[tuple[str, str]] = []
    if form.category:
        wishes.append(("category", product.category.name))
    if form.series:
        wishes.append(("series", product.series.name))
    axes = shuffled(rng, [axis for axis in AXES if axis in product.values])
    if rng.random() < _KIND_FIRST:
        axes.sort(key=lambda axis: axis != "kind")
    if rng.random() < _PICKY:
        wishes.append((axes[0], product.values[axes.pop(0)]))
    while axes and int((shelf.count_met(tuple(wishes)) == len(wishes)).sum()) > MOST_RELEVANT:
        wishes.append((axes[0], product.values[axes.pop(0)]))
    return tuple(wishes)


def _type_query(
    store: Store, product: Product, wishes: tuple[tuple[str, str], ...], form: Form, rng: np.random.Generator
) -> str:
    """What is typed for the wishes: any order, any spelling, sometimes a slip."""
    words = [_type_wish(store, product, wish, form, rng) for wish in wishes]
    order = shuffled(rng, range(len(words)))
    if form.category and rng.random() < _NOUN_LAST:
        order.sort(key=lambda index: wishes[index][0] == "category")
    words = [words[index] for index in order]
    if rng.random() < _MISSPELT:
        words = _misspell_word(words, rng)
    if rng.random() < _CHATTY:
        words.insert(0, pick(rng, _CHATTER))
    return " ".join(words)


def _type_wish(store: Store, product: Product, wish: tuple[str, str], form: Form, rng: np.random.Generator) -> str:
    """What is typed for one wish."""
    axis, value = wish
    if axis == "category":
        return pick(rng, product.category.slang if form.category == "slang" else product.category.asked)
    if axis == "series":
        return (product.series.old_name if form.series == "old" else product.series.name).lower()
    key = product.category.name if axis == "kind" else axis
    return pick(rng, store.spellings[key, value])


def _misspell_word(words: list[str], rng: np.random.Generator) -> list[str]:
    """The words, with a letter of a longer one dropped, doubled or swapped with the next; the first letter stays.

    Words with figures or marks in them are typed with care: another "1/4 in" would be another wish.
    """
    long = [index for index, word in enumerate(words) if len(word) >= 5 and word.replace(" ", "").isalpha()]
    if not long:
        return words
    index = pick(rng, long)
    word = words[index]
    at = 1 + int(rng.random() * (len(word) - 2))
    slip = pick(rng, (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], _swap_letters(word, at)))
    return [*words[:index], slip, *words[index + 1 :]]


def _swap_letters(word: str, at: int) -> str:
    """The word with two neighbouring letters the wrong way round."""
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
