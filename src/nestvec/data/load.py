"""Read a source into records: columns mapped, texts cleaned, every record checked, repeated judgements merged.

The same query and document judged more than once make one record with the mean grade; whatever is merged, changed or
looks odd is a `Finding` with a count and examples, never silent.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.columns import Columns, find_columns
from nestvec.data.records import Finding, Records, subset
from nestvec.data.sources import Source, open_source
from nestvec.data.text import cleaned
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.settings import DataSettings

LARGEST_GRADE = 1e6  # beyond it, gains in thousandths leave the range of TREC's integers
_EXAMPLES = 3


def load_records(settings: DataSettings, seed: int = 0) -> Records:
    """Read a source's records.

    Args:
        settings: the source, its columns, and how many records to take at most.
        seed: decides which, where `max_records` takes fewer than there are.

    Returns:
        The records and what was found on the way.

    Raises:
        InputError: the source cannot be read, a column is missing or unclear, or a record is not usable; names the row.
    """
    source = open_source(settings.source)
    columns = find_columns(source, settings)
    reading = Reading(source, columns)
    offset = 0
    for batch in source.batches(columns.all):
        reading.add(batch, source.first_row + offset)
        offset += batch.num_rows
    if offset == 0:
        raise InputError("holds no record", "a table with at least one record", file=source.name)
    records = reading.records()
    if settings.max_records is not None and settings.max_records < len(records):
        rows = np.random.default_rng(seed).permutation(len(records))[: settings.max_records]
        records = subset(records, np.sort(rows))
    return records


class Reading:
    """Collects batches into records; texts are kept once."""

    def __init__(self, source: Source, columns: Columns) -> None:
        self._source, self._columns = source, columns
        self._queries: dict[str, int] = {}
        self._documents: dict[str, int] = {}  # by id, or by text where there is no id
        self._texts: list[str] = []
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._changed: list[str] = []
        self._other_text: list[str] = []
        self._counts = {"changed": 0, "other text": 0}

    def add(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Check and take in a batch whose first record is the table's row `first_row`."""
        columns = self._columns
        query = self._text(batch, columns.query, first_row)
        parts = [self._text(batch, name, first_row) for name in columns.documents]
        document = _joined(columns, parts)
        grade = self._grade(batch, first_row)
        bad = [(_first(_blank(query)), columns.query), (_first(_all_blank(parts)), ",".join(columns.documents))]
        if columns.document_id is not None:
            ids = self._text(batch, columns.document_id, first_row)
            bad.append((_first(_blank(ids)), columns.document_id))
        row, column = min((entry for entry in bad if entry[0] >= 0), default=(-1, ""))
        if row >= 0:
            raise InputError("is empty", "text", file=self._source.name, row=first_row + row, column=column)
        queries = self._interned(query, self._queries)
        documents = (
            self._interned(document, self._documents, self._texts)
            if columns.document_id is None
            else self._identified(ids, document)
        )
        self._parts.append((queries, documents, grade))

    def _text(self, batch: pa.RecordBatch, column: str, first_row: int) -> pa.Array:
        """A column as text; null where there is no value."""
        values = batch.column(column)
        try:
            if pa.types.is_dictionary(values.type):
                values = values.dictionary_decode()
            return values.cast(pa.string())
        except (pa.ArrowException, ValueError) as error:
            raise InputError(
                f"cannot be read as text ({values.type})", "text", file=self._source.name, row=first_row, column=column
            ) from error

    def _grade(self, batch: pa.RecordBatch, first_row: int) -> NDArray[np.float64]:
        """The grades as finite numbers."""
        column = self._columns.grade
        values = batch.column(column)
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            values = pc.utf8_trim_whitespace(self._text(batch, column, first_row))
        try:
            numbers = values.cast(pa.float64())
        except pa.ArrowInvalid:
            numbers = pa.array([_number(text) for text in values.to_pylist()], pa.float64())
        grades: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
        wrong = _first(~(np.abs(grades) <= LARGEST_GRADE))  # a null is NaN here, which is not below anything
        if wrong >= 0:
            found = values[wrong].as_py()
            shown = "is empty" if found in (None, "") else f"is {str(found)[:60]!r}"
            raise InputError(shown, "a finite number", file=self._source.name, row=first_row + wrong, column=column)
        return grades

    def _clean(self, raw: list[str]) -> list[str]:
        """Cleaned texts; those that changed are counted by distinct text in a batch."""
        texts = [cleaned(text) for text in raw]
        for before, after in zip(raw, texts, strict=True):
            if before != after:
                self._counts["changed"] += 1
                _keep(self._changed, f"{before[:120]!r} → {after[:120]!r}")
        return texts

    def _interned(self, column: pa.Array, known: dict[str, int], texts: list[str] | None = None) -> NDArray[np.int64]:
        """Row numbers of a batch's texts among all distinct ones so far."""
        coded = column.dictionary_encode()
        rows = []
        for text in self._clean(coded.dictionary.to_pylist()):
            if text not in known:
                known[text] = len(known)
                if texts is not None:
                    texts.append(text)
            rows.append(known[text])
        taken: NDArray[np.int64] = np.array(rows, dtype=np.int64)[np.asarray(coded.indices)]
        return taken

    def _identified(self, ids: pa.Array, column: pa.Array) -> NDArray[np.int64]:
        """Row numbers of a batch's documents by id; an id keeps its first text."""
        rows = []
        coded = column.dictionary_encode()
        texts, places = self._clean(coded.dictionary.to_pylist()), coded.indices.to_numpy()
        for identifier, place in zip(ids.to_pylist(), places, strict=True):
            identifier, text = identifier.strip(), texts[place]
            row = self._documents.setdefault(identifier, len(self._texts))
            if row == len(self._texts):
                self._texts.append(text)
            elif self._texts[row] != text:
                self._counts["other text"] += 1
                _keep(self._other_text, f"{identifier}: {self._texts[row][:80]!r} and {text[:80]!r}")
            rows.append(row)
        return np.array(rows, dtype=np.int64)

    def records(self) -> Records:
        """Everything taken in, with repeated judgements merged."""
        query, document, grade = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        merged, findings = _merged(query, document, grade, (list(self._queries), self._texts))
        by_id = self._columns.document_id is not None
        return Records(
            queries=tuple(self._queries),
            query_ids=tuple("q" + _digest(text) for text in self._queries),
            documents=tuple(self._texts),
            document_ids=tuple(
                map(_trec_id, self._documents) if by_id else ("d" + _digest(text) for text in self._texts)
            ),
            query=merged[0],
            document=merged[1],
            grade=merged[2],
            findings=(*self._findings(), *findings),
            sha256=self._source.sha256,
            synthetic=self._source.synthetic,
        )

    def _findings(self) -> list[Finding]:
        """What was noted while reading."""
        found = [Finding(name, 1, action) for name, action in self._source.notes]
        if self._counts["changed"]:
            action = "HTML entities were decoded and runs of white space made one space."
            found.append(Finding("texts cleaned", self._counts["changed"], action, tuple(self._changed)))
        if self._counts["other text"]:
            action = "A document keeps the first text that its id came with."
            found.append(
                Finding(
                    "another text under one document id", self._counts["other text"], action, tuple(self._other_text)
                )
            )
        if self._columns.document_id is not None and (twins := len(self._texts) - len(set(self._texts))):
            action = "Kept: they rank side by side, and the split treats them as one document."
            found.append(Finding("documents whose text another id has too", twins, action))
        return found


