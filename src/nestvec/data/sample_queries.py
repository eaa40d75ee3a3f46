"""Generates the sample's queries: what a shopper wants, and the words that the shopper types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.sample_store import AXES, pick, shuffled
from nestvec.data.text import normalise_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from nestvec.data.sample_products import Product
    from nestvec.data.sample_store import Store

QUERIES = {"train": 320, "validation": 1500, "test": 1500}
MOST_RELEVANT = 8  # products that may meet all of a query's wishes; with more, a ranking of ten could not show them

_FORMS = {"noun": 48, "brand": 18, "need": 34}  # how a query begins, and how many such queries there are of a hundred
_PICKY = 0.5  # share of queries that name one attribute even where fewer words would do
_KIND_FIRST = 0.6  # share of queries whose first attribute is the kind, what people think of first
_NOUN_LAST = 0.6  # share of queries that end with the category; else words stand in any order
_MISSPELT = 0.15  # share of queries with one word misspelt
_CHATTY = 0.06  # share of queries that open with a word of `_CHATTER`, unless they name a need
_CHATTER = ("need", "best", "where is", "looking for", "replacement")


@dataclass(frozen=True)
class Query:
    """One query of the sample.

    Attributes:
        text: what the shopper types.
        split: `train`, `validation` or `test`.
        wishes: what the shopper wants: keys of `Product.traits`, `category` always included, mapped to the catalogue's
            wording.
    """

    text: str
    split: str
    wishes: Mapping[str, str]


class Shelves:
    """The products grouped by category, by attributes, and by the split whose queries they are judged for."""

    def __init__(self, products: list[Product]) -> None:
        self.products = products
        self.categories = tuple(dict.fromkeys(product.category.name for product in products))
        self._with_trait: dict[tuple[str, str, str], set[int]] = {}  # category, axis, wording
        self._judged_for: dict[tuple[str, bool], list[int]] = {}  # category, whether for training
        for row, product in enumerate(products):
            category = product.category.name
            self._judged_for.setdefault((category, product.for_training), []).append(row)
            for axis, value in product.traits.items():
                self._with_trait.setdefault((category, axis, value), set()).add(row)

    def list_rows(self, category: str, split: str) -> list[int]:
        """List the products of a category that are judged for the queries of a split."""
        return self._judged_for[category, split == "train"]

    def find_met(self, wishes: Mapping[str, str]) -> list[int]:
        """List all products of the catalogue that meet every wish."""
        met = (self._with_trait[wishes["category"], axis, value] for axis, value in wishes.items())
        return sorted(set.intersection(*met))


def make_queries(store: Store, shelves: Shelves, rng: np.random.Generator) -> list[Query]:
    """Draw distinct queries; one to `MOST_RELEVANT` products meet all wishes of each, all judged for its split.

    Every query starts from a product; products that meet no earlier query of the split are taken first.
    """
    queries: list[Query] = []
    texts: set[str] = set()
    for split, wanted in QUERIES.items():
        own = [row for row, product in enumerate(shelves.products) if product.for_training == (split == "train")]
        waiting, covered = shuffled(rng, own), set[int]()
        while wanted:
            while waiting and waiting[-1] in covered:
                waiting.pop()
            product = shelves.products[waiting.pop() if waiting else pick(rng, own)]
            form = _draw_form(rng)
            wishes = _draw_wishes(product, form, shelves, rng)
            met = shelves.find_met(wishes)
            if len(met) > MOST_RELEVANT or any(
                shelves.products[row].for_training != product.for_training for row in met
            ):
                continue
            text = _type_query(store, product, wishes, form, rng)
            if normalise_text(text) in texts:
                continue
            texts.add(normalise_text(text))
            covered.update(met)
            queries.append(Query(text, split, wishes))
            wanted -= 1
    return queries


def _draw_form(rng: np.random.Generator) -> str:
    left = rng.random() * sum(_FORMS.values())
    for form, weight in _FORMS.items():
        left -= weight
        if left < 0:
            return form
    return list(_FORMS)[-1]


def _draw_wishes(product: Product, form: str, shelves: Shelves, rng: np.random.Generator) -> dict[str, str]:
    """Draw a query's wishes from a product: attributes are added until only a few products meet them all."""
    named = {"noun": ["category"], "brand": ["category", "brand"], "need": ["category", "kind"]}[form]
    wishes = {axis: product.traits[axis] for axis in named}
    axes = shuffled(rng, [axis for axis in AXES if axis in product.traits and axis not in wishes])
    if rng.random() < _KIND_FIRST:
        axes.sort(key=lambda axis: axis != "kind")
    picky = rng.random() < _PICKY
    for axis in axes:
        if not picky and len(shelves.find_met(wishes)) <= MOST_RELEVANT:
            break
        wishes[axis], picky = product.traits[axis], False
    return wishes


def _type_query(store: Store, product: Product, wishes: Mapping[str, str], form: str, rng: np.random.Generator) -> str:
    """Write the text that a shopper types for the wishes: in any order and spelling, sometimes with a typing error."""
    kind = product.category.kinds[product.traits["kind"]]
    typed = {axis: pick(rng, store.spellings[axis, value]) for axis, value in wishes.items() if axis in AXES[1:]}
    if form == "need":
        words = [pick(rng, kind.needs), *(typed[axis] for axis in shuffled(rng, list(typed)))]
    else:
        typed["category"] = pick(rng, product.category.asked)
        if "kind" in wishes:
            typed["kind"] = pick(rng, kind.typed)
        if "brand" in wishes:
            typed["brand"] = product.traits["brand"].lower()
        order = shuffled(rng, list(typed))
        if rng.random() < _NOUN_LAST:
            order.sort(key=lambda axis: axis == "category")
        words = [typed[axis] for axis in order]
        if rng.random() < _CHATTY:
            words.insert(0, pick(rng, _CHATTER))
    text = " ".join(words)
    return _misspell_word(text, rng) if rng.random() < _MISSPELT else text


def _misspell_word(text: str, rng: np.random.Generator) -> str:
    """Make a typing error: a letter of a longer word, not the first, is dropped, doubled or swapped with the next.

    Words with digits or punctuation are never misspelt, as another "1/4 in" would be another wish.
    """
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return text
    index = pick(rng, long)
    word = words[index]
    at = 1 + int(rng.random() * (len(word) - 2))
    words[index] = pick(rng, (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], _swap_letters(word, at)))
    return " ".join(words)


def _swap_letters(word: str, at: int) -> str:
    """Swap two neighbouring letters of a word."""
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
