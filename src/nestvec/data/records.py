"""Judged records and the findings from reading them.

Queries, and documents, are identified by their id, or by their text if the source has no ids.
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
    """n judged records, each of a query, a document and a grade, over q distinct queries and d distinct documents.

    Attributes:
        queries: q texts, by first appearance.
        query_ids: q distinct ids: the source's own, or made from the text and so the same in every run.
        documents: d texts, by first appearance.
        document_ids: d distinct ids: the source's own, or made from the text.
        query: (n,) int64, row of `queries`.
        document: (n,) int64, row of `documents`.
        grade: (n,) float64, finite.
        labels: n labels of the source's own split; None if it has none.
        findings: what was merged, changed or looks odd.
        rejected: the bad rows that were set aside.
        sha256: the hash of the source's bytes, or the hub's commit.
        revision: the commit of a data set from the hub; None for other sources.
        synthetic: whether this is the built-in sample.
        titles_only: whether documents are headlines without a body.
        columns: settings that name the columns that were read; empty for the sample.
        unlisted: the grade of documents that are not listed for a query; None if the source lists low grades itself.
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
        """Number of records."""
        return len(self.grade)

    @cached_property
    def normalised_queries(self) -> NDArray[np.int64]:
        """A number for each query's text; texts that are equal after normalisation have the same number."""
        return same_text(self.queries)

    @cached_property
    def normalised_documents(self) -> NDArray[np.int64]:
        """A number for each document's text; texts that are equal after normalisation have the same number."""
        return same_text(self.documents)


def select_records(records: Records, rows: NDArray[np.int64]) -> Records:
    """Select records by their rows, with their queries and documents, and keep all unjudged documents."""
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
    """Write n records as Parquet: query_id, query, document_id, document, grade and split, from (n,) `labels`."""
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
    """Write the bad rows that were set aside (at least one) as Parquet; the columns are the fields of `Rejected`."""
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), path)
