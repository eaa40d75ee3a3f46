"""Split queries into train, validation and test without leaks, and audit the result.

A query's place follows from a hash of its normalised text and the seed alone, so row order doesn't matter and a table
that grows keeps its old queries where they were. A document judged for a validation or test query is withheld from
training: records that pair it with a training query are labelled `withheld`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.text import normalised
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.data.records import Records
    from nestvec.settings import SplitSettings

FEWEST_QUERIES = 20
HELD_OUT = ("validation", "test")
SPLITS = ("train", *HELD_OUT)
WITHHELD = "withheld"


@dataclass(frozen=True)
class Split:
    """Where each record belongs.

    Attributes:
        labels: (n,) `train`, `validation`, `test` or `withheld` per record.
        query_labels: (q,) `train`, `validation` or `test` per query.
    """

    labels: NDArray[np.str_]
    query_labels: NDArray[np.str_]


def leak_free_split(records: Records, relevant: NDArray[np.bool_], settings: SplitSettings, seed: int) -> Split:
    """Divide the queries by hash and withhold what would leak.

    Args:
        records: n records over q queries.
        relevant: (n,) whether the record's grade reaches the threshold.
        settings: shares of the queries to hold out.
        seed: decides which.

    Returns:
        A label per record and per query.

    Raises:
        InputError: too few queries, or a part is left without a relevant record.
    """
    if len(records.queries) < FEWEST_QUERIES:
        raise InputError(
            f"{len(records.queries)} queries are left to split", f"at least {FEWEST_QUERIES} distinct queries"
        )
    place = np.array([_place(text, seed) for text in records.queries])
    limits = [settings.test, settings.test + settings.validation]
    query_labels = np.array(["test", "validation", "train"])[np.searchsorted(limits, place, side="right")]
    labels = query_labels[records.query]
    document = same_text(records.documents)[records.document]
    held = np.unique(document[labels != "train"])
    labels = np.where((labels == "train") & np.isin(document, held), WITHHELD, labels)
    for name in SPLITS:
        if not (relevant & (labels == name)).any():
            raise InputError(
                f"the {name} split holds no relevant record", "more judged queries, or other shares or threshold"
            )
    return Split(labels, query_labels)


def same_text(texts: Sequence[str]) -> NDArray[np.int64]:
    """(t,) a number per text that is the same for texts that are the same once normalised."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(normalised(text), len(known)) for text in texts], dtype=np.int64)


def audit_split(records: Records, relevant: NDArray[np.bool_], split: Split, seed: int) -> dict[str, Any]:
    """Count what is where and what of the held-out parts is seen in training, by normalised text.

    Args:
        records: n records over q queries.
        relevant: (n,) whether the record's grade reaches the threshold.
        split: where each record belongs.
        seed: decides the naive split by row.

    Returns:
        What `data/audit.json` holds: sizes per split, leaks (all zero for this protocol, counted here afresh), what the
        withholding cost, and what a naive split by row would have leaked.
    """
    query, document = same_text(records.queries)[records.query], same_text(records.documents)[records.document]
    labels = split.labels
    trained = labels == "train"
    names = (*SPLITS, WITHHELD)
    leaks = {
        f"{part} {what} in training": len(np.intersect1d(values[labels == part], values[trained]))
        for part in ("test", "validation")
        for what, values in (("queries", query), ("documents", document))
    }
    return {
        "protocol": "leak-free",
        "queries": {name: int((split.query_labels == name).sum()) for name in SPLITS},
        "records": {name: int((labels == name).sum()) for name in names},
        "documents": {name: len(np.unique(document[labels == name])) for name in names},
        "training_pairs": int((trained & relevant).sum()),
        "withheld_pairs": int(((labels == WITHHELD) & relevant).sum()),
        "leaks": leaks,
        "row_split": _row_split(query, document, float((split.query_labels == "test").mean()), seed),
    }


def _row_split(query: NDArray[np.int64], document: NDArray[np.int64], share: float, seed: int) -> dict[str, float]:
    """What a split by row with as large a test part would leak."""
    test = np.zeros(len(query), dtype=bool)
    test[np.random.default_rng(seed).permutation(len(query))[: max(1, round(share * len(query)))]] = True
    return {
        f"test records whose {what} is in training": float(np.isin(values[test], values[~test]).mean())
        for what, values in (("query", query), ("document", document))
    }


def _place(text: str, seed: int) -> float:
    """0 … 1, evenly spread over texts."""
    digest = hashlib.sha256(f"{seed}\0{normalised(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
