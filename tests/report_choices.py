"""The three choices for both teams of the made-up run, with evidence that agrees with its surface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHOSEN = {"proven": (384, "int8"), "likely": (384, "binary"), "tiny": (96, "binary")}
POWER = {"queries": 19, "needed": 640}


def name_choices(surface: list[dict[str, Any]], system: str, margin: float) -> dict[str, Any]:
    """What `recommendation.json` says in place of one point: beside keyword search three, of vectors alone one.

    Args:
        surface: rows of `results.json`.
        system: whose vectors are chosen.
        margin: the loss that counts as none.
    """
    beside = {name: _choice(surface, f"{system}+bm25", *stored) for name, stored in CHOSEN.items()}
    for chosen in beside.values():
        chosen["beats"] = _gain(surface, chosen)
    beside["proven"]["validation"] |= {"difference": -0.002, "low": -0.9 * margin, "chance": 0.99}
    alone = {"proven": _choice(surface, system, 384, "int8"), "likely": None, "tiny": None}
    point = {name: beside["proven"][name] for name in ("system", "dimension", "precision", "bytes_per_vector")}
    test = {**beside["proven"]["test"], "difference": -0.001, "lower_bound": -0.006, "queries": 40}
    return {
        "point": point | {"kind": "hybrid"}, "test": test,
        "choices": {"beside_keyword_search": beside, "vectors_alone": alone},
        "lexical": {"k1": 0.3, "b": 0.6}, "weight": 0.5, "power": POWER,
    }  # fmt: skip


def _choice(surface: list[dict[str, Any]], system: str, dimension: int, precision: str) -> dict[str, Any]:
    place = {"system": system, "dimension": dimension, "precision": precision}
    [row] = [row for row in surface if row["split"] == "test" and place.items() <= row.items()]
    whole = f"{system}.384.float32"
    evidence = {"difference": -0.004, "low": -0.0163, "chance": 0.93}
    test = {**row["metrics"]["recall@10"], "confirmed": True, "difference": -0.003,
            "difference_low": -0.011, "difference_high": 0.006}  # fmt: skip
    return {
        **place,
        **({"kind": "hybrid"} if system.endswith("+bm25") else {}),
        "reference": whole,
        "axes": False,
        "bytes_per_vector": row["bytes_per_vector"],
        "validation": evidence,
        "test": test,
    }


def _gain(surface: list[dict[str, Any]], chosen: dict[str, Any]) -> dict[str, Any]:
    [words] = [row for row in surface if row["split"] == "test" and row["system"] == "bm25"]
    gain = chosen["test"]["value"] - words["metrics"]["recall@10"]["value"]
    found = {"low": gain - 0.06, "high": gain + 0.06}
    return {"system": "bm25", "difference": gain, **found, "test": {"value": gain, **found}}


def compare_choices(
    choices: dict[str, Any], per_query: dict[tuple[Any, ...], NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """The paired comparisons of every choice with BM25, on test."""
    rows = []
    for chosen in (chosen for team in choices.values() for chosen in team.values() if chosen):
        stored = (chosen["system"], chosen["dimension"], chosen["precision"])
        gaps = per_query["test", *stored, "recall@10"] - per_query["test", "bm25", None, None, "recall@10"]
        half = 1.96 * float(np.std(gaps)) / len(gaps) ** 0.5
        mean = float(np.mean(gaps))
        found = {"difference": mean, "low": mean - half, "high": mean + half, "p": 0.01, "p_holm": 0.04}
        name = ".".join(map(str, stored))
        rows.append({"a": name, "b": "bm25", "split": "test", "metric": "recall@10", **found})
    return rows
