"""The sample's products: what each is, and the name and description that a catalogue would print for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.sample_store import AXES, pick, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from nestvec.data.sample_store import Category, Series, Store

PER_CATEGORY = 63

# A description's length in word pieces, as `_count_pieces` estimates it. Most are short, a few run long: the product of
# three uniform numbers is mostly small. Short on purpose: the whole demo has minutes on two cores.
_SHORTEST, _LONGEST = 65, 105
_OVERSHOOT = 4  # pieces by which the last sentence may pass the length that was drawn

_OPENERS = (
    "The {brand} {series} {item} {fact}.",
    "Built around {promise}, this {item} {fact}.",
    "Meet the {item} from the {series} line by {brand}.",
    "This {brand} {item} from the {series} range {fact}.",
    "A {item} made for {use}, the {series} {fact}.",
    "{brand} designed this {series} {item} for {use}.",
    "Count on the {series} {item} when the job has to be right the first time.",
)
_PROMISES = (
    "Like the whole {series} line, it comes with {promise}.",
    "{series} means {promise}.",
    "You also get {promise}, a {brand} standard.",
    "- {Promise}",
)
_AXES: Mapping[str, tuple[str, ...]] = {
    "kind": ("- Type: {kind}", "The {kind} version suits {use}.", "A {kind} model.", "- {Kind} type"),
    "material": ("- {Material} construction", "Made of {material}.", "The body is {material}.", "- Made of {material}"),
    "size": ("- {size} {part}", "The {part} is {size}.", "Its {part} is {size}.", "- {Part}: {size}"),
    "colour": ("- Color: {colour}", "Finished in {colour}.", "Comes in {colour}.", "- {Colour} finish"),
    "power": ("- {power} rating", "Rated {power}.", "A {power} model.", "- Power: {power}"),
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
    "Works with {other_series} {others}.",
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
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU]|8|11|18)(?!one|uni|use)")
_UNITS = ("in.", "ft.", "oz.", "qt.", "gal.")


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
        seen: set[tuple[str, ...]] = set()
        while len(seen) < PER_CATEGORY:
            series = lines[len(seen) % len(lines)]
            values = _draw_values(category, rng)
            identity = (series.name, *values.values())
            if identity in seen:
                continue
            seen.add(identity)
            products.append(
                Product(
                    document_id=f"P{len(products) + 1:05d}",
                    category=category,
                    series=series,
                    values=values,
                    name=_write_name(category, series, values, rng),
                    description=_write_description(store, category, series, values, rng),
                )
            )
    return products


def _draw_values(category: Category, rng: np.random.Generator) -> dict[str, str]:
    """One wording per axis that applies; a product that could come in packs comes singly one time in three."""
    values = {axis: pick(rng, category.values[axis]) for axis in AXES if category.values[axis]}
    if "pack" in values and rng.random() < 1 / 3:
        del values["pack"]
    return values


def _write_name(category: Category, series: Series, values: Mapping[str, str], rng: np.random.Generator) -> str:
    """The title: brand, line, noun, and most of the attributes; those left out stand in the description only."""
    shown = {axis: value if rng.random() < 0.75 else "" for axis, value in values.items()}
    front = (series.brand, series.name, shown.get("power", ""), shown["kind"], category.name)
    title = " ".join(_capitalise_words(part) for part in front if part)
    size = f"{shown['size']} {category.part}" if shown["size"] else ""
    tail = [part for part in (size, shown["material"], shown["colour"]) if part]
    title = ", ".join([title, *(_capitalise_words(part) for part in tail)])
    return f"{title} ({shown['pack']})" if shown.get("pack") else title


def _write_description(
    store: Store, category: Category, series: Series, values: Mapping[str, str], rng: np.random.Generator
) -> str:
    """The text: an opening, every attribute, and sentences that lengthen it to a length drawn at random."""
    eagerness = float(rng.random()) * float(rng.random()) * float(rng.random())
    wanted = _SHORTEST + (_LONGEST - _SHORTEST) * eagerness
    facts = shuffled(rng, category.facts)
    opening = _fill_template(pick(rng, _OPENERS), store, category, series, {**values, "fact": facts.pop()}, rng)
    attributes = shuffled(rng, [pick(rng, _AXES[axis]) for axis in values])
    body = [_fill_template(template, store, category, series, values, rng) for template in attributes]
    length = sum(_count_pieces(sentence, store) for sentence in (opening, *body))
    for template in _draw_fillers(category, len(facts), rng):
        fact = facts.pop() if template in _FACTS else ""
        sentence = _fill_template(template, store, category, series, {**values, "fact": fact}, rng)
        longer = length + _count_pieces(sentence, store)
        if length < wanted and longer <= wanted + _OVERSHOOT:
            body.insert(int(rng.random() * (len(body) + 1)), sentence)
            length = longer
    prose = [sentence for sentence in body if not sentence.startswith("-")]
    bullets = [sentence for sentence in body if sentence.startswith("-")]
    return " ".join([opening, *prose, *bullets])


def _draw_fillers(category: Category, facts: int, rng: np.random.Generator) -> list[str]:
    """Templates that lengthen a text: the line's promise first, then others as often as they read naturally."""
    general = [*shuffled(rng, _GENERAL)[:5], *shuffled(rng, category.boilerplate)[:2]]
    others = shuffled(rng, [*shuffled(rng, _FACTS)[:facts], *shuffled(rng, _OTHERS)[:2], *general])
    return [pick(rng, _PROMISES), *others]


def _fill_template(
    template: str, store: Store, category: Category, series: Series, values: Mapping[str, str], rng: np.random.Generator
) -> str:
    """The template with its blanks filled in; `{other}` and `{second}` are categories that the product is not."""
    others = [entry for entry in store.categories if entry is not category]
    other, second = pick(rng, others), pick(rng, others)
    stranger = pick(rng, [line for line in store.series if other.name in line.categories])
    words = {
        **values,
        "brand": series.brand,
        "series": series.name,
        "promise": series.promise,
        "item": _singular_noun(category, values["kind"]),
        "part": category.part,
        "use": pick(rng, category.uses),
        "other": _singular_noun(other),
        "others": _plural_noun(other),
        "second": _singular_noun(second),
        "other_series": stranger.name,
        "other_brand": stranger.brand,
    }
    capital = {key[0].upper() + key[1:]: value[:1].upper() + value[1:] for key, value in words.items()}
    text = _ARTICLE.sub(r"\1n ", template.format(**words, **capital))
    return text.removesuffix(".") if text.endswith("..") else text  # "The blade is 4 in.."


def _singular_noun(category: Category, kind: str = "") -> str:
    """A single one of the category, without its article: "compact drill", "pair of locking pliers"."""
    noun = f"{kind} {category.name}".strip()
    return f"pair of {noun}" if category.name.endswith("s") else noun


def _plural_noun(category: Category) -> str:
    """Several of the category: "drills", "paint brushes", "pliers"."""
    noun = category.name
    if noun.endswith("s"):
        return noun
    return noun + ("es" if noun.endswith(("sh", "ch", "x")) else "s")


def _capitalise_words(text: str) -> str:
    """Each word with a capital, as titles have it; units stay as they are."""
    return " ".join(word if word in _UNITS else word[:1].upper() + word[1:] for word in text.split(" "))


def _count_pieces(text: str, store: Store) -> float:
    """About how many word pieces a MiniLM tokenizer makes of the text: three for a name, often two for a long word."""
    return sum(
        3.0 if token in store.printed_names else 1.0 if len(token) < 9 else 1.5
        for token in re.findall(r"\w+|[^\w\s]", text)
    )
