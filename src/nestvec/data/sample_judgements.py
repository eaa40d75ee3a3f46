"""The sample's judgements: which products are shown to the raters for a query, and what three raters say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.sample_store import draw_normal, pick, shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.sample_products import Product
    from nestvec.data.sample_queries import Query, Shelf

RELEVANT_FROM = 2.5  # a mean grade; the catalogue's dip lies here

_BESTSELLERS = 0.08  # share of the products that turn up in the results of many queries
_FEWEST_MISSES, _MOST_MISSES = 6, 8
_STRANGERS = 0.5  # share of queries with one product drawn from the whole catalogue

# Latent relevance lies in 0..1; a rater says 2 from the first bar on and 3 from the second.
_BARS = (0.30, 0.72)
_RATERS = (-0.03, 0.0, 0.03)  # strict, middling and mild
_NOISE = 0.11
_MISSED = {"category": 0.42, "series": 0.52, "axis": 0.58}  # factor on the relevance for a wish that is not met


@dataclass(frozen=True)
class Judgement:
    """One judged record.

    Attributes:
        query: row of the queries.
        product: row of the products.
        relevance: mean of three ratings of 1, 2 or 3, to two decimals.
    """

    query: int
    product: int
    relevance: float


def make_judgements(
    products: list[Product], queries: list[Query], shelf: Shelf, rng: np.random.Generator
) -> list[Judgement]:
    """Pool and rate the products of every query; every product is judged at least once."""
    bestseller = rng.random(len(products)) < _BESTSELLERS
    pools = [np.flatnonzero(shelf.count_met(query.wishes) == len(query.wishes)).tolist() for query in queries]
    unseen = np.ones(len(products), dtype=bool)
    for pool in pools:
        unseen[pool] = False
    for query, pool in zip(queries, pools, strict=True):
        pool.extend(_pick_misses(query, shelf, bestseller, unseen, rng))
        unseen[pool] = False
    for row in np.flatnonzero(unseen):
        pools[_closest_query(int(row), queries, shelf)].append(int(row))
    judgements = []
    for index, (query, pool) in enumerate(zip(queries, pools, strict=True)):
        grades = _rate_pool(query, products, pool, shelf, rng)
        judgements += [Judgement(index, row, grade) for row, grade in zip(pool, grades, strict=True)]
    return shuffled(rng, judgements)


def _pick_misses(
    query: Query, shelf: Shelf, bestseller: NDArray[np.bool_], unseen: NDArray[np.bool_], rng: np.random.Generator
) -> list[int]:
    """Products that meet all wishes but one or two, and at times one product that meets none.

    Products that no query has shown come first, then bestsellers, then all others; within each, near misses before far
    ones.
    """
    count = shelf.count_met(query.wishes)
    missed = len(query.wishes) - count
    wanted = _FEWEST_MISSES + int(rng.random() * (_MOST_MISSES - _FEWEST_MISSES + 1))
    candidates = shuffled(rng, np.flatnonzero((count > 0) & (missed > 0) & (missed <= 2)).tolist())
    candidates.sort(key=lambda row: (not unseen[row], not bestseller[row], missed[row]))
    chosen = candidates[:wanted]
    if rng.random() < _STRANGERS:
        strangers = np.flatnonzero(bestseller & (count == 0)).tolist()
        chosen.append(pick(rng, strangers))
    return chosen


def _closest_query(row: int, queries: list[Query], shelf: Shelf) -> int:
    """The first query with the largest share of its wishes met by the product."""
    return int(np.argmax([shelf.count_met(query.wishes)[row] / len(query.wishes) for query in queries]))


def _rate_pool(
    query: Query, products: list[Product], pool: list[int], shelf: Shelf, rng: np.random.Generator
) -> list[float]:
    """The mean rating of each pooled product; a panel that finds nothing relevant looks again."""
    while True:
        grades = [_draw_mean_rating(_draw_relevance(query, row, shelf, rng), rng) for row in pool]
        if max(grades) >= RELEVANT_FROM:
            return grades


def _draw_relevance(query: Query, row: int, shelf: Shelf, rng: np.random.Generator) -> float:
    """Latent relevance in about 0..1: each wish that is not met lowers it; taste moves it at random."""
    relevance = 0.93
    for wish in query.wishes:
        if not shelf.meets(wish)[row]:
            relevance *= _MISSED.get(wish[0], _MISSED["axis"])
    return relevance + 0.04 * draw_normal(rng)


def _draw_mean_rating(relevance: float, rng: np.random.Generator) -> float:
    """The mean of three raters, each with a leaning and a slip of the hand."""
    ratings = []
    for leaning in _RATERS:
        felt = relevance + leaning + _NOISE * draw_normal(rng)
        ratings.append(1 + sum(felt >= bar for bar in _BARS))
    return round(sum(ratings) / len(ratings), 2)
