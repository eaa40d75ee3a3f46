"""Writes the sentences about a team's three choices (proven, likely, tiny) in the `reason` of `recommendation.json`."""

from __future__ import annotations

from typing import Any

from nestvec.point import FUSED, VectorFormat


def say_fused(decision: dict[str, Any], proven: dict[str, Any], fell_back: bool) -> list[str]:
    """Write the sentences that recommend vectors to combine with keyword search, with the evidence for them.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        proven: the entry `proven` of the team with keyword search, from `choices` in `recommendation.json`.
        fell_back: whether the recommended model is the pretrained one, because no trained model beats it.

    Returns:
        A few sentences.
    """
    sentences = [f"Beside keyword search, ship {_name_vectors(proven)}: {_count_bytes(proven)} a vector."]
    if fell_back:
        sentences.append("Use the pretrained model: fine-tuning brought no proven gain.")
    return [*sentences, _say_loss(decision, proven), *say_tested(decision, proven)]


def say_choices(decision: dict[str, Any], choices: dict[str, Any]) -> list[str]:
    """Write the sentences about the team's likely and tiny choices, if these are smaller than the shipped vector.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        choices: one team's choices: the entries `proven`, `likely` and `tiny`.

    Returns:
        One sentence for each of the two choices that takes fewer bytes than all vectors named before it.
    """
    sentences, size = [], (decision["point"] or {}).get("bytes_per_vector") or float("inf")
    likely, tiny = choices["likely"], choices["tiny"]
    if likely and likely["bytes_per_vector"] < size:
        size = likely["bytes_per_vector"]
        sentences.append(
            f"Likely choice: {_name_vectors(likely)}, {_count_bytes(likely)} a vector. The chance that it loses less "
            f"than {decision['margin']:g} is {100 * likely['validation']['chance']:.0f} %; its {decision['metric']} on "
            f"the test queries is {likely['test']['value']:.3f}."
        )
    if tiny and tiny["bytes_per_vector"] < size:
        gain = tiny["beats"]["test"]
        doubt = ", too few queries to confirm it" if gain["value"] > 0 else ", which does not confirm it"
        clear = "" if tiny["test"]["confirmed"] else doubt
        sentences.append(
            f"Tiny choice, the smallest vector that still beats {_name_now(tiny['beats']['system'])}: "
            f"{_name_vectors(tiny)}, {_count_bytes(tiny)} a vector; its gain on the test queries is "
            f"{_show_interval(gain['value'], gain['low'], gain['high'])}{clear}."
        )
    return sentences


def _say_loss(decision: dict[str, Any], proven: dict[str, Any]) -> str:
    queries = f"{decision['validation']['queries']:,} {decision['chosen_on']} queries"
    if proven["lossless"]:
        return (
            f"For every possible query it returns the same first ten results as {proven['reference']}: nothing is lost."
        )
    if decision["point"] == decision["reference"]:
        return (
            f"It is the best system at full width; the {queries} do not prove that a smaller vector loses less than "
            f"{decision['margin']:g} of {decision['metric']}."
        )
    seen = proven["validation"]
    shown = _show_interval(seen["difference"], seen["low"], seen["high"])
    return (
        f"On the {queries} its {decision['metric']} differs from {proven['reference']} by {shown}: it is the smallest "
        f"vector proven to lose less than {decision['margin']:g} (95 % confidence)."
    )


def say_tested(decision: dict[str, Any], proven: dict[str, Any]) -> list[str]:
    """Write the sentence that says whether the test queries confirm the shipped vector.

    Args:
        decision: what `recommendation.json` holds, without its `reason`.
        proven: the team's entry `proven` of `choices` in `recommendation.json`.

    Returns:
        One sentence with the metric on the test queries, and a second sentence if the shipped vector does not clearly
        beat every baseline (such as BM25) on the test queries.
    """
    test, seen = proven["test"], decision["test"]
    value = f"{decision['metric']} {test['value']:.3f} [{test['low']:.3f}, {test['high']:.3f}]"
    against = f", {seen['difference']:+.3f} against the reference, lower bound {seen['lower_bound']:+.3f}"
    if decision["point"] == decision["reference"]:
        against = ""
    others = "; " + ", ".join(f"{_name_other(name)} {value:.3f}" for name, value in test["others"].items())
    if decision["chosen_on"] == "test":
        chosen_here = "The choice was made on the test queries themselves, so these values are optimistic"
        sentence = f"{chosen_here}: {value}{against}"
    elif not against:  # nothing to confirm: it is compared with itself
        sentence = f"On the {seen['queries']:,} test queries: {value}"
    else:
        verdict = "confirm it" if seen["confirmed"] else _say_doubt(seen, decision["margin"])
        sentence = f"The test queries {verdict}: {value} on {seen['queries']:,} queries{against}"
    sentences = [f"{sentence}{others if test['others'] else ''}."]
    if unbeaten := name_unbeaten(decision["test_gate"]):
        sentences.append(f"Its gain on the test queries is not clear: it differs from {unbeaten} (95 % interval).")
    return sentences


def name_unbeaten(gate: dict[str, dict[str, Any]]) -> str:
    """Name the baselines that are not clearly beaten, each with difference and interval; empty if all are beaten."""
    return " and from ".join(
        f"{name} by {_show_interval(rival['difference'], rival['low'], rival['high'])}"
        for name, rival in gate.items()
        if not rival["passed"]
    )


def _say_doubt(test: dict[str, Any], margin: float) -> str:
    """Say why the test queries do not confirm a choice: they are too few, or their mean loss exceeds the margin."""
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
