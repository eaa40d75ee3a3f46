"""The invented hardware store behind the sample: departments, brands, categories and how people spell things.

The words stand in `hardware.toml`; this module reads them into frozen objects, and has the functions for random draws
that every `sample_*` module uses. These functions call only `random()` of the generator, whose stream numpy keeps
stable, and compute only what every machine rounds alike: sums, products and comparisons, no logarithm and no root.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import fsum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

T = TypeVar("T")

AXES = ("kind", "material", "size", "colour", "power", "pack")


@dataclass(frozen=True)
class Kind:
    """A kind of product inside a category, such as self-closing hinges.

    Attributes:
        name: as the catalogue prints it, "self-closing".
        typed: what people type for it.
        does: what sets it apart, a verb phrase in the third person; every description says it.
        needs: what people type who know their problem and not the product: "door wont close by itself".
    """

    name: str
    typed: tuple[str, ...]
    does: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Category:
    """A category of products, such as hinges or drills.

    Attributes:
        name: as the catalogue prints it, in the singular.
        group: its department.
        brands: the brands that make it.
        asked: the names under which people search for it.
        kinds: the kinds of its products, by name.
        part: the part that a size measures, such as "blade".
        body: the part that is made of the material, such as "handle".
        values: for each axis of `AXES` the catalogue's wordings; empty if products have no such attribute.
        facts: what it does, each a verb phrase in the third person.
        features: what any product of the department may come with.
        boilerplate: sentences that any product of the department may carry.
        uses: whom the department sells to.
    """

    name: str
    group: str
    brands: tuple[str, ...]
    asked: tuple[str, ...]
    kinds: Mapping[str, Kind]
    part: str
    body: str
    values: Mapping[str, tuple[str, ...]]
    facts: tuple[str, ...]
    features: tuple[str, ...]
    boilerplate: tuple[str, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """The vocabulary of the invented store: what it sells, and what its customers type.

    Attributes:
        categories: the categories of products, in the file's order.
        spellings: (axis, catalogue wording), mapped to what people type for it; for kinds, see `Kind.typed`.
    """

    categories: tuple[Category, ...]
    spellings: Mapping[tuple[str, str], tuple[str, ...]]


@cache
def read_store() -> Store:
    """Read the store from `hardware.toml`; the result is cached."""
    words = tomllib.loads(resources.files("nestvec.data").joinpath("hardware.toml").read_text(encoding="utf-8"))
    groups = {group["name"]: group for group in words["group"]}
    spellings = {
        (axis, printed): tuple(typed) for axis, table in words["spellings"].items() for printed, typed in table.items()
    }
    categories = tuple(_make_category(entry, groups[entry["group"]], words["brands"]) for entry in words["category"])
    return Store(categories, spellings)


def _make_category(entry: dict[str, Any], group: dict[str, Any], brands: dict[str, list[str]]) -> Category:
    """Make a category from its entry in the file and the entry of its department."""
    kinds = {
        kind["name"]: Kind(kind["name"], tuple(kind["typed"]), kind["does"], tuple(kind["needs"]))
        for kind in entry["kinds"]
    }
    values = {axis: tuple(entry.get(axis + "s", ())) for axis in AXES if axis != "kind"}
    return Category(
        name=entry["name"],
        group=entry["group"],
        brands=tuple(brand for brand, departments in brands.items() if entry["group"] in departments),
        asked=tuple(entry["asked"]),
        kinds=kinds,
        part=entry.get("part", ""),
        body=entry.get("body", ""),
        values={"kind": tuple(kinds), **values},
        facts=tuple(entry["facts"]),
        features=tuple(group["features"]),
        boilerplate=tuple(group["boilerplate"]),
        uses=tuple(group["use"]),
    )


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one of the items, all equally likely."""
    return items[int(rng.random() * len(items))]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """Return the items in random order."""
    keys = rng.random(len(items)).tolist()
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]


def draw_normal(rng: np.random.Generator) -> float:
    """Draw a nearly standard normal number: the sum of twelve uniform ones minus 6 has mean 0 and variance 1."""
    return fsum(rng.random(12).tolist()) - 6.0
