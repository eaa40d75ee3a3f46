"""A small made-up run folder in the files' real formats, for tests of the report.

The numbers are invented: documents come from a word list, grades from a latent score, rankings from the same score plus
noise that grows as vectors get narrower. Metrics are computed from those rankings, so the files agree with each other.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from report_choices import compare_choices, name_choices
from report_world import MARKUP, SPLITS, invent, trained_as_told

from nestvec.files import write_json, write_text
from nestvec.runs.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from report_world import World

DIMENSIONS = (384, 192, 96, 48)
TRAINED = ("mnr", "matryoshka")
NOISE = {
    "pretrained": 0.62,
    "mnr": 0.42,
    "matryoshka": 0.43,
    "cosine-matryoshka": 0.45,
    "graded": 0.38,
    "bm25": 0.7,
    "bm25-default": 0.8,
}
NARROWING = {
    "pretrained": 0.13,
    "mnr": 0.05,
    "matryoshka": 0.02,
    "cosine-matryoshka": 0.03,
    "graded": 0.01,
}  # by halving
LOST = {"int8": 0.005, "binary": 0.06}
METRICS = ("recall@10", "mrr@10", "ndcg@10", "judged@10")


def write_run(
    root: Path,
    *,
    ship: bool = True,
    synthetic: bool = True,
    seed: int = 7,
    trained: tuple[str, ...] = TRAINED,
    choices: bool = False,
) -> RunFolder:
    """Write a finished run without its report.

    Args:
        root: an empty or missing folder.
        ship: whether the recommendation is to ship.
        synthetic: whether the data says that it is the built-in sample.
        seed: of every invented number.
        trained: systems beside the pretrained one and BM25; the last of them is the best.
        choices: whether every point is measured fused with BM25 too, and three choices are named for both teams.
    """
    folder = RunFolder(root)
    world = invent(np.random.default_rng(seed))
    _write_data(folder, world)
    surface, per_query = _measure(folder, world, trained, fused=choices)
    results = {
        "schema": 1, "source": "sample" if synthetic else "shop/judgements.csv", "synthetic": synthetic,
        "threshold": 2.5, "relevant_from": 1500, "model": "sentence-transformers/all-MiniLM-L6-v2",
        "full_dimension": 384, "surface": surface, "unanswerable": {"validation": 1, "test": 2},
        "trained": list(trained), "comparisons": _comparisons(per_query, trained),
        "timings": {"prepare": 1.84, "train mnr": 71.2, "train matryoshka": 88.91, "encode": 31.5, "evaluate": 12.3},
    }  # fmt: skip
    write_json(folder.path("results"), results)
    _write_per_query(folder, per_query)
    made = _recommendation(surface, ship, trained)
    if choices:
        made = {**made, **name_choices(surface, trained[-1], made["margin"])}
        results["comparisons"] += compare_choices(made["choices"], per_query)
        write_json(folder.path("results"), results)
    write_json(folder.path("recommendation"), made)
    write_json(folder.path("training"), {"schema": 1, "systems": [trained_as_told(system) for system in trained]})
    write_text(folder.path("config"), _CONFIG.format(source=results["source"]))
    return folder


def _write_data(folder: RunFolder, world: World) -> None:
    query, document = np.nonzero(world.gain >= 0)
    table = pa.table(
        {
            "query_id": [world.query_id(row) for row in query],
            "query": [world.queries[row] for row in query],
            "document_id": [world.document_id(row) for row in document],
            "document": [world.documents[row] for row in document],
            "grade": world.grade[query, document],
            "split": [SPLITS[world.split[row]] for row in query],
        }
    )
    folder.path("records").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder.path("records"))
    levels, counts = np.unique(world.grade[query, document], return_counts=True)
    share = float(np.mean(world.gain[query, document] >= 1500))
    dip = {
        "threshold": 2.5,
        "depth": 0.41,
        "lower_hump": 2.0,
        "valley": 2.5,
        "upper_hump": 3.0,
        "low": 2.5,
        "high": 2.5,
        "seen": 1.0,
    }
    write_json(
        folder.path("grades"),
        {"levels": levels.tolist(), "counts": counts.tolist(), "lowest": 1.0, "highest": 3.0, "threshold": 2.5,
         "threshold_source": "dip", "dip": dip, "relevant_from": 1500, "relevant_share": share},
    )  # fmt: skip
    write_json(folder.path("audit"), _audit(world, query))
    write_json(
        folder.path("findings"),
        [
            {"name": "exact duplicates", "count": 3, "action": "Kept once.", "examples": ["row 12: 'deck screw' …"]},
            {"name": "text cleaned", "count": 1204, "action": "HTML entities and runs of spaces were made plain.",
             "examples": [f"row {row}: {MARKUP}" for row in (2, 5, 8)]},
        ],
    )  # fmt: skip
    lines = [f"{world.query_id(q)} 0 {world.document_id(d)} {world.gain[q, d]}"
             for q, d in zip(query, document, strict=True) if world.split[q] == 2]  # fmt: skip
    write_text(folder.path("qrels"), "\n".join(lines) + "\n")


def _audit(world: World, query: NDArray[np.int64]) -> dict[str, Any]:
    records = {name: int(np.sum(world.split[query] == row)) for row, name in enumerate(SPLITS)}
    return {
        "protocol": "leak-free",
        "queries": {name: int(np.sum(world.split == row)) for row, name in enumerate(SPLITS)},
        "records": {**records, "withheld": 57},
        "documents": {"train": 41, "validation": 24, "test": 38, "withheld": 22},
        "training_pairs": 212, "withheld_pairs": 23,
        "leaks": {"test queries in training": 0, "test documents in training": 0,
                  "validation queries in training": 0, "validation documents in training": 0},
        "row_split": {"test records whose query is in training": 0.982,
                      "test records whose document is in training": 0.9413},
    }  # fmt: skip


def _measure(
    folder: RunFolder, world: World, trained: tuple[str, ...], *, fused: bool = False
) -> tuple[list[dict[str, Any]], dict[tuple[Any, ...], NDArray[np.float64]]]:
    """The surface's rows, and per (split, system, dimension, precision, metric) the queries' values."""
    surface, per_query = [], {}
    dense = ("pretrained", *trained)
    points = [(system, dimension, precision, dimension * (4 if precision == "float32" else 1))
              for system in dense for dimension in DIMENSIONS for precision in ("float32", "int8")]  # fmt: skip
    words = [("bm25", None, None, None)]
    if fused:
        points += [(system, dimension, "binary", dimension // 8 + 2) for system in dense for dimension in DIMENSIONS]
        points += [(f"{system}+bm25", *stored) for system, *stored in points]
        words.append(("bm25-default", None, None, None))
    for system, dimension, precision, size in [*points, *words]:
        steps = 0 if dimension is None else DIMENSIONS.index(dimension)
        model, *with_words = system.split("+")
        noise = NOISE[model] + NARROWING.get(model, 0) * steps + LOST.get(precision, 0)
        drawn = np.random.default_rng(len(model)).normal(0, noise, world.latent.shape)  # the same draw at every width
        if with_words:
            drawn = 0.6 * drawn + 0.4 * np.random.default_rng(4).normal(0, NOISE["bm25"], world.latent.shape)
        kind = "hybrid" if with_words else "bm25" if fused and dimension is None else "plain"
        score = (world.latent + drawn).astype(np.float32)
        order = np.argsort(-score, axis=1, kind="stable")
        name = system if dimension is None else f"{system}.{dimension}.{precision}"
        _write_run_file(folder, world, name, order, score)
        for split in ("validation", "test"):
            rows = np.nonzero((world.split == SPLITS.index(split)) & (world.gain >= 1500).any(axis=1))[0]
            values = _metrics(world.gain[rows], order[rows])
            per_query.update({(split, system, dimension, precision, metric): values[metric] for metric in METRICS})
            per_query[split, "rows"] = rows
            surface.append(
                {"system": system, "dimension": dimension, "precision": precision, "bytes_per_vector": size,
                 "kind": kind, "bytes_scanned": None, "split": split, "queries": len(rows),
                 "documents": len(world.documents),
                 "metrics": {metric: _interval(values[metric]) for metric in METRICS}}
            )  # fmt: skip
    return surface, per_query


def _metrics(gain: NDArray[np.int64], order: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    top = np.take_along_axis(gain, order, axis=1)[:, :10]
    relevant, discount = top >= 1500, 1 / np.log2(np.arange(2, 12))
    first = np.where(relevant.any(axis=1), 1 / (relevant.argmax(axis=1) + 1), 0.0)
    ideal = -np.sort(-np.maximum(gain, 0), axis=1)[:, :10]
    return {
        "recall@10": relevant.sum(axis=1) / (gain >= 1500).sum(axis=1),
        "mrr@10": first,
        "ndcg@10": (np.maximum(top, 0) * discount).sum(axis=1) / (ideal * discount).sum(axis=1),
        "judged@10": (top >= 0).mean(axis=1),
    }


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    half = 1.96 * float(np.std(values)) / len(values) ** 0.5
    return {
        "value": float(np.mean(values)),
        "low": float(np.mean(values)) - half,
        "high": float(np.mean(values)) + half,
    }


def _comparisons(
    per_query: dict[tuple[Any, ...], NDArray[np.float64]], trained: tuple[str, ...]
) -> list[dict[str, Any]]:
    full = {f"{name}.384.float32": ("test", name, 384, "float32") for name in (*reversed(trained), "pretrained")}
    rows = []
    for (a, first), (b, second) in combinations({**full, "bm25": ("test", "bm25", None, None)}.items(), 2):
        for metric in METRICS[:3]:
            difference = per_query[*first, metric] - per_query[*second, metric]
            gap = _interval(difference)
            found = {"difference": gap["value"], "low": gap["low"], "high": gap["high"]}
            found |= {"effect": gap["value"] / float(np.std(difference, ddof=1)), **_outcomes(difference)}
            p_holm = 0.0008 if abs(gap["value"]) > 0.02 else 0.61
            rows.append({"a": a, "b": b, "split": "test", "metric": metric, **found, "p": 0.00009999, "p_holm": p_holm})
    return rows


def _outcomes(difference: NDArray[np.float64]) -> dict[str, int]:
    counted = {"wins": difference > 1e-9, "ties": abs(difference) <= 1e-9, "losses": difference < -1e-9}
    return {name: int(found.sum()) for name, found in counted.items()}


def _write_run_file(
    folder: RunFolder, world: World, name: str, order: NDArray[np.int64], score: NDArray[np.float32]
) -> None:
    lines = []
    for row in np.nonzero(world.split == 2)[0]:
        for rank, document in enumerate(order[row], start=1):
            value = score[row, document]
            lines.append(f"{world.query_id(row)} Q0 {world.document_id(document)} {rank} {value:.9g} {name}")
    write_text(folder.run(name), "\n".join(lines) + "\n")


def _write_per_query(folder: RunFolder, per_query: dict[tuple[Any, ...], NDArray[np.float64]]) -> None:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("split", "system", "dimension", "precision", "query_id", "metric", "value")
    }
    for key, values in per_query.items():
        if len(key) == 2:
            continue
        split, system, dimension, precision, metric = key
        for row, value in zip(per_query[split, "rows"], values, strict=True):
            for column, entry in zip(
                columns, (split, system, dimension, precision, f"q{row:012x}", metric, value), strict=True
            ):
                columns[column].append(entry)
    pq.write_table(
        pa.table({**columns, "dimension": pa.array(columns["dimension"], pa.int32())}), folder.path("per_query")
    )


def _recommendation(surface: list[dict[str, Any]], ship: bool, trained: tuple[str, ...]) -> dict[str, Any]:
    def point(system: str, dimension: int | None, precision: str | None) -> dict[str, Any]:
        size = None if dimension is None else dimension * (1 if precision == "int8" else 4)
        return {"system": system, "dimension": dimension, "precision": precision, "bytes_per_vector": size}

    def recall(wanted: dict[str, Any]) -> dict[str, float]:
        [row] = [row for row in surface if row["split"] == "test" and all(row[key] == wanted[key] for key in wanted)]
        return row["metrics"]["recall@10"]

    def gap(rival: dict[str, Any]) -> dict[str, Any]:
        difference = recall(best)["value"] - recall(rival)["value"]
        return {
            "difference": difference,
            "low": difference - 0.05,
            "high": difference + 0.05,
            "passed": difference > 0.05,
        }

    last = trained[-1]
    chosen, reference = point(last, 48, "int8"), point(last, 384, "float32")
    best = chosen if ship else reference
    order = [(192, "float32"), (384, "int8"), (96, "float32"), (48, "int8")]
    steps = [
        {**point(last, *where), "difference": -0.001 * count, "lower_bound": -0.002 * count, "passed": True}
        for count, where in enumerate(order, 1)
    ]
    steps.append({**point("mnr", 48, "int8"), "difference": -0.03, "lower_bound": -0.051, "passed": False})
    gate = {"difference": 0.21, "low": 0.15, "high": 0.27, "passed": True}
    if not ship:
        gate = {"difference": 0.004, "low": -0.01, "high": 0.02, "passed": False}
    smallest = "Ship it: the smallest vector that loses at most 0.01 of recall@10 at 95 % confidence."
    return {
        "decision": "ship" if ship else "do not ship",
        "reason": smallest if ship else "Do not ship: no system clearly beats both the pretrained model and BM25.",
        "point": chosen if ship else None,
        "reference": reference,
        "metric": "recall@10",
        "margin": 0.01,
        "validation": {"difference": -0.004, "low": -0.008, "queries": 19},
        "test": {**recall(best), "difference": -0.003, "lower_bound": -0.0072, "confirmed": True, "queries": 40},
        "steps": steps,
        "gate": {"pretrained": gate, "bm25": {**gate, "difference": gate["difference"] + 0.02}},
        "max_bytes": None,
        "min_recall": None,
        "price": [
            {"vectors": 10**n, "bytes": 10**n * best["bytes_per_vector"], "full_bytes": 10**n * 1536} for n in (6, 7, 8)
        ],
        "queries_needed": None,
        "test_gate": {"pretrained": gap(point("pretrained", 384, "float32")), "bm25": gap(point("bm25", None, None))},
    }


_CONFIG = """seed = 42
source = "{source}"
model = "sentence-transformers/all-MiniLM-L6-v2"
epochs = 3
batch_size = 32
learning_rate = 5e-5
dimensions = [384, 192, 96, 48]
precisions = ["float32", "int8"]
metric = "recall@10"
margin = 0.01

[versions]
nestvec = "0.1.0"
python = "3.11.9"
torch = "2.13.0"

[inputs]
source = "6f1ed002ab5595859014ebf0951522d9a1c0b3b0d0f1f1b1b0e6c5b1c2d3e4f5"
"""
