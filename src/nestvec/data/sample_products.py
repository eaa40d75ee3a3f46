"""Generates the sample's products: their attributes, names and descriptions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.sample_store import AXES, pick, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from nestvec.data.sample_store import Category, Store

PER_CATEGORY = 63

# A description's length in word pieces, as `_count_pieces` estimates it. Most are short, a few run long: the product of
# three uniform numbers is mostly small. Short on purpose: the whole demo has minutes on two cores.
_SHORTEST, _LONGEST = 65, 105
_OVERSHOOT = 4  # pieces by which the last sentence may pass the length that was drawn

_SHOWN = 0.9  # chance of an attribute to stand in the name; the kind always does
_SINGLE = 1 / 3  # chance of a product that could come in packs to come singly

_OPENERS = (
    "This {item} from {brand} {does}.",
    "Made for {use}, this {item} {does}.",
    "This {brand} {item} {does}.",
    "A {item} for {use}: it {does}.",
    "{brand} designed this {item} for {use}. It {does}.",
    "With {feature}, this {item} {does}.",
)
_FEATURES = (
    "It comes with {feature}.",
    "Like everything from {brand}, it has {feature}.",
    "You also get {feature}.",
    "- {Feature}",
)
_AXES: Mapping[str, tuple[str, ...]] = {
    "kind": ("- Type: {kind}", "The {kind} version suits {use}.", "- {Kind} type"),
    "material": (
        "- {Material} {body}",
        "The {body} is {material}.",
        "- {Body}: {material}",
        "Its {body} is {material}.",
    ),
    "size": ("- {size} {part}", "The {part} is {size}.", "Its {part} is {size}.", "- {Part}: {size}"),
    "colour": ("- Color: {colour}", "Finished in {colour}.", "Comes in {colour}.", "- {Colour} finish"),
    "power": ("- {power} model", "The rating is {power}.", "A {power} model.", "- Power: {power}"),
    "pack": ("- Sold as a {pack}", "Sold in a {pack}.", "One {pack} per box.", "- Quantity: {pack}"),
}
_FACTS = (
    "It {fact}.",
    "The design {fact}, even after years of use.",
    "Customers like that it {fact}.",
    "In daily use it {fact}.",
    "- {Fact}",
)
_OTHERS = (  # what stands in a text and is not what the product is
    "Pairs well with the {other_brand} {other}.",
    "Not a replacement for a {other}.",
    "Often bought together with a {other} and a {second}.",
    "See also our selection of {others}.",
    "Store it next to your {other}.",
    "Use it after the {other} has done its part.",
)
_GENERAL = (
    "Ideal for {use}.",
    "Trusted for {use} by professionals and do-it-yourselfers alike.",
    "Price shown is per item unless stated otherwise.",
    "Free returns within 90 days at any store.",
    "Packaging may differ from the picture.",
    "Instructions are printed inside the box.",
    "See the manual for complete details.",
    "A smart choice for new construction and repairs.",
    "Ships in plain packaging.",
    "Tested in the field by people who do this for a living.",
    "Online orders placed before noon leave the same day.",
    "Bulk pricing is available at the contractor desk.",
)
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU]|LED|8|11|18)(?!one|uni|use|USB)")
_UNITS = ("in.", "ft.", "oz.", "qt.", "gal.")


@dataclass(frozen=True)
class Product:
    """One product of the sample.

    Attributes:
        document_id: "P00001", unique.
        category: the category to which the product belongs.
        traits: `category`, `brand` and the axes of `AXES` that apply, each mapped to the catalogue's wording.
        for_training: whether the product is judged for training queries only, or else for held-out queries only.
        name: the catalogue's title.
        description: the catalogue's text.
    """

    document_id: str
    category: Category
    traits: Mapping[str, str]
    for_training: bool
    name: str
    description: str

    def count_met(self, wishes: Mapping[str, str]) -> int:
        """Count how many of a shopper's wishes, given by the keys of `traits`, the product meets."""
        return sum(self.traits.get(axis) == value for axis, value in wishes.items())


def make_products(store: Store, rng: np.random.Generator) -> list[Product]:
    """Draw the catalogue: `PER_CATEGORY` products per category, no two of a brand with the same attributes."""
    products: list[Product] = []
    for number, category in enumerate(store.categories):
        seen: set[tuple[str, ...]] = set()
        while len(seen) < PER_CATEGORY:
            brand = category.brands[len(seen) % len(category.brands)]
            traits = {"category": category.name, "brand": brand, **_draw_values(category, rng)}
            if tuple(traits.values()) in seen:
                continue
            seen.add(tuple(traits.values()))
            products.append(
                Product(
                    document_id=f"P{len(products) + 1:05d}",
                    category=category,
                    traits=traits,
                    for_training=_is_for_training(category, traits, number),
                    name=_write_name(category, traits, rng),
                    description=_write_description(store, category, traits, rng),
                )
            )
    return products


def _draw_values(category: Category, rng: np.random.Generator) -> dict[str, str]:
    """Draw the product's attributes: one value for each axis that applies, such as size; the pack may be missing."""
    values = {axis: pick(rng, category.values[axis]) for axis in AXES if category.values[axis]}
    if "pack" in values and rng.random() < _SINGLE:
        del values["pack"]
    return values


