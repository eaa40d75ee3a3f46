"""The sample's judgements: which products are shown to the raters for a query, and what three raters say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.sample_store import draw_normal, pick, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from nestvec.data.sample_products import Product
    from nestvec.data.sample_queries import Query, Shelves

RELEVANT_FROM = 2.5  # a mean grade; the catalogue's dip lies here

_NEAR, _FAR = 3, 2  # products of the category that miss one wish, and two
_STRANGERS = 0.75  # share of queries with one product of another category

# Latent relevance lies in 0..1; a rater says 2 from the first bar on and 3 from the second.
_BARS = (0.30, 0.72)
_RATERS = (-0.03, 0.0, 0.03)  # strict, middling and mild
_NOISE = 0.1
_ALL_MET = 0.93
_MISSED = {"category": 0.2, "kind": 0.5, "size": 0.52, "power": 0.52}  # factor for a wish that is not met
_MISSED_OTHER = 0.54


@dataclass(frozen=True)
class Judgement:
    """One judgement of the sample: how relevant a product is for a query.

    Attributes:
        query: row of the queries.
        product: row of the products.
        relevance: mean of three ratings of 1, 2 or 3, to two decimals.
    """

    query: int
    product: int
    relevance: float


def make_judgements(queries: list[Query], shelves: Shelves, rng: np.random.Generator) -> list[Judgement]:
    """Choose and rate products for every query, so that every product is judged at least once."""
    pools = [[*shelves.find_met(query.wishes), *_pick_misses(query, shelves, rng)] for query in queries]
    for row in sorted(set(range(len(shelves.products))).difference(*pools)):
        pools[_find_query(shelves.products[row], queries)].append(row)
    judgements = []
    for index, (query, pool) in enumerate(zip(queries, pools, strict=True)):
        grades = _rate_pool(query.wishes, [shelves.products[row] for row in pool], rng)
        judgements += [Judgement(index, row, grade) for row, grade in zip(pool, grades, strict=True)]
    return shuffled(rng, judgements)


def _pick_misses(query: Query, shelves: Shelves, rng: np.random.Generator) -> list[int]:
    """Pick products of the query's category that miss one or two wishes, and mostly one of another category."""
    missed: dict[int, list[int]] = {}
    for row in shelves.list_rows(query.wishes["category"], query.split):
        missed.setdefault(len(query.wishes) - shelves.products[row].count_met(query.wishes), []).append(row)
    near, far = (shuffled(rng, missed.get(count, [])) for count in (1, 2))
    chosen = near[:_NEAR] + far[:_FAR]
    if rng.random() < _STRANGERS:
        others = [name for name in shelves.categories if name != query.wishes["category"]]
        chosen.append(pick(rng, shelves.list_rows(pick(rng, others), query.split)))
    return chosen


def _find_query(product: Product, queries: list[Query]) -> int:
    """Find the query whose wishes the product meets best, among those for which the product may be judged."""
    shares = [
        product.count_met(query.wishes) / len(query.wishes) if product.for_training == (query.split == "train") else -1
        for query in queries
    ]
    return shares.index(max(shares))


def _rate_pool(wishes: Mapping[str, str], pool: list[Product], rng: np.random.Generator) -> list[float]:
    """Draw the mean rating of each product that is judged for a query, and again until one product is relevant."""
    while True:
        grades = [_draw_mean_rating(_draw_relevance(wishes, product, rng), rng) for product in pool]
        if max(grades) >= RELEVANT_FROM:
            return grades


def _draw_relevance(wishes: Mapping[str, str], product: Product, rng: np.random.Generator) -> float:
    """Draw a product's relevance, about 0 to 1, before it is rated: each missed wish lowers it, and taste varies it."""
    relevance = _ALL_MET
    for axis, value in wishes.items():
        if product.traits.get(axis) != value:
            relevance *= _MISSED.get(axis, _MISSED_OTHER)
    return relevance + 0.04 * draw_normal(rng)


def _draw_mean_rating(relevance: float, rng: np.random.Generator) -> float:
    """Draw the mean grade of three raters, each with a constant bias and random noise."""
    ratings = []
    for leaning in _RATERS:
        felt = relevance + leaning + _NOISE * draw_normal(rng)
        ratings.append(1 + sum(felt >= bar for bar in _BARS))
    return round(sum(ratings) / len(ratings), 2)
