"""Splits records into train, validation and test, by one of three protocols or the source's own column.

`leak-free`: a query's part depends only on a hash of its normalised text and the seed, so row order does not matter,
and old queries keep their part when the table grows. A document judged for a validation or test query is withheld from
training: records that pair it with a training query are labelled `withheld`. So training shares no query and no
document with a held-out part, even if nearly all queries and documents are one connected component.

`by-query`: the same without withholding. `published`: by record, as in the original experiment: `shuffle(seed=42)`, the
first 25,000, `train_test_split(0.2, seed=42)`; there is no validation part, and the remaining records are `unused`.
"""

from __future__ import annotations

import hashlib
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.text import normalise_text
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.data.records import Records
    from nestvec.settings import DataSettings, SplitSettings

FEWEST_QUERIES = 20
HELD_OUT = ("validation", "test")
SPLITS = ("train", *HELD_OUT)
PARTS = (*SPLITS, "withheld", "unused")  # a record's part is an index into these: a byte, as there may be many records
TRAIN, VALIDATION, TEST, WITHHELD, UNUSED = range(len(PARTS))
PUBLISHED_SEED, PUBLISHED_RECORDS, PUBLISHED_TEST = 42, 25_000, 0.2
_SPELLINGS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing"),
}


def split_records(records: Records, data: DataSettings, settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Assign every record to a part.

    Args:
        records: n records.
        data: the column of the source's own split, and the largest number of records.
        settings: the protocol and its shares.
        seed: decides which queries are held out; the published protocol uses its own.

    Returns:
        (n,) indices into `PARTS`: train, validation, test, withheld or unused.

    Raises:
        InputError: there are too few queries, or the source's own labels are unknown.
    """
    if records.labels is not None:
        return _split_by_labels(records, data.split_column or "", settings, seed)
    if settings.protocol == "published":
        return split_published(len(records), data.max_records or PUBLISHED_RECORDS)
    if len(records.queries) < FEWEST_QUERIES:
        wanted = f"at least {FEWEST_QUERIES} distinct queries"
        raise InputError(f"only {len(records.queries)} queries are left to split", wanted)
    return _PROTOCOLS[settings.protocol](records, settings, seed)


def split_published(count: int, limit: int = PUBLISHED_RECORDS) -> NDArray[np.int8]:
    """Reproduce the original experiment's split by record, as the `datasets` library draws it.

    Args:
        count: n, the number of records of the whole table in its own order.
        limit: how many of these records the experiment uses.

    Returns:
        (n,) indices into `PARTS`: train, test, or unused.
    """
    chosen = np.random.default_rng(PUBLISHED_SEED).permutation(count)[:limit]
    order = chosen[np.random.default_rng(PUBLISHED_SEED).permutation(len(chosen))]
    tested = ceil(PUBLISHED_TEST * len(chosen))
    parts = np.full(count, UNUSED, dtype=np.int8)
    parts[order[:tested]], parts[order[tested:]] = TEST, TRAIN
    return parts


def _split_leak_free(records: Records, settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Split by query, and withhold training records whose document is also judged for a held-out query."""
    return withhold(_split_by_query(records, settings, seed), records.normalised_documents[records.document])


def withhold(parts: NDArray[np.int8], document: NDArray[np.int64]) -> NDArray[np.int8]:
    """Label training records `withheld` if a held-out query has their document; `document` holds (n,) text numbers."""
    seen = mark_texts(document, parts != TRAIN)
    return np.where((parts == TRAIN) & seen[document], np.int8(WITHHELD), parts)


def _split_by_query(records: Records, settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Put each query with all its records into one part."""
    shares = np.array([hash_to_share(text, seed) for text in records.queries])
    validation, test = settings.shares
    limits = [test, test + validation]
    part = np.array([TEST, VALIDATION, TRAIN], dtype=np.int8)[np.searchsorted(limits, shares, side="right")]
    parts: NDArray[np.int8] = part[records.query]
    return parts


def _split_by_labels(records: Records, column: str, settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Use the source's own split; if it has no validation part, take one from the training queries.

    The validation share of `settings` applies to the training queries. Training records whose document is also judged
    for a validation query are withheld, as under `leak-free`.
    """
    parts = _read_labels(records.labels or (), column)
    if (parts == VALIDATION).any() or not ((parts == TRAIN).any() and (parts == TEST).any()):
        return parts
    shares = np.array([hash_to_share(text, seed) for text in records.queries])[records.query]
    parts = np.where((parts == TRAIN) & (shares < settings.shares[0]), np.int8(VALIDATION), parts)
    document = records.normalised_documents[records.document]
    chosen = mark_texts(document, parts == VALIDATION)
    return np.where((parts == TRAIN) & chosen[document], np.int8(WITHHELD), parts)


def _read_labels(labels: Sequence[str], column: str) -> NDArray[np.int8]:
    """Convert the source's own labels to parts: (n,) indices into `PARTS`; InputError for an unknown label."""
    parts = {label: read_label(label) for label in sorted(set(labels))}
    for label, part in parts.items():
        if part is None:
            raise InputError(f"--split-column {column} holds {label!r}", "train, validation or test", column=column)
    rows = {label: SPLITS.index(part) for label, part in parts.items() if part is not None}
    return np.array([rows[label] for label in labels], dtype=np.int8)


def read_label(label: str) -> str | None:
    """Return the part that a label names: train, validation or test; None for any other label."""
    word = label.strip().lower()
    return next((name for name, spellings in _SPELLINGS.items() if word in spellings), None)


def mark_texts(texts: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark which of t texts the chosen records have, given the text number of each of n records: (t,) mask."""
    marked = np.zeros(int(texts.max(initial=-1)) + 1, dtype=bool)
    marked[texts[chosen]] = True
    return marked


def hash_to_share(text: str, seed: int) -> float:
    """Hash a normalised text and the seed to a number in [0, 1), uniformly distributed over texts."""
    digest = hashlib.sha256(f"{seed}\0{normalise_text(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


_PROTOCOLS: dict[str, Callable[[Records, SplitSettings, int], NDArray[np.int8]]] = {
    "leak-free": _split_leak_free,
    "by-query": _split_by_query,
}
