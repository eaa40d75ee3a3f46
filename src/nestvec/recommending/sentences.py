"""Writes the sentences of the recommendation: what to ship, on what evidence, and how much memory that saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestvec.point import HYBRID, PLAIN, PRETRAINED, Point
from nestvec.recommending.choice_sentences import name_unbeaten, say_choices, say_fused, say_tested

POINT_FIELDS = ("system", "dimension", "precision", "bytes_per_vector")  # of a point in `recommendation.json`
_PRICED = 10_000_000  # number of vectors whose memory the sentence states; `price` has an entry for it


@dataclass(frozen=True)
class Barred:
    """The limits (`max_bytes`, `min_recall`) that rule out every vector that passed the tests of loss and gain.

    A candidate below is a system at one dimension and precision.

    Attributes:
        wishes: the limits that each rule out every passing candidate; if only their combination does, all limits set.
        without: the candidate that would be shipped without these limits.
        best: the candidate with the highest mean metric that meets all limits; None if no measured candidate does.
        nearest: the fewest bytes and the highest recall@10 of any measured candidate, under the names of the limits.
        difference: the mean difference of `best` to the reference; 0 if there is no `best`.
        lower_bound: the one-sided lower bound of `difference`.
    """

    wishes: tuple[str, ...]
    without: Point
    best: Point | None
    nearest: dict[str, float]
    difference: float = 0.0
    lower_bound: float = 0.0


@dataclass(frozen=True)
class Asked:
    """The kind of team that the answer is for (a key of `choices`), and whether no trained model beat pretrained."""

    team: str
    fell_back: bool = False


def explain_decision(decision: dict[str, Any], barred: Barred | None, target: Point | None, asked: Asked) -> str:
    """Explain the decision in a few sentences: the `reason` of `recommendation.json`.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        barred: the limits that rule out every vector that passed all tests; None if limits are not the reason.
        target: the system, dimension and precision that more queries could prove; None if no more queries are needed.
        asked: the team that the explanation addresses.

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
        why = f"is the best system at full width, and no smaller vector{wished} was proven to lose {lost}"
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
    """Compare the memory of ten million recommended vectors with that of full-width vectors, in GB (1e9 bytes)."""
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
            f"The best vector within the limits, {barred.best.name}, differs from {reference} by "
            f"{barred.difference:+.3f}, lower bound {barred.lower_bound:+.3f} (95 % confidence)"
            f"{_say_why_not(decision, barred.best, barred)}."
        )
    else:
        nearest = {"max_bytes": "the smallest takes {:,} bytes", "min_recall": "the highest recall@10 is {:.3f}"}
        sentences.append(
            "No vector within the limits was measured: "
            + " and ".join(nearest[name].format(barred.nearest[name]) for name in barred.nearest if decision[name])
            + "."
        )
    limits = "this limit" if len(barred.wishes) == 1 else "these limits"
    return [*sentences, f"Without {limits} the recommendation would be {without}."]


def _say_why_not(decision: dict[str, Any], best: Point, barred: Barred) -> str:
    """Say why vectors that lose less than the margin are not recommended; empty if their loss is the reason."""
    if barred.lower_bound <= -decision["margin"]:
        return ""
    if any(step["passed"] and _read_point(step).name == best.name for step in decision["steps"]):
        return f", but it does not clearly beat {_name_rivals(decision)}"
    return ", but a larger vector of the same system was not proven to hold up, so the tests stopped there"


def _say_refused(decision: dict[str, Any], queries: str) -> list[str]:
    if not decision["steps"]:
        return ["Do not ship: only the pretrained model was measured, and a recommendation has to beat it."]
    reference = _read_point(decision["reference"])
    best = f"the best, {reference.name}, differs from {name_unbeaten(decision['gate'])} (95 % interval)"
    if reference.system.split("+")[0] == PRETRAINED:
        best = "the best at full width is the pretrained model itself"
    return [
        f"Do not ship: on the {queries} no vector that loses at most {decision['margin']:g} clearly beats "
        f"{_name_rivals(decision)} on {decision['metric']}; {best}."
    ]


def _say_too_few(decision: dict[str, Any], target: Point | None, queries: str) -> list[str]:
    """Say how many queries a decision would take, and what they would prove; empty if the present queries suffice."""
    if target is None:
        return []
    gain = not decision["point"] and target.name == _read_point(decision["reference"]).name
    what = f"that {target.name} {'beats its rivals' if gain else 'holds up'}"
    return [f"The {queries} are too few to decide: about {decision['queries_needed']:,} could prove {what}."]


def _name_rivals(decision: dict[str, Any]) -> str:
    """Name the baselines that the recommended vector has to beat, such as BM25 and the pretrained model."""
    if decision["reference"].get("kind") == HYBRID:
        return "BM25, its own vectors alone, and the pretrained model beside BM25"
    return "both the pretrained model and BM25"


def _name_wish(name: str, value: float) -> str:
    return f"of at most {value:,} bytes" if name == "max_bytes" else f"with a recall@10 of at least {value:g}"


def point_to_json(point: Point) -> dict[str, Any]:
    """Convert a system, dimension and precision to JSON fields; `axes` and `kind` only if they are not the default."""
    fields = {name: getattr(point, name) for name in POINT_FIELDS} | ({"axes": True} if point.axes else {})
    return fields if point.kind == PLAIN else {**fields, "kind": point.kind}


def _read_point(entry: dict[str, Any]) -> Point:
    fields = {name: entry[name] for name in POINT_FIELDS}
    return Point(**fields, kind=entry.get("kind", PLAIN), axes=entry.get("axes", False))


def say_unmatched(unmatched: int, queries: int) -> list[str]:
    """Warn if a third of the queries or more share no word with any document, so that BM25 is a weak rival."""
    if 3 * unmatched < queries:
        return []
    return [
        f"{unmatched:,} of {queries:,} queries share no word with any document, so beating BM25 proves little. Check "
        "that queries and documents are in one language, and that --language names it."
    ]


def say_folds(folds: int, trained: bool) -> list[str]:
    """Say, for a run in folds, which models the figures come from and which model is handed over."""
    if not folds:
        return []
    if not trained:
        return [
            f"The keyword search was fitted {folds} times; every query was measured with a fit that had not seen it."
        ]
    return [
        f"The figures come from {folds} models: each was trained without one of {folds} parts of the queries and "
        "measured on that part. The model that you export was trained once more, on all queries."
    ]
