"""The sample's products: what each is, and the name and description that a catalogue would print for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

from nestvec.data.sample_store import AXES, normal, pick, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from nestvec.data.sample_store import Category, Series, Store

PER_CATEGORY = 65

# A description's length in word pieces, as `_pieces` estimates it: log-normal, so that a few run long.
_MEDIAN_PIECES = 74
_SPREAD = 0.26
_SHORTEST, _LONGEST = 66, 138

_OPENERS = (
    "The {brand} {series} {kind} {noun} {fact}.",
    "Built around {promise}, this {kind} {noun} {fact}.",
    "Meet the {kind} {noun} from the {series} line by {brand}.",
    "This {brand} {noun} from the {series} range {fact}.",
    "A {kind} {noun} made for {use}, the {series} {fact}.",
    "{brand} designed this {series} {noun} for {use}.",
    "Count on the {series} {kind} {noun} when the job has to be right the first time.",
)
_FACTS = (
    "It {fact}.",
    "The design {fact}, even after years of use.",
    "Customers like that it {fact}.",
    "In daily use it {fact}.",
    "- {Fact}",
    "- Easily {fact}",
)
_PROMISES = (
    "Like the whole {series} line, it comes with {promise}.",
    "{series} means {promise}.",
    "- {Promise}",
    "You also get {promise}, a {brand} standard.",
)
_AXES: Mapping[str, tuple[str, ...]] = {
    "kind": ("- Type: {kind}", "The {kind} layout suits {use}.", "A {kind} pattern."),
    "material": ("- {Material} construction", "Made of {material}.", "The body is {material}.", "- Material: {material}"),
    "size": ("- {size} {part}", "The {part} is {size}.", "Measures {size} at the {part}.", "- {Part}: {size}"),
    "colour": ("- Color: {colour}", "Finished in {colour}.", "Comes in {colour}.", "- {Colour} finish"),
    "power": ("- {power} rating", "Rated {power}.", "Runs as a {power} unit.", "- Power: {power}"),
    "pack": ("- Sold as a {pack}", "Sold in a {pack}.", "One {pack} per carton.", "- Quantity: {pack}"),
}
_DISTRACTORS = (
    "Works with {other_series} {other}s.",
    "Pairs well with the {other_brand} {other}.",
    "Not a replacement for a {other}.",
    "Often bought together with a {other} and a {second}.",
    "See also our {other} selection.",
    "Store it next to your {other}.",
    "Use it after the {other} has done its part.",
)
_GENERAL = (
    "Ideal for {use}.",
    "Trusted by {use} and do-it-yourselfers alike.",
    "Price shown is per item unless stated otherwise.",
    "Free returns within 90 days at any store.",
    "Packaging may differ from the picture.",
    "Instructions are printed inside the box.",
    "See the manual for complete details.",
    "A smart choice for new construction and repairs.",
    "Ships in recyclable packaging.",
    "Tested in the field by people who do this for a living.",
    "Online orders placed before noon leave the same day.",
    "Bulk pricing is available at the contractor desk.",
)


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        document_id: "P00001", unique.
        category: what it is.
        series: the line it belongs to, and so its brand.
        values: axis of `AXES` to the catalogue's wording, for the axes that apply.
        name: the catalogue's title.
        description: the catalogue's text.
    """

    document_id: str
    category: Category
    series: Series
    values: Mapping[str, str]
    name: str
    description: str


def make_products(store: Store, rng: np.random.Generator) -> list[Product]:
    """The whole catalogue, `PER_CATEGORY` products per category, no two with the same attributes in a line."""
    products: list[Product] = []
    for category in store.categories:
        lines = [series for series in store.series if category.name in series.categories]
        seen: list[tuple[str, ...]] = []
        while len(seen) < PER_CATEGORY:
            series = lines[len(seen) % len(lines)]
            values = _values(category, rng)
            identity = (series.name, *values.values())
            if identity in seen:
                continue
            seen.append(identity)
            products.append(
                Product(
                    document_id=f"P{len(products) + 1:05d}",
                    category=category,
                    series=series,
                    values=values,
                    name=_name(category, series, values, rng),
                    description=_description(store, (category, series), values, rng),
                )
            )
    return products


