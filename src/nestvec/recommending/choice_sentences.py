"""The three choices in words: what a fused vector loses and beats, and what could be shipped in its place."""

from __future__ import annotations

from typing import Any

from nestvec.point import FUSED, VectorFormat


def say_fused(decision: dict[str, Any], proven: dict[str, Any], fell_back: bool) -> list[str]:
    """What to ship beside keyword search, and on what evidence.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        proven: the proven choice as `choices` has it.
        fell_back: whether it is the pretrained model, as no trained one beats it.

    Returns:
        A few sentences.
    """
    sentences = [f"Beside keyword search, ship {_name_vectors(proven)}: {_count_bytes(proven)} a vector."]
    if fell_back:
        sentences.append("Fuse the pretrained model; fine-tuning added nothing that can be shown.")
    return [*sentences, _say_loss(decision, proven), *say_tested(decision, proven)]


def say_choices(decision: dict[str, Any], choices: dict[str, Any]) -> list[str]:
    """A sentence for the likely and for the tiny choice, where they are smaller than what is shipped.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        choices: of one team.

    Returns:
        At most two sentences.
    """
    sentences, size = [], (decision["point"] or {}).get("bytes_per_vector") or float("inf")
    likely, tiny = choices["likely"], choices["tiny"]
    if likely and likely["bytes_per_vector"] < size:
        size = likely["bytes_per_vector"]
        sentences.append(
            f"Likely enough: {_name_vectors(likely)}, {_count_bytes(likely)}, loses less than {decision['margin']:g} "
            f"with a chance of {100 * likely['validation']['chance']:.0f} %; on the test queries its "
            f"{decision['metric']} is {likely['test']['value']:.3f}."
        )
    if tiny and tiny["bytes_per_vector"] < size:
        gain = tiny["beats"]["test"]
        doubt = ", which are too few to confirm it" if gain["value"] > 0 else ", which do not confirm it"
        clear = "" if tiny["test"]["confirmed"] else doubt
        sentences.append(
            f"The smallest that still beats {_name_now(tiny['beats']['system'])}: {_name_vectors(tiny)}, "
            f"{_count_bytes(tiny)}; on the test queries{clear}, by "
            f"{_show_interval(gain['value'], gain['low'], gain['high'])}."
        )
    return sentences


def _say_loss(decision: dict[str, Any], proven: dict[str, Any]) -> str:
    queries = f"{decision['validation']['queries']:,} {decision['chosen_on']} queries"
    if proven["lossless"]:
        return (
            f"It ranks as {proven['reference']} does, to depth 10, for every query that can be asked: nothing is lost."
        )
    if decision["point"] == decision["reference"]:
        return (
            f"It is itself the best at full width; on the {queries} it is undecided whether a smaller one loses less "
            f"than {decision['margin']:g} of {decision['metric']}."
        )
    seen = proven["validation"]
    shown = _show_interval(seen["difference"], seen["low"], seen["high"])
    return (
        f"On the {queries} it differs from {proven['reference']} by {shown}: it is the smallest that is shown to lose "
        f"less than {decision['margin']:g} of {decision['metric']} (95 % confidence)."
    )


def say_tested(decision: dict[str, Any], proven: dict[str, Any]) -> list[str]:
    """What the test queries say of what is shipped, beside keyword search or alone.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        proven: the proven choice as `choices` has it.

    Returns:
        A sentence, and another where a gain is not clear there.
    """
    test, seen = proven["test"], decision["test"]
    value = f"{decision['metric']} {test['value']:.3f} [{test['low']:.3f}, {test['high']:.3f}]"
    against = f", {seen['difference']:+.3f} against the reference, lower bound {seen['lower_bound']:+.3f}"
    if decision["point"] == decision["reference"]:
        against = ""
    others = "; " + ", ".join(f"{_name_other(name)} {value:.3f}" for name, value in test["others"].items())
    if decision["chosen_on"] == "test":
        sentence = f"No other queries could confirm it, so take it as optimistic: {value} there{against}"
    elif not against:  # nothing to confirm: it is compared with itself
        sentence = f"On the {seen['queries']:,} test queries: {value}"
    else:
        verdict = "confirm it" if seen["confirmed"] else _say_doubt(seen, decision["margin"])
        sentence = f"The test queries {verdict}: {value} on {seen['queries']:,} queries{against}"
    sentences = [f"{sentence}{others if test['others'] else ''}."]
    if unbeaten := name_unbeaten(decision["test_gate"]):
        sentences.append(f"There its gain is not clear: it differs from {unbeaten} (95 % interval).")
    return sentences


def name_unbeaten(gate: dict[str, dict[str, Any]]) -> str:
    """The rivals over which a gain is not clear, with the difference and its interval; nothing where all are beaten."""
    return " and from ".join(
        f"{name} by {_show_interval(rival['difference'], rival['low'], rival['high'])}"
        for name, rival in gate.items()
        if not rival["passed"]
    )


def _say_doubt(test: dict[str, Any], margin: float) -> str:
    """Why the test queries do not confirm a choice: their mean loss is within the margin, or beyond it."""
    return "are too few to confirm it" if test["difference"] > -margin else "do not confirm it"


def _name_vectors(choice: dict[str, Any]) -> str:
    system = choice["system"].removesuffix(FUSED)
    return f"{system} at {VectorFormat(choice['dimension'], choice['precision'], choice['axes']).in_words}"


def _name_now(name: str) -> str:
    return "keyword search alone" if name == "bm25" else "the pretrained model at full width"


def _name_other(name: str) -> str:
    return "BM25 alone" if name == "bm25" else name


def _count_bytes(choice: dict[str, Any]) -> str:
    return f"{choice['bytes_per_vector']:,} bytes"


def _show_interval(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