def _merged(
    query: NDArray[np.int64],
    document: NDArray[np.int64],
    grade: NDArray[np.float64],
    texts: tuple[list[str], list[str]],
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], list[Finding]]:
    """One record per query and document in order of first appearance, its grade the mean, and what that merged."""
    keys = query * len(texts[1]) + document
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(keys):
        return (query, document, grade), []
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    np.minimum.at(low, group, grade)
    np.maximum.at(high, group, grade)
    mean = np.where(low == high, low, np.bincount(group, weights=grade) / np.bincount(group))
    same, conflict = (np.bincount(group) > 1) & (low == high), low < high
    order = np.argsort(first)

    def finding(mask: NDArray[np.bool_], name: str, action: str, word: Callable[[Any], str]) -> Finding:
        chosen = [entry for entry in order if mask[entry]][:_EXAMPLES]
        examples = [
            f"{texts[0][query[first[entry]]]!r} with {texts[1][document[first[entry]]][:80]!r}{word(entry)}"
            for entry in chosen
        ]
        return Finding(name, int((np.bincount(group) - 1)[mask].sum()), action, tuple(examples))

    findings = []
    if same.any():
        findings.append(finding(same, "judged again with the same grade", "Counted once.", lambda _: ""))
    if conflict.any():
        action = "The record's grade is the mean."
        name = "judged again with another grade"
        findings.append(finding(conflict, name, action, lambda entry: f": {low[entry]:g} to {high[entry]:g}"))
    kept = first[order]
    return (query[kept], document[kept], mean[order]), findings


def _joined(columns: Columns, parts: list[pa.Array]) -> pa.Array:
    """The documents' texts: the template with its columns filled in, a missing value as nothing."""
    by_name = dict(zip(columns.documents, parts, strict=True))
    pieces = re.split(r"\{([^{}]*)\}", columns.template)
    filled = [by_name[piece] if place % 2 else pa.scalar(piece) for place, piece in enumerate(pieces)]
    return pc.binary_join_element_wise(*filled, "", null_handling="replace", null_replacement="")


def _blank(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts are null or hold nothing but white space."""
    blank: NDArray[np.bool_] = np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))) == 0
    return blank


def _all_blank(parts: list[pa.Array]) -> NDArray[np.bool_]:
    """Which rows have no text in any of the columns."""
    blank: NDArray[np.bool_] = np.all([_blank(part) for part in parts], axis=0)
    return blank


def _first(mask: NDArray[np.bool_]) -> int:
    """Where the first True is, or -1."""
    return int(np.argmax(mask)) if mask.any() else -1


def _number(text: str | None) -> float | None:
    """A text as a number, or None."""
    try:
        return float(pa.scalar(text, pa.string()).cast(pa.float64()).as_py()) if text else None
    except pa.ArrowInvalid:
        return None


def _keep(examples: list[str], example: str) -> None:
    """Note an example unless there are enough."""
    if len(examples) < _EXAMPLES:
        examples.append(example)


def _digest(text: str) -> str:
    """16 hex digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _trec_id(identifier: str) -> str:
    """An id as TREC files can hold it: white space percent-encoded, and the percent sign, so that ids stay distinct."""
    return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), identifier)
