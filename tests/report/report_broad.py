"""Makes a made-up run a broad one: six precisions, two full widths, systems made of others, and all metrics.

The numbers follow from formulas, so that a test can say what they have to be.
"""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

from report_page import Page

from nestvec.files import write_json

if TYPE_CHECKING:
    from nestvec.runs.folder import RunFolder

MINUS = "\u2212"
BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}
LOSS = {"float32": 0.0, "float16": 0.0, "int8": 0.001, "int4": 0.004, "int2": 0.012, "binary": 0.03}
WIDTHS = {"pretrained": (384, 192, 96, 48), "mnr": (384, 192, 96, 48), "matryoshka": (384, 192, 96, 48),
          "=wide": (768, 384, 192, 96, 48)}  # fmt: skip
FULL = {"pretrained": 0.41, "mnr": 0.52, "matryoshka": 0.515, "=wide": 0.45}
NARROW = {"pretrained": 0.05, "mnr": 0.03, "matryoshka": 0.02, "=wide": 0.04}  # lost by each halving
MEASURES = ("recall", "precision", "mrr", "ndcg", "ndcg-exp", "accuracy", "judged")
NAMES = tuple(
    f"{condensed}{measure}@{cutoff}"
    for condensed in ("", "condensed-")
    for cutoff in (1, 5, 10, 100)
    for measure in MEASURES
    if not (condensed and measure == "judged")
)
NAMES += ("map", "condensed-map")


def size(dimension: int, precision: str) -> int:
    """Bytes per vector; small codes keep 2 of correction."""
    return dimension * BITS[precision] // 8 + (2 if BITS[precision] <= 4 else 0)


# Some points are on axes, a little below those cut as they are: no frontier or best use of bytes changes.
AXES, LOST_ON_AXES = (("mnr", 96), ("mnr", 48)), 0.001


def recall(system: str, dimension: int, precision: str) -> float:
    """What the run says of a plain point on test."""
    halvings = (WIDTHS[system][0] // dimension).bit_length() - 1
    return round(FULL[system] - NARROW[system] * halvings - LOSS[precision], 6)


def broaden(folder: RunFolder) -> None:
    """Write the broad surface, its comparisons, and what a recommendation says beside it.

    Args:
        folder: a run of `write_run` that recommends something.
    """
    results = json.loads(folder.path("results").read_text(encoding="utf-8"))
    first = results["surface"][0]
    results["surface"] = [
        {**first, **place, "split": split, "metrics": _metrics(value)}
        for place, value in _places()
        for split in ("validation", "test")
    ]
    results["comparisons"] = _comparisons()
    results["cutoffs"] = [1, 5, 10, 100]
    results["missing_models"] = {"all-mpnet-base-v2": "could not be had: no such model on this machine"}
    results["missing_documents"] = {"validation": 0, "test": 3}
    results["codec_extras"] = {"mnr.384.int8": 1536, "mnr.384.binary": 1576}
    write_json(folder.path("results"), results)
    made = json.loads(folder.path("recommendation").read_text(encoding="utf-8"))
    made |= {"max_bytes": 100, "min_recall": 0.3, "queries_needed": None}
    there = recall(*(made["point"][name] for name in ("system", "dimension", "precision")))
    made["test"] |= {"value": there, "low": there - 0.02, "high": there + 0.02}
    write_json(folder.path("recommendation"), made)


def _places() -> list[tuple[dict[str, Any], float]]:
    """Every point and its recall@10."""
    found = [
        (_place(system, width, precision), recall(system, width, precision))
        for system, widths in WIDTHS.items()
        for width in widths
        for precision in BITS
    ]
    for system, width in AXES:
        value = recall(system, width, "float32") - LOST_ON_AXES
        found.append(({**_place(system, width, "float32"), "axes": True}, value))
    for code, scanned in (("48-int8", 48), ("384-binary", 50)):
        place = _place(f"mnr-via-{code}", 384, "int8", "two-stage")
        found.append(({**place, "bytes_per_vector": 384 + scanned, "bytes_scanned": scanned}, 0.518))
    found += [(_place(f"{system}+bm25", WIDTHS[system][0], "float32", "hybrid"), 0.6) for system in ("mnr", "=wide")]
    bm25 = {"system": "bm25", "dimension": None, "precision": None, "bytes_per_vector": None}
    return [*found, ({**bm25, "kind": "plain", "bytes_scanned": None}, 0.4)]


def _place(system: str, dimension: int, precision: str, kind: str = "plain") -> dict[str, Any]:
    found = {"system": system, "dimension": dimension, "precision": precision, "kind": kind, "bytes_scanned": None}
    return {**found, "bytes_per_vector": size(dimension, precision)}


def _metrics(value: float) -> dict[str, dict[str, float]]:
    """recall@10 is the value; each other metric is it, lowered by its place in the list."""
    means = {name: value - 0.001 * (place + 1) for place, name in enumerate(NAMES)} | {"recall@10": value}
    return {name: {"value": mean, "low": mean - 0.02, "high": mean + 0.02} for name, mean in means.items()}


def _comparisons() -> list[dict[str, Any]]:
    full = {f"{system}.{widths[0]}.float32": FULL[system] for system, widths in WIDTHS.items()}
    full |= {"bm25": 0.4, "mnr+bm25.384.float32": 0.6, "=wide+bm25.768.float32": 0.6}
    rows = []
    for place, pair in enumerate(combinations(reversed(full), 2)):
        a, b = pair if place % 2 else pair[::-1]  # a run may take either from the other
        for metric in ("recall@10", "mrr@10", "ndcg@10"):
            gap = full[a] - full[b]
            clear = abs(gap) > 0.05
            rows.append(
                {"a": a, "b": b, "split": "test", "metric": metric, "difference": gap, "low": gap - 0.03,
                 "high": gap + 0.03, "p": 0.001 if clear else 0.4, "p_holm": 0.01 if clear else 1.0, "effect": gap * 4,
                 "wins": 20 + round(100 * gap), "ties": 10, "losses": 10 - round(10 * gap)}
            )  # fmt: skip
    return rows


def read(folder: RunFolder, name: str) -> Any:
    """A JSON file of a run."""
    return json.loads(folder.path(name).read_text(encoding="utf-8"))


def surface(folder: RunFolder, split: str = "test", kind: str = "plain") -> list[dict[str, Any]]:
    """Rows of one split and kind."""
    return [row for row in read(folder, "results")["surface"] if (row["split"], row["kind"]) == (split, kind)]


def value(row: dict[str, Any], metric: str = "recall@10") -> float:
    """A row's mean."""
    return row["metrics"][metric]["value"]


def signed(number: float) -> str:
    """A difference as the page has it: zero has no sign."""
    text = f"{number:+.3f}"
    return "0.000" if text[1:] == "0.000" else text.replace("-", MINUS)


def draw_words(folder: RunFolder) -> dict[str, str]:
    """Figure id to what a person who does not see it is told."""
    page = Page.read(folder.path("report"))
    figures = page.root.find("figure")
    return {one.attributes["id"]: one.find("div", role="img")[0].attributes["aria-label"] for one in figures}