def _values(category: Category, rng: np.random.Generator) -> dict[str, str]:
    """One wording per axis that applies; a product that could come in packs comes singly one time in three."""
    values = {axis: pick(rng, category.values[axis]) for axis in AXES if category.values[axis]}
    if "pack" in values and rng.random() < 1 / 3:
        del values["pack"]
    return values


def _name(category: Category, series: Series, values: Mapping[str, str], rng: np.random.Generator) -> str:
    """The title: brand, line, noun, and most of the attributes; those left out stand in the description only."""
    shown = {axis: value if rng.random() < 0.75 else "" for axis, value in values.items()}
    front = (series.brand, series.name, shown.get("power", ""), shown["kind"], category.name)
    title = " ".join(_capitalised(part) for part in front if part)
    size = f"{shown['size']} {category.part}" if shown["size"] else ""
    tail = [part for part in (size, shown["material"], shown["colour"]) if part]
    title = ", ".join([title, *(_capitalised(part) for part in tail)])
    return f"{title} ({shown['pack']})" if shown.get("pack") else title


def _description(
    store: Store, family: tuple[Category, Series], values: Mapping[str, str], rng: np.random.Generator
) -> str:
    """The text: an opening, every attribute, the line's promise, and filler up to a length drawn at random."""
    category, series = family
    wanted = min(max(_MEDIAN_PIECES * exp(_SPREAD * normal(rng)), _SHORTEST), _LONGEST)
    facts = shuffled(rng, category.facts)
    opening = _filled(pick(rng, _OPENERS), store, family, {**values, "fact": facts.pop()}, rng)
    middle = [pick(rng, _AXES[axis]) for axis in values]
    middle.append(pick(rng, _PROMISES))
    body = [_filled(template, store, family, values, rng) for template in shuffled(rng, middle)]
    length = _pieces(opening) + sum(map(_pieces, body))
    for template in _fillers(category, len(facts), rng):
        fact = facts.pop() if template in _FACTS else ""
        sentence = _filled(template, store, family, {**values, "fact": fact}, rng)
        if length + _pieces(sentence) > wanted + 4:
            continue
        place = int(rng.random() * (len(body) + 1))
        body.insert(place, sentence)
        length += _pieces(sentence)
    del series
    return _joined([opening, *body])


def _fillers(category: Category, facts: int, rng: np.random.Generator) -> list[str]:
    """Templates to lengthen a text with, each kind at most as often as it reads naturally."""
    general = [*shuffled(rng, _GENERAL)[:5], *shuffled(rng, category.boilerplate)[:2]]
    return shuffled(rng, [*shuffled(rng, _FACTS)[:facts], *shuffled(rng, _DISTRACTORS)[:2], *general])


def _filled(
    template: str, store: Store, family: tuple[Category, Series], values: Mapping[str, str], rng: np.random.Generator
) -> str:
    """The template with its blanks filled in; `{other}` and `{second}` are categories that the product is not."""
    category, series = family
    others = [entry for entry in store.categories if entry is not category]
    stranger = pick(rng, store.series)
    words = {
        **values,
        "brand": series.brand,
        "series": series.name,
        "promise": series.promise,
        "noun": category.name,
        "part": category.part,
        "use": pick(rng, category.uses),
        "other": pick(rng, others).name,
        "second": pick(rng, others).name,
        "other_series": stranger.name,
        "other_brand": stranger.brand,
    }
    capital = {key[0].upper() + key[1:]: value[:1].upper() + value[1:] for key, value in words.items()}
    return template.format(**words, **capital)


def _joined(sentences: list[str]) -> str:
    """One paragraph; a bullet that is followed by running text ends with a full stop."""
    text = " ".join(sentence if sentence.endswith(".") or sentence.startswith("-") else sentence + "." for sentence in sentences)
    return text


def _capitalised(text: str) -> str:
    """Each word with a capital, as titles have it; hyphens and digits stay."""
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _pieces(text: str) -> float:
    """About how many word pieces a MiniLM tokenizer makes of the text: marks count one, long words more than one."""
    return sum(1.0 if len(token) < 9 else 1.5 for token in re.findall(r"\w+|[^\w\s]", text))