def _is_for_training(category: Category, traits: Mapping[str, str], number: int) -> bool:
    """Whether the product is judged for training queries only: this is so for one size of every kind.

    Which size it is changes from kind to kind and from category to category (power or colour, where there are no
    sizes). So training sees every kind and nearly every size, and held-out queries ask for new combinations.
    """
    axis = next(axis for axis in ("size", "power", "colour") if category.values[axis])
    kind, size = (category.values[axis].index(traits[axis]) for axis in ("kind", axis))
    return size == (kind + number) % len(category.values[axis])


def _write_name(category: Category, traits: Mapping[str, str], rng: np.random.Generator) -> str:
    """Write a product's title: brand, kind, category and most attributes; the description has all attributes."""
    shown = {axis: traits[axis] if rng.random() < _SHOWN else "" for axis in AXES if axis in traits}
    front = (traits["brand"], shown.get("power", ""), traits["kind"], category.name)
    title = " ".join(_capitalise_words(part) for part in front if part)
    size = f"{shown['size']} {category.part}" if shown.get("size") else ""
    tail = [part for part in (size, shown.get("material", ""), shown.get("colour", "")) if part]
    title = ", ".join([title, *(_capitalise_words(part) for part in tail)])
    return f"{title} ({shown['pack']})" if shown.get("pack") else title


def _write_description(store: Store, category: Category, traits: Mapping[str, str], rng: np.random.Generator) -> str:
    """Write a product's description: an opening, every attribute, and further sentences up to a random length."""
    eagerness = float(rng.random()) * float(rng.random()) * float(rng.random())
    wanted = _SHORTEST + (_LONGEST - _SHORTEST) * eagerness
    facts = shuffled(rng, category.facts)
    opening = _fill_template(pick(rng, _OPENERS), store, category, traits, rng)
    attributes = shuffled(rng, [pick(rng, _AXES[axis]) for axis in AXES if axis in traits])
    body = [_fill_template(template, store, category, traits, rng) for template in attributes]
    length = sum(_count_pieces(sentence, category) for sentence in (opening, *body))
    for template in _draw_fillers(category, opening, rng):
        if length >= wanted:
            break
        fact = facts.pop() if template in _FACTS else ""
        sentence = _fill_template(template, store, category, {**traits, "fact": fact}, rng)
        longer = length + _count_pieces(sentence, category)
        if longer <= wanted + _OVERSHOOT:
            body.insert(int(rng.random() * (len(body) + 1)), sentence)
            length = longer
    prose = [sentence for sentence in body if not sentence.startswith("-")]
    bullets = [sentence for sentence in body if sentence.startswith("-")]
    return " ".join([opening, *prose, *bullets])


def _draw_fillers(category: Category, opening: str, rng: np.random.Generator) -> list[str]:
    """Yield sentence templates that lengthen a description: a fact and a feature first, then others."""
    general = [*shuffled(rng, _GENERAL)[:5], *shuffled(rng, category.boilerplate)[:2]]
    fact, *facts = shuffled(rng, _FACTS)[: len(category.facts)]
    others = shuffled(rng, [*facts, *shuffled(rng, _OTHERS)[:2], *general])
    features = [] if opening.startswith("With ") else [pick(rng, _FEATURES)]
    return [fact, *features, *others]


def _fill_template(
    template: str, store: Store, category: Category, traits: Mapping[str, str], rng: np.random.Generator
) -> str:
    """Fill the blanks of a sentence template; `{other}` and `{second}` become names of other categories."""
    others = [entry for entry in store.categories if entry is not category]
    other, second = pick(rng, others), pick(rng, others)
    words = {
        **traits,
        "item": _singular_noun(category, traits["kind"]),
        "does": category.kinds[traits["kind"]].does,
        "feature": pick(rng, category.features),
        "part": category.part,
        "body": category.body,
        "use": pick(rng, category.uses),
        "other": _singular_noun(other),
        "others": _plural_noun(other),
        "second": _singular_noun(second),
        "other_brand": pick(rng, other.brands),
    }
    capital = {key[0].upper() + key[1:]: value[:1].upper() + value[1:] for key, value in words.items()}
    text = _ARTICLE.sub(r"\1n ", template.format(**words, **capital))
    return text.removesuffix(".") if text.endswith("..") else text  # "The blade is 4 in.."


def _singular_noun(category: Category, kind: str = "") -> str:
    """Name a single product of the category, without an article: "compact drill", "pair of locking pliers"."""
    noun = f"{kind} {category.name}".strip()
    return f"pair of {noun}" if category.name.endswith("s") else noun


def _plural_noun(category: Category) -> str:
    """Write the plural of a category's name: "drills", "paint brushes", "pliers"."""
    noun = category.name
    if noun.endswith("s"):
        return noun
    return noun + ("es" if noun.endswith(("sh", "ch", "x")) else "s")


def _capitalise_words(text: str) -> str:
    """Capitalise each word, as in a title; units stay as they are."""
    return " ".join(word if word in _UNITS else word[:1].upper() + word[1:] for word in text.split(" "))


def _count_pieces(text: str, category: Category) -> float:
    """Estimate how many tokens MiniLM makes of a text: three for a brand, often two for a long word."""
    return sum(
        3.0 if token in category.brands else 1.0 if len(token) < 9 else 1.5
        for token in re.findall(r"\w+|[^\w\s]", text)
    )
