"""The recommendation in words: what to do, on what evidence, and what it saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.point import Point

_PRICED = 10_000_000  # vectors whose memory the sentence states; one of those in `price`


@dataclass(frozen=True)
class Barred:
    """Wishes that rule out all that holds up and passes the gate.

    Attributes:
        wishes: those that do so alone, or else all, by their names in the settings.
        without: what would be shipped without them.
        best: the best point that keeps to all wishes; None where none was measured.
        facts: its difference to the reference, and the lower bound of that.
        nearest: per wish, how near to it any point comes.
    """

    wishes: tuple[str, ...]
    without: Point
    best: Point | None
    facts: tuple[float, float] | None
    nearest: dict[str, float]


def reason(found: dict[str, Any], barred: Barred | None, target: Point | None) -> str:
    """The answer in words.

    Args:
        found: what `recommendation.json` holds, without its `reason`.
        barred: what the wishes rule out; None where they leave something, or nothing passes anyway.
        target: what more queries could bring; None where these are enough.

    Returns:
        A few sentences.
    """
    queries = f"{found['validation']['queries']:,} {found['chosen_on']} queries"
    if found["point"]:
        told = _shipped(found, queries)
    elif barred:
        told = _ruled_out(found, barred, queries)
    else:
        told = _refused(found, queries)
    return " ".join(told + _too_few(found, target, queries))


def _shipped(found: dict[str, Any], queries: str) -> list[str]:
    """What to ship, whether the test agrees, and what it saves."""
    point, reference = found["point"], found["reference"]
    small, whole = point["bytes_per_vector"], reference["bytes_per_vector"]
    ship = (
        f"Ship {point['system']} at {point['dimension']} dimensions in {point['precision']}, {small:,} bytes a vector"
    )
    wished = "".join(f", {_wish(name, found[name])}," for name in ("max_bytes", "min_recall") if found[name])
    lost = f"at most {found['margin']:g} of {found['metric']}"
    if point == reference:
        why = f"is itself the best at full width, and nothing smaller{wished} was shown to lose {lost}"
        first = f"{ship}: on the {queries} it {why} (95 % confidence)."
    else:
        step = next(step for step in found["steps"] if all(step[name] == point[name] for name in point))
        figures = f"{step['difference']:+.3f}, lower bound {step['lower_bound']:+.3f}, 95 % confidence"
        first = (
            f"{ship} instead of {whole:,}: on the {queries} it is the smallest vector{wished} that loses {lost} "
            f"against {_name(reference)} ({figures})."
        )
    return [first, *_tested(found), _price(found)]


def _tested(found: dict[str, Any]) -> list[str]:
    """What the test split says of what is shipped."""
    test = found["test"]
    value = f"{found['metric']} {test['value']:.3f} [{test['low']:.3f}, {test['high']:.3f}]"
    against = f", {test['difference']:+.3f} against the reference, lower bound {test['lower_bound']:+.3f}"
    if found["point"] == found["reference"]:
        against = ""
    if found["chosen_on"] == "test":
        sentences = [f"No other queries could confirm it, so take it as optimistic: {value} there{against}."]
    elif not against:  # nothing to confirm: it is compared with itself
        sentences = [f"On the {test['queries']:,} test queries: {value}."]
    else:
        doubt = "are too few to confirm it" if test["difference"] > -found["margin"] else "do not confirm it"
        verdict = "confirm it" if test["confirmed"] else doubt
        sentences = [f"The test queries {verdict}: {value} on {test['queries']:,} queries{against}."]
    if failed := _failed(found["test_gate"]):
        sentences.append(f"There its gain is not clear: it differs from {failed} (95 % interval).")
    return sentences


def _price(found: dict[str, Any]) -> str:
    """The memory that is saved, in decimal units."""
    price = next(entry for entry in found["price"] if entry["vectors"] == _PRICED)
    small, whole = (f"{price[name] / 1e9:,.3g} GB" for name in ("bytes", "full_bytes"))
    return "Ten million vectors take " + (f"{small} instead of {whole}." if small != whole else f"{small}.")


def _ruled_out(found: dict[str, Any], barred: Barred, queries: str) -> list[str]:
    """Why a wish leaves nothing to ship."""
    wished = " and ".join(_wish(name, found[name]) for name in barred.wishes)
    without = f"{barred.without.name}, {barred.without.bytes_per_vector:,} bytes a vector"
    sentences = [
        f"Do not ship: on the {queries} no vector {wished} was shown to lose at most {found['margin']:g} of "
        f"{found['metric']} and to beat both the pretrained model and BM25."
    ]
    if barred.best and barred.facts:
        difference, bound = barred.facts
        sentences.append(
            f"The best within the wishes, {barred.best.name}, differs from {_name(found['reference'])} by "
            f"{difference:+.3f}, lower bound {bound:+.3f} (95 % confidence)" + _nevertheless(found, barred) + "."
        )
    else:
        nearest = {"max_bytes": "the smallest takes {:,} bytes", "min_recall": "the highest recall@10 is {:.3f}"}
        sentences.append(
            "None was measured: "
            + " and ".join(nearest[name].format(barred.nearest[name]) for name in barred.nearest if found[name])
            + "."
        )
    return [*sentences, f"Without the wish it would be {without}."]


def _nevertheless(found: dict[str, Any], barred: Barred) -> str:
    """Why a point whose bound is high enough is not shipped all the same."""
    if barred.best is None or barred.facts is None or barred.facts[1] <= -found["margin"]:
        return ""
    held = {_name(step) for step in found["steps"] if step["passed"]}
    if barred.best.name in held:
        return ", but its gain over the pretrained model and BM25 is not clear"
    return ", but a larger one of its system failed before it"


def _refused(found: dict[str, Any], queries: str) -> list[str]:
    """Why nothing passes."""
    if not found["steps"]:
        return ["Do not ship: no model but the pretrained one was measured, and it cannot beat itself."]
    best = f"the best, {_name(found['reference'])}, differs from {_failed(found['gate'])} (95 % interval)"
    if found["reference"]["system"] == "pretrained":
        best = "the best at full width is the pretrained model itself"
    return [
        f"Do not ship: on the {queries} nothing that loses at most {found['margin']:g} clearly beats both the "
        f"pretrained model and BM25 on {found['metric']}; {best}."
    ]


def _too_few(found: dict[str, Any], target: Point | None, queries: str) -> list[str]:
    """What more queries could bring, and about how many it would take."""
    if target is None:
        return []
    what = f"that {target.name} holds up" if found["point"] or target.name != _name(found["reference"]) else "its gain"
    return [f"The {queries} are too few to tell: it would take about {found['queries_needed']:,} to show {what}."]


def _failed(gate: dict[str, dict[str, Any]]) -> str:
    """The rivals that are not beaten, with figures."""
    return " and from ".join(
        f"{name} by {rival['difference']:+.3f} [{rival['low']:+.3f}, {rival['high']:+.3f}]"
        for name, rival in gate.items()
        if not rival["passed"]
    )


def _wish(name: str, value: float) -> str:
    """A wish as a vector keeps to it."""
    return f"of at most {value:,} bytes" if name == "max_bytes" else f"with a recall@10 of at least {value:g}"


def _name(place: dict[str, Any]) -> str:
    """A point's name."""
    return f"{place['system']}.{place['dimension']}.{place['precision']}"
