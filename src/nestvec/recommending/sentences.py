"""The recommendation in words: what to do, on what evidence, and what it saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestvec.point import HYBRID, PLAIN, PRETRAINED, Point
from nestvec.recommending.choice_sentences import name_unbeaten, say_choices, say_fused, say_tested

POINT_FIELDS = ("system", "dimension", "precision", "bytes_per_vector")  # of a point in `recommendation.json`
_PRICED = 10_000_000  # vectors whose memory the sentence states; one of those in `price`


@dataclass(frozen=True)
class Barred:
    """Wishes that rule out every point that holds up and passes the gate.

    Attributes:
        wishes: names of the settings that each rule out every point; if no single one does, all that were made.
        without: what would be shipped without them.
        best: the best point that keeps to all wishes; None where none was measured.
        nearest: per wish, how near to it any point comes.
        difference: of `best` to the reference; 0 where there is no `best`.
        lower_bound: of this difference.
    """

    wishes: tuple[str, ...]
    without: Point
    best: Point | None
    nearest: dict[str, float]
    difference: float = 0.0
    lower_bound: float = 0.0


@dataclass(frozen=True)
class Asked:
    """Which team the answer speaks to, by its name in `choices`, and whether training lost to the pretrained system."""

    team: str
    fell_back: bool = False


def explain_decision(decision: dict[str, Any], barred: Barred | None, target: Point | None, asked: Asked) -> str:
    """The answer in words.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        barred: what the wishes rule out; None where they leave something, or nothing passes anyway.
        target: what more queries could bring; None where these are enough.
        asked: whom the answer speaks to.

    Returns:
        A few sentences.
    """
    queries = f"{decision['validation']['queries']:,} {decision['chosen_on']} queries"
    choices = decision["choices"][asked.team]
    if decision["point"] and decision["point"].get("kind") == HYBRID:
        sentences = [*say_fused(decision, choices["proven"], asked.fell_back), _say_price(decision)]
    elif decision["point"]:
        sentences = _say_ship(decision, choices["proven"], queries)
    elif barred:
        sentences = _say_ruled_out(decision, barred, queries)
    else:
        sentences = _say_refused(decision, queries)
    return " ".join(sentences + say_choices(decision, choices) + _say_too_few(decision, target, queries))


def _say_ship(decision: dict[str, Any], proven: dict[str, Any], queries: str) -> list[str]:
    point, reference = _read_point(decision["point"]), _read_point(decision["reference"])
    ship = f"Ship {point.system} at {point.format.in_words}, {point.bytes:,} bytes a vector"
    wished = "".join(f", {_name_wish(name, decision[name])}," for name in ("max_bytes", "min_recall") if decision[name])
    lost = f"at most {decision['margin']:g} of {decision['metric']}"
    if point == reference:
        why = f"is itself the best at full width, and nothing smaller{wished} was shown to lose {lost}"
        first = f"{ship}: on the {queries} it {why} (95 % confidence)."
    else:
        step = next(step for step in decision["steps"] if _read_point(step) == point)
        figures = f"{step['difference']:+.3f}, lower bound {step['lower_bound']:+.3f}, 95 % confidence"
        first = (
            f"{ship} instead of {reference.bytes:,}: on the {queries} it is the smallest vector{wished} that loses "
            f"{lost} against {reference.name} ({figures})."
        )
    return [first, *say_tested(decision, proven), _say_price(decision)]


def _say_price(decision: dict[str, Any]) -> str:
    """The memory that is saved, in decimal units."""
    price = next(entry for entry in decision["price"] if entry["vectors"] == _PRICED)
    small, whole = (f"{price[name] / 1e9:,.3g} GB" for name in ("bytes", "full_bytes"))
    return "Ten million vectors take " + (f"{small} instead of {whole}." if small != whole else f"{small}.")


def _say_ruled_out(decision: dict[str, Any], barred: Barred, queries: str) -> list[str]:
    wished = " and ".join(_name_wish(name, decision[name]) for name in barred.wishes)
    without = f"{barred.without.name}, {barred.without.bytes:,} bytes a vector"
    sentences = [
        f"Do not ship: on the {queries} no vector {wished} was shown to lose at most {decision['margin']:g} of "
        f"{decision['metric']} and to beat {_name_rivals(decision)}."
    ]
    if barred.best:
        reference = _read_point(decision["reference"]).name
        sentences.append(
            f"The best within the wishes, {barred.best.name}, differs from {reference} by {barred.difference:+.3f}, "
            f"lower bound {barred.lower_bound:+.3f} (95 % confidence){_say_why_not(decision, barred.best, barred)}."
        )
    else:
        nearest = {"max_bytes": "the smallest takes {:,} bytes", "min_recall": "the highest recall@10 is {:.3f}"}
        sentences.append(
            "None was measured: "
            + " and ".join(nearest[name].format(barred.nearest[name]) for name in barred.nearest if decision[name])
            + "."
        )
    return [*sentences, f"Without the wish it would be {without}."]


def _say_why_not(decision: dict[str, Any], best: Point, barred: Barred) -> str:
    """Why a point whose bound is high enough is not shipped all the same."""
    if barred.lower_bound <= -decision["margin"]:
        return ""
    if any(step["passed"] and _read_point(step).name == best.name for step in decision["steps"]):
        return ", but its gain over what it has to beat is not clear"
    return ", but a larger one of its system was not shown to hold up"


def _say_refused(decision: dict[str, Any], queries: str) -> list[str]:
    if not decision["steps"]:
        return ["Do not ship: no model but the pretrained one was measured, and it cannot beat itself."]
    reference = _read_point(decision["reference"])
    best = f"the best, {reference.name}, differs from {name_unbeaten(decision['gate'])} (95 % interval)"
    if reference.system.split("+")[0] == PRETRAINED:
        best = "the best at full width is the pretrained model itself"
    return [
        f"Do not ship: on the {queries} nothing that loses at most {decision['margin']:g} clearly beats "
        f"{_name_rivals(decision)} on {decision['metric']}; {best}."
    ]


def _say_too_few(decision: dict[str, Any], target: Point | None, queries: str) -> list[str]:
    """What more queries could bring, and about how many it would take."""
    if target is None:
        return []
    gain = not decision["point"] and target.name == _read_point(decision["reference"]).name
    what = "its gain" if gain else f"that {target.name} holds up"
    return [f"The {queries} are too few to tell: it would take about {decision['queries_needed']:,} to show {what}."]


def _name_rivals(decision: dict[str, Any]) -> str:
    """What has to be beaten, in words."""
    if decision["reference"].get("kind") == HYBRID:
        return "BM25, its own vectors alone, and the pretrained model beside BM25"
    return "both the pretrained model and BM25"


def _name_wish(name: str, value: float) -> str:
    return f"of at most {value:,} bytes" if name == "max_bytes" else f"with a recall@10 of at least {value:g}"


def point_to_json(point: Point) -> dict[str, Any]:
    """A point as `recommendation.json` has it: its fields; axes and kind only where they are not the usual ones."""
    fields = {name: getattr(point, name) for name in POINT_FIELDS} | ({"axes": True} if point.axes else {})
    return fields if point.kind == PLAIN else {**fields, "kind": point.kind}


def _read_point(entry: dict[str, Any]) -> Point:
    fields = {name: entry[name] for name in POINT_FIELDS}
    return Point(**fields, kind=entry.get("kind", PLAIN), axes=entry.get("axes", False))


def say_unmatched(unmatched: int, queries: int) -> list[str]:
    """A warning where BM25 is no rival: a third of the queries, or more, share no word with any document."""
    if 3 * unmatched < queries:
        return []
    return [
        f"BM25 matches no word of {unmatched:,} of {queries:,} queries, so beating it says little: do queries and "
        "documents share a language, and does --language name it?"
    ]


def say_folds(folds: int, trained: bool) -> list[str]:
    """Whose figures these are, where there are folds, and what is handed over."""
    if not folds:
        return []
    if not trained:
        return [f"The keyword search was fitted {folds} times, and every query asked where it was left out."]
    return [
        f"The figures are of {folds} models: each was trained without one of {folds} parts of the queries, and asked "
        "those. What is handed over was trained once more, on all of them."
    ]
