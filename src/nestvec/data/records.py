"""Judged records, told apart by query text and document, and what was found while reading them.

A query is a distinct text with all its judgements. Documents are told apart by id, or by text where there is no id.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.many_texts import same_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.data.source import Finding, Rejected


@dataclass(frozen=True)
class Records:
    """n judged records over q queries and d documents; no two records share both.

    Attributes:
        queries: q distinct texts, by first appearance.
        query_ids: q ids, made from the text, so the same in every run.
        documents: d texts, by first appearance.
        document_ids: d distinct ids without white space.
        query: (n,) int64, row of `queries`.
        document: (n,) int64, row of `documents`.
        grade: (n,) float64, finite.
        labels: n labels of the source's own split, where it has one.
        findings: what was merged, changed or looks odd.
        rejected: rows that were set aside.
        sha256: of the source's bytes, or the hub's commit.
        revision: the hub's commit that was read, if it is from there.
        synthetic: whether this is the built-in sample.
        titles_only: whether documents are headlines without a body.
        columns: settings that name the columns that were read; none for the sample.
        unlisted: the grade of whatever is not listed, where that is known.
        estimated: whether the grades were estimated from clicks.
    """

    queries: tuple[str, ...]
    query_ids: tuple[str, ...]
    documents: tuple[str, ...]
    document_ids: tuple[str, ...]
    query: NDArray[np.int64]
    document: NDArray[np.int64]
    grade: NDArray[np.float64]
    labels: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    sha256: str = ""
    revision: str | None = None
    synthetic: bool = False
    titles_only: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    unlisted: float | None = None
    estimated: bool = False

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.grade)

    @cached_property
    def normalised_queries(self) -> NDArray[np.int64]:
        """(q,) numbers of the queries' texts; texts that are the same once normalised have the same number."""
        return same_text(self.queries)

    @cached_property
    def normalised_documents(self) -> NDArray[np.int64]:
        """(d,) numbers of the documents' texts; texts that are the same once normalised have the same number."""
        return same_text(self.documents)


def select_records(records: Records, rows: NDArray[np.int64]) -> Records:
    """The records at `rows` with the queries and documents that they name, and the documents that no record names."""
    queries, query = np.unique(records.query[rows], return_inverse=True)
    unjudged = np.setdiff1d(np.arange(len(records.documents)), records.document)
    documents = np.union1d(records.document[rows], unjudged)
    document = np.searchsorted(documents, records.document[rows])
    return replace(
        records,
        queries=tuple(records.queries[row] for row in queries),
        query_ids=tuple(records.query_ids[row] for row in queries),
        documents=tuple(records.documents[row] for row in documents),
        document_ids=tuple(records.document_ids[row] for row in documents),
        query=query,
        document=document,
        grade=records.grade[rows],
        labels=tuple(records.labels[row] for row in rows) if records.labels else None,
    )


def save_records(records: Records, labels: NDArray[np.str_], path: Path) -> None:
    """Write n records as Parquet: query_id, query, document_id, document, grade, and of `labels` (n,) the split."""
    import pyarrow.parquet as pq

    def take_texts(texts: Sequence[str], rows: NDArray[np.int64]) -> pa.Array:
        coded = pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), pa.array(texts, pa.string()))
        return coded.cast(pa.string())

    table = pa.table(
        {
            "query_id": take_texts(records.query_ids, records.query),
            "query": take_texts(records.queries, records.query),
            "document_id": take_texts(records.document_ids, records.document),
            "document": take_texts(records.documents, records.document),
            "grade": records.grade,
            "split": pa.array(labels.tolist(), pa.string()),
        }
    )
    pq.write_table(table, path)


def save_rejected(rows: Sequence[Rejected], path: Path) -> None:
    """Write the rows that were set aside, at least one, as Parquet whose columns are the fields of `Rejected`."""
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), path)
