"""Finds queries that are documents themselves, as in collections that search for counter-arguments or duplicates.

Such a query finds itself first, which says nothing about a system, so rankings leave that document out, as BEIR's do.
Equal ids alone are not enough: query 7 and document 7 may be unrelated. The document must also contain the query's
text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.many_texts import same_text
from nestvec.data.source import Finding
from nestvec.data.text import normalise_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.data.records import Records

_EXAMPLES = 3


def find_own_documents(
    query_ids: Sequence[str], queries: Sequence[str], document_ids: Sequence[str], documents: Sequence[str]
) -> NDArray[np.int64]:
    """Find queries that are documents of the catalogue themselves.

    Args:
        query_ids: q ids.
        queries: their texts.
        document_ids: d ids.
        documents: their texts.

    Returns:
        (q,) the row of the document that has the query's id and holds its text; -1 where there is none.
    """
    asked = set(query_ids)
    rows = {name: row for row, name in enumerate(document_ids) if name in asked}
    own = np.full(len(queries), -1, dtype=np.int64)
    for query, (name, text) in enumerate(zip(query_ids, queries, strict=True)):
        row = rows.get(name, -1)
        if row >= 0 and normalise_text(text) in normalise_text(documents[row]):
            own[query] = row
    return own


def describe_own_documents(records: Records) -> list[Finding]:
    """Make findings about queries that are documents too, with the same id or with another id."""
    own = find_own_documents(records.query_ids, records.queries, records.document_ids, records.documents)
    alike = _find_alike(records)
    other = np.flatnonzero((own < 0) & (alike >= 0))
    findings = []
    if (own >= 0).any():
        queries = np.flatnonzero(own >= 0)
        examples = tuple(records.query_ids[query] for query in queries[:_EXAMPLES].tolist())
        action = "Left out of their own query's rankings and judgements: each would find itself first."
        findings.append(Finding("queries that are documents under the same id", len(queries), action, examples))
    if len(other):
        pairs = [(query, int(alike[query])) for query in other[:_EXAMPLES].tolist()]
        examples = tuple(f"{records.query_ids[query]}: document {records.document_ids[row]}" for query, row in pairs)
        action = "Kept: a document with the very words of the query ranks high for it."
        findings.append(Finding("queries whose text is a document under another id", len(other), action, examples))
    return findings


def _find_alike(records: Records) -> NDArray[np.int64]:
    """Find, for each query, the first document with the same normalised text: (q,) rows, -1 for none."""
    numbers = same_text((*records.documents, *records.queries))
    documents, queries = numbers[: len(records.documents)], numbers[len(records.documents) :]
    rows = np.full(int(numbers.max()) + 1, -1)
    rows[documents[::-1]] = np.arange(len(documents))[::-1]  # of several, numpy keeps the one assigned last
    return rows[queries]
