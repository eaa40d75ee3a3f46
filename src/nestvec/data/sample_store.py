"""The invented hardware store behind the sample: departments, categories, lines and how people spell things.

The words stand in `hardware.toml`; this module reads them into frozen objects and holds the ways of drawing at random
that every `sample_*` module uses. They take nothing from the generator but `random()`, whose stream numpy keeps stable,
and compute with it only what every machine rounds alike: sums, products and comparisons, no logarithm and no root.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from math import fsum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

T = TypeVar("T")

AXES = ("kind", "material", "size", "colour", "power", "pack")


@dataclass(frozen=True)
class Series:
    """A line of products.

    Attributes:
        name: as the catalogue prints it.
        brand: who makes it; most brands make four or more lines.
        old_name: what the line was called once; still typed, no longer printed.
        promise: what every product of the line has, "a sealed brushless motor".
        categories: names of the categories that the line has products in.
    """

    name: str
    brand: str
    old_name: str
    promise: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Category:
    """A kind of product.

    Attributes:
        name: as the catalogue prints it, in the singular.
        group: its department.
        asked: how people name it.
        slang: this store's own words for it, which stand in no catalogue text.
        part: what the size measures, "blade".
        values: per axis of `AXES`, the catalogue's wordings; empty where the axis does not apply.
        facts: what it does, each a verb phrase in the third person.
        boilerplate: sentences that any product of the department may carry.
        uses: whom the department sells to.
    """

    name: str
    group: str
    asked: tuple[str, ...]
    slang: tuple[str, ...]
    part: str
    values: Mapping[str, tuple[str, ...]]
    facts: tuple[str, ...]
    boilerplate: tuple[str, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """Everything the store sells and everything its customers type.

    Attributes:
        categories: in the file's order.
        series: in the file's order.
        spellings: (axis, catalogue wording) to what people type for it; kinds are keyed by (category name, wording).
    """

    categories: tuple[Category, ...]
    series: tuple[Series, ...]
    spellings: Mapping[tuple[str, str], tuple[str, ...]]

    @cached_property
    def printed_names(self) -> frozenset[str]:
        """Every invented name that the catalogue prints."""
        return frozenset(name for line in self.series for name in (line.name, line.brand))


@cache
def read_store() -> Store:
    """The store of `hardware.toml`."""
    words = tomllib.loads(resources.files("nestvec.data").joinpath("hardware.toml").read_text(encoding="utf-8"))
    groups = {group["name"]: group for group in words["group"]}
    spellings = {
        (axis, printed): tuple(typed) for axis, table in words["spellings"].items() for printed, typed in table.items()
    }
    for entry in words["category"]:
        spellings.update({(entry["name"], kind[0]): tuple(kind[1:]) for kind in entry["kinds"]})
    return Store(
        categories=tuple(_make_category(entry, groups[entry["group"]]) for entry in words["category"]),
        series=tuple(series for group in words["group"] for series in _make_series(group, words["category"])),
        spellings=spellings,
    )


def _make_category(entry: dict[str, Any], group: dict[str, Any]) -> Category:
    """One category with what its department adds."""
    values = {axis: tuple(entry[axis + "s"]) for axis in AXES if axis != "kind"}
    return Category(
        name=entry["name"],
        group=entry["group"],
        asked=tuple(entry["asked"]),
        slang=tuple(entry["slang"]),
        part=entry["part"],
        values={"kind": tuple(kind[0] for kind in entry["kinds"]), **values},
        facts=tuple(entry["facts"]),
        boilerplate=tuple(group["boilerplate"]),
        uses=tuple(group["use"]),
    )


def _make_series(group: dict[str, Any], categories: list[dict[str, Any]]) -> list[Series]:
    """The lines of a department; each has products in all of its categories."""
    names = tuple(entry["name"] for entry in categories if entry["group"] == group["name"])
    return [Series(name, brand, old_name, promise, names) for name, brand, old_name, promise in group["series"]]


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, all equally likely."""
    return items[int(rng.random() * len(items))]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in random order."""
    keys = rng.random(len(items)).tolist()
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]


def draw_normal(rng: np.random.Generator) -> float:
    """A nearly standard normal number: twelve uniform ones, less their mean, have variance 1."""
    return fsum(rng.random(12).tolist()) - 6.0
