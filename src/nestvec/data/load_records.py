"""Reads a source into records: maps columns, cleans texts, checks every record, and merges repeated judgements.

Ids are kept byte for byte: two ids are the same only if their bytes are equal.

A query and a document that were judged more than once become one record. Everything that is merged, changed or looks
odd is reported as a `Finding` with a count and examples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data.columns import Columns
from nestvec.data.find_columns import find_columns
from nestvec.data.many_texts import clean_texts
from nestvec.data.merge import merge_judgements
from nestvec.data.open_grader import open_grader
from nestvec.data.records import Records, select_records
from nestvec.data.self_retrieval import describe_own_documents
from nestvec.data.source import Batch, Finding, Rejects, Source, read_rows
from nestvec.data.sources import open_source
from nestvec.data.text_table import NumberedTexts, TextTable
from nestvec.data.values import all_blank, clean_column, is_blank, join_columns, text_column
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nestvec.settings import DataSettings

_EXAMPLES = 3
_NEAR_EMPTY = 3  # a text with fewer characters than this is nearly empty
_NOTES = {  # findings that are counted while reading, and what is done about them
    "texts cleaned": "HTML entities were decoded and runs of white space made one space.",
    "texts that are nearly empty": "Kept as they are.",
    "another text under one query id": "A query keeps the first text that its id came with.",
    "queries whose text another id has too": "Kept: each is a query of its own; the split keeps them together.",
    "another text under one document id": "A document keeps the first text that its id came with.",
    "documents whose text another id has too": "Kept: they rank side by side; the split takes them as one document.",
    "documents without text left out": "They are not in the corpus.",
}


def load_records(settings: DataSettings, seed: int = 0, *, merge: bool = True) -> Records:
    """Read a source's records.

    Args:
        settings: the source, its columns, how to handle bad rows and conflicts, and the largest number of records.
        seed: decides which records are drawn if `max_records` is less than there are.
        merge: whether repeated judgements become one record; False keeps every row, for protocols that count rows.

    Returns:
        The records, with the findings.

    Raises:
        InputError: the source cannot be read, a column is missing or ambiguous, or a record is bad; names the row.
    """
    source = open_source(settings)
    columns = find_columns(source, settings)
    rejects = Rejects(settings.on_bad_row)
    reading = Reading(source, columns, settings, rejects)
    for batch in read_rows(source, columns.names, rejects):
        reading.add_batch(batch)
    for documents in source.documents() if source.documents else ():
        reading.add_documents(documents)
    records = reading.make_records(merge=merge)
    if settings.max_records is not None and settings.max_records < len(records):
        rows = np.random.default_rng(seed).permutation(len(records))[: settings.max_records]
        records = select_records(records, np.sort(rows))
    return records


class Reading:
    """Collects the batches of a source into records; each distinct text is kept once.

    Args:
        source: the opened source.
        columns: the columns of query, document, grade and so on.
        settings: the range of grades, and how to handle conflicts.
        rejects: raises for bad rows or sets them aside.
    """

    def __init__(self, source: Source, columns: Columns, settings: DataSettings, rejects: Rejects) -> None:
        self._source, self._columns, self._settings, self._rejects = source, columns, settings, rejects
        self._grader = open_grader(source, columns, settings)
        self._queries, self._documents = TextTable("query"), TextTable("document")
        self._grades: list[NDArray[np.float64]] = []
        self._labels: list[list[str]] = []
        self._seen: Counter[str] = Counter()  # of what `_NOTES` names
        self._examples: dict[str, list[str]] = {name: [] for name in _NOTES}

    def add_batch(self, batch: Batch) -> None:
        """Check and add the rows of a batch; InputError if a row is bad and the policy is `stop`."""
        columns = self._columns
        values = {name: clean_column(batch, name, self._note_cleaning) for name in columns.text_names}
        ids = {name: text_column(batch, name) for name in columns.id_names}
        parts = [values[name] for name in columns.documents]
        grades = self._grader.read(batch)
        wrong_grade = np.any(np.isnan(grades), axis=1)
        empty = [(is_blank(values[columns.query]), columns.query), (all_blank(parts), ",".join(columns.documents))]
        empty += [(is_blank(ids[name]), name) for name in columns.id_names]
        good = self._refuse_bad_rows(batch, empty, wrong_grade)
        if not good.any():
            return
        if not good.all():
            mask = pa.array(good)
            values, ids = ({name: column.filter(mask) for name, column in part.items()} for part in (values, ids))
        texts = join_columns(columns.template, {name: values[name] for name in columns.documents})
        self._queries.add(values[columns.query], ids.get(columns.query_id or ""))
        self._documents.add(texts, ids.get(columns.document_id or ""))
        self._grades.append(grades[good])
        if columns.split:
            self._labels.append(ids[columns.split].to_pylist())

    def add_documents(self, batch: pa.RecordBatch) -> None:
        """Add documents (`id` and `text`), judged or not; documents without text are left out and counted."""
        texts = clean_texts(batch.column("text").cast(pa.string()))
        blank = is_blank(texts)
        self._seen["documents without text left out"] += int(blank.sum())
        self._documents.add(texts.filter(pa.array(~blank)), batch.column("id").filter(pa.array(~blank)))

    def _refuse_bad_rows(
        self, batch: Batch, empty: list[tuple[NDArray[np.bool_], str]], wrong_grade: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Reject the bad rows of a batch in order, each with its first problem; return the mask of good rows: (n,)."""
        bad = np.any([wrong_grade, *(mask for mask, _ in empty)], axis=0)
        for index in np.flatnonzero(bad).tolist():
            content = {name: batch.values.column(name)[index].as_py() for name in self._columns.names}
            column = next((name for mask, name in empty if mask[index]), None)
            if column is not None:
                error = InputError("is empty", "text", file=batch.file, row=int(batch.rows[index]), column=column)
            else:
                error = self._grader.explain(batch, index)
            self._rejects.refuse(error, str(content))
        good: NDArray[np.bool_] = ~bad
        return good

    def _note(self, name: str, example: str) -> None:
        self._seen[name] += 1
        if len(self._examples[name]) < _EXAMPLES:
            self._examples[name].append(example)

    def _note_cleaning(self, before: str, after: str) -> None:
        if before != after:
            self._note("texts cleaned", f"{before[:120]!r} → {after[:120]!r}")
        if 0 < len(after) < _NEAR_EMPTY:
            self._note("texts that are nearly empty", repr(after))

    def _number_texts(self) -> Iterator[NumberedTexts]:
        """Number the distinct queries and documents; InputError if most ids of a column have several texts."""
        for table, column in ((self._queries, self._columns.query_id), (self._documents, self._columns.document_id)):
            numbered = table.number()
            if column is not None:
                numbered.refuse_useless_ids(column, self._source.name)
            yield numbered

    def make_records(self, *, merge: bool) -> Records:
        """Make the records; InputError if there are none, or if grades conflict and `conflicts` is `error`."""
        if not self._grades:
            problem = "holds no usable record" if self._rejects.rows else "holds no record"
            raise InputError(problem, "a table with at least one record", file=self._source.name)
        queries, documents = self._number_texts()
        pa.default_memory_pool().release_unused()  # Arrow would keep what telling texts apart took
        values = np.concatenate(self._grades)
        query, document = (table.numbers[: len(values)].astype(np.int64) for table in (queries, documents))
        rows, grade, findings = self._grader.settle(values, query, document)
        if merge:
            pairs, conflicts = (query[rows], document[rows]), self._settings.conflicts
            kept, grade, merged = merge_judgements(*pairs, grade, queries.texts, documents.texts, conflicts)
            rows, findings = rows[kept], [*findings, *merged]
        labels = [label for part in self._labels for label in part]
        records = Records(
            queries=tuple(queries.texts),
            query_ids=tuple(queries.ids or _make_ids(queries.texts, "q")),
            documents=tuple(documents.texts),
            document_ids=tuple(documents.ids or _make_ids(documents.texts, "d")),
            query=query[rows],
            document=document[rows],
            grade=grade,
            labels=tuple(labels[row] for row in rows) if labels else None,
            findings=(*self._collect_findings(queries, documents), *findings),
            rejected=tuple(self._rejects.rows),
            sha256=self._source.sha256,
            revision=self._source.revision,
            synthetic=self._source.synthetic,
            titles_only=self._columns.titles_only,
            columns={} if self._source.synthetic else self._columns.as_settings,
            unlisted=self._grader.unlisted,
            estimated=self._grader.estimated,
        )
        own = describe_own_documents(records) if queries.ids else []
        return replace(records, findings=(*records.findings, *own))

    def _collect_findings(self, queries: NumberedTexts, documents: NumberedTexts) -> list[Finding]:
        """Collect the findings from opening and reading the source."""
        for table in (queries, documents):
            self._seen[f"another text under one {table.kind} id"] = table.differing
            self._examples[f"another text under one {table.kind} id"] = table.examples
        self._seen["queries whose text another id has too"] = queries.repeated
        self._seen["documents whose text another id has too"] = documents.repeated
        findings = [*self._columns.findings, *self._source.findings]
        for name, action in _NOTES.items():
            if self._seen[name]:
                findings.append(Finding(name, self._seen[name], action, tuple(self._examples[name])))
        if self._rejects.rows:
            examples = tuple(f"row {row.row}: {row.column} {row.problem}" for row in self._rejects.rows[:_EXAMPLES])
            action = "Set aside in data/rejected.parquet; they are not used."
            findings.append(Finding("bad rows", len(self._rejects.rows), action, examples))
        return findings


def _make_ids(texts: list[str], letter: str) -> list[str]:
    """Make ids from texts for a source without ids: a letter and 16 hex digits of the text's SHA-256."""
    return [letter + hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
