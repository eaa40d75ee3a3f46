"""Audits a split for leaks: how many validation and test queries and documents also occur in training records."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.many_texts import same_letters
from nestvec.data.split import HELD_OUT, PARTS, SPLITS, mark_texts
from nestvec.settings import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from nestvec.data.records import Records
    from nestvec.data.task import Task

CATALOGUE_NOTE = (
    "With --adapt catalogue, training reads the texts of all documents, including those judged for validation and test "
    "queries, but none of these queries and none of their grades."
)


def note_texts_read(adapted_on: str) -> dict[str, str]:
    """Make the audit's note that training reads texts of held-out documents, which the leak counts do not show.

    Args:
        adapted_on: the documents that the system `adapted` learns from, see `TrainingSettings.adapted_on`.

    Returns:
        A dictionary with the entry `note` for `data/audit.json`; empty if training reads no held-out text.
    """
    return {"note": CATALOGUE_NOTE} if adapted_on == CATALOGUE else {}


def audit(records: Records, task: Task, threshold: float, protocol: str, seed: int) -> dict[str, Any]:
    """Count the records, queries and documents of each split, and what training shares with validation and test.

    Args:
        records: n records.
        task: the training pairs and the measured queries.
        threshold: the grade from which a record is relevant.
        protocol: the name of the split protocol.
        seed: seed of the naive split by row that is simulated for comparison.

    Returns:
        The content of `data/audit.json`: sizes per split, leaks by normalised text (all zero under `leak-free`) and by
        exact text, the number of withheld pairs, the connected components of queries and documents, and the leaks of a
        naive split by row.
    """
    if task.folds:
        return _audit_folds(records, task, threshold, protocol, seed)
    texts = normalised_texts(records)
    names = [name for name in PARTS if name in SPLITS or task.in_part(name).any()]
    return {
        "protocol": protocol,
        "queries": {name: int(mark_texts(texts["queries"], task.in_part(name)).sum()) for name in SPLITS},
        "records": {name: int(task.in_part(name).sum()) for name in names},
        "documents": {name: int(mark_texts(texts["documents"], task.in_part(name)).sum()) for name in names},
        "training_pairs": len(task.pairs),
        "withheld_pairs": int((task.in_part("withheld") & (records.grade >= threshold)).sum()),
        "leaks": _count_leaks(texts, task),
        "exact_leaks": _count_leaks(exact_texts(records), task),
        "leaked_share": _leaked_shares(texts, task.in_part("test"), task.in_part("train")),
        "components": _count_components(texts),
        "row_split": naive_split_leaks(texts, float(task.in_part("test").mean()), seed),
    }


def _audit_folds(records: Records, task: Task, threshold: float, protocol: str, seed: int) -> dict[str, Any]:
    """Audit all folds together: leaks are summed over the folds, and the sizes of training are averaged.

    The entry `folds` of the result holds each fold's counts; `test` there means the queries that the fold holds out.
    """
    whole = audit(records, replace(task, folds=()), threshold, protocol, seed)
    folds = [audit(records, fold.learning, threshold, protocol, seed) for fold in task.folds]
    for kind in ("queries", "records", "documents"):
        trained = {name for fold in folds for name in fold[kind]} - set(HELD_OUT)
        means = {name: _average(fold[kind].get(name, 0) for fold in folds) for name in PARTS if name in trained}
        whole[kind] = whole[kind] | means
    for kind in ("leaks", "exact_leaks"):
        whole[kind] = {name: sum(fold[kind][name] for fold in folds) for name in whole[kind]}
    counts = ("queries", "training_pairs", "withheld_pairs", "leaks")
    return {
        **whole,
        "training_pairs": _average(fold["training_pairs"] for fold in folds),
        "withheld_pairs": _average(fold["withheld_pairs"] for fold in folds),
        "leaked_share": {
            name: sum(fold["leaked_share"][name] * fold["records"]["test"] for fold in folds) / len(records)
            for name in whole["leaked_share"]
        },
        "folds": [{name: fold[name] for name in counts} for fold in folds],
    }


def _average(counts: Iterable[int]) -> int:
    """Average counts over the folds, rounded to a whole number."""
    return round(mean(counts))


def normalised_texts(records: Records) -> dict[str, NDArray[np.int64]]:
    """Give each record a number for its query's and for its document's normalised text: equal texts, equal numbers."""
    return {
        "queries": records.normalised_queries[records.query],
        "documents": records.normalised_documents[records.document],
    }


def exact_texts(records: Records) -> dict[str, NDArray[np.int64]]:
    """Give each record a number for its query's and for its document's exact text: equal texts, equal numbers."""
    return {"queries": records.query, "documents": same_letters(records.documents)[records.document]}


def _count_leaks(texts: dict[str, NDArray[np.int64]], task: Task) -> dict[str, int]:
    """Count the distinct texts of the validation and of the test split that are also in training."""
    return {
        f"{part} {what} in training": int(
            (mark_texts(values, task.in_part(part)) & mark_texts(values, task.in_part("train"))).sum()
        )
        for part in reversed(HELD_OUT)
        for what, values in texts.items()
    }


def _leaked_shares(
    texts: dict[str, NDArray[np.int64]], test: NDArray[np.bool_], train: NDArray[np.bool_]
) -> dict[str, float]:
    """Compute the shares of test records whose query, or whose document, is also in training."""
    shares = {}
    for what, name in (("queries", "query"), ("documents", "document")):
        seen = mark_texts(texts[what], train)[texts[what][test]]
        shares[f"test records whose {name} is in training"] = float(seen.mean()) if test.any() else 0.0
    return shares


def naive_split_leaks(texts: dict[str, NDArray[np.int64]], share: float, seed: int) -> dict[str, float]:
    """Simulate a random split by row: return the shares of test records whose query, or document, is in training."""
    test = drawn_by_row(len(texts["queries"]), share, seed)
    return _leaked_shares(texts, test, ~test)


def drawn_by_row(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Draw at random which records a naive split by row would put into test: a mask with at least one record."""
    test = np.zeros(count, dtype=bool)
    test[np.random.default_rng(seed).permutation(count)[: max(1, round(share * count))]] = True
    return test


def _count_components(texts: dict[str, NDArray[np.int64]]) -> dict[str, float]:
    """Count the connected components of the graph of queries and documents, and the largest one's share of records."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    query, document = texts["queries"], texts["documents"]
    queries, nodes = int(query.max()) + 1, int(query.max()) + int(document.max()) + 2
    edges = coo_array((np.ones(len(query), dtype=np.int8), (query, document + queries)), shape=(nodes, nodes))
    count, component = connected_components(edges, directed=False)
    return {"count": count, "largest_share": float(np.bincount(component[query]).max() / len(query))}
