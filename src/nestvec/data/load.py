"""Read a source into records: columns mapped, texts cleaned, every record checked, repeated judgements merged.

The same query and document judged more than once make one record with the mean grade; whatever is merged, changed or
looks odd is a `Finding` with a count and examples, never silent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.columns import Columns, find_columns
from nestvec.data.merge import merged
from nestvec.data.records import Finding, Records, subset
from nestvec.data.source import Batch, Rejects, Source
from nestvec.data.sources import open_source
from nestvec.data.text import cleaned, trec_id
from nestvec.data.values import all_blank, blank, joined, number, text_column
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.settings import DataSettings

LARGEST_GRADE = 1e6  # beyond it, gains in thousandths leave the range of TREC's integers
_EXAMPLES = 3
_NEAR_EMPTY = 3  # a text with fewer letters than this
_NOTES = {  # what is noted while reading, and what is done about it
    "texts cleaned": "HTML entities were decoded and runs of white space made one space.",
    "texts that are nearly empty": "Kept as they are.",
    "another text under one document id": "A document keeps the first text that its id came with.",
    "documents whose text another id has too": "Kept: they rank side by side; the split takes them as one document.",
    "documents without text left out": "They are not in the corpus.",
}


@dataclass
class Note:
    """Something counted while reading.

    Attributes:
        action: what is done about it.
        seen: how often so far.
        examples: the first few.
    """

    action: str
    seen: int = 0
    examples: list[str] = field(default_factory=list)

    def count(self, times: int, example: str | None = None) -> None:
        """Count it.

        Args:
            times: how often.
            example: the case at hand, in words.
        """
        self.seen += times
        if example is not None and len(self.examples) < _EXAMPLES:
            self.examples.append(example)


def load_records(settings: DataSettings, seed: int = 0, *, merge: bool = True) -> Records:
    """Read a source's records.

    Args:
        settings: the source, its columns, what to do with bad rows and conflicts, and how many records to take at most.
        seed: decides which, where `max_records` takes fewer than there are.
        merge: whether repeated judgements make one record; False keeps every row, for protocols that count rows.

    Returns:
        The records and what was found on the way.

    Raises:
        InputError: the source cannot be read, a column is missing or unclear, or a record is not usable; names the row.
    """
    source = open_source(settings)
    columns = find_columns(source, settings)
    rejects = Rejects(settings.on_bad_row)
    reading = Reading(source, columns, settings, rejects)
    for batch in source.read(columns.all, rejects):
        reading.add(batch)
    for documents in source.documents() if source.documents else ():
        reading.add_documents(documents)
    records = reading.records(merge=merge)
    if settings.max_records is not None and settings.max_records < len(records):
        rows = np.random.default_rng(seed).permutation(len(records))[: settings.max_records]
        records = subset(records, np.sort(rows))
    return records


class Reading:
    """Collects batches into records; texts are kept once.

    Args:
        source: what is read.
        columns: which column is which.
        settings: the range of grades and what to do with conflicts.
        rejects: decides over bad rows.
    """

    def __init__(self, source: Source, columns: Columns, settings: DataSettings, rejects: Rejects) -> None:
        self._source, self._columns, self._settings, self._rejects = source, columns, settings, rejects
        self._queries: dict[str, int] = {}
        self._documents: dict[str, int] = {}  # by id, or by text where there is no id
        self._texts: list[str] = []
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._labels: list[list[str]] = []
        self._notes = {name: Note(action) for name, action in _NOTES.items()}

    def add(self, batch: Batch) -> None:
        """Check and take in a batch.

        Args:
            batch: rows of the columns wanted.

        Raises:
            InputError: a row is bad and the policy is to stop.
        """
        columns, values = self._columns, {name: self._cleaned(batch, name) for name in self._columns.texts}
        parts = [values[name] for name in columns.documents]
        grades, wrong = self._grades(batch)
        bad = [(blank(values[columns.query]), columns.query), (all_blank(parts), ",".join(columns.documents))]
        bad += [(blank(values[name]), name) for name in (columns.document_id, columns.split) if name]
        kept = self._sift(batch, bad, wrong)
        if not kept.any():
            return
        mask = pa.array(kept)
        values = {name: column.filter(mask) for name, column in values.items()}
        queries = self._interned(values[columns.query], self._queries)
        document = joined(columns.template, {name: values[name] for name in columns.documents})
        if columns.document_id is None:
            documents = self._interned(document, self._documents, self._texts)
        else:
            documents = self._identified(values[columns.document_id], document)
        self._parts.append((queries, documents, grades[kept]))
        if columns.split:
            self._labels.append(values[columns.split].to_pylist())

    def add_documents(self, batch: pa.RecordBatch) -> None:
        """Take in documents that may have no judgement.

        Args:
            batch: their `id` and `text`; one without text is left out and counted.
        """
        texts = pa.array([cleaned(text) for text in batch.column("text").to_pylist()], pa.string())
        kept = pa.array(~blank(texts))
        self._notes["documents without text left out"].count(int(batch.num_rows - np.asarray(kept).sum()))
        self._identified(batch.column("id").filter(kept), texts.filter(kept))

    def _sift(
        self, batch: Batch, bad: list[tuple[NDArray[np.bool_], str]], wrong: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which rows are good; the others are refused in order, each for the first thing that is wrong with it."""
        spoilt = np.any([wrong, *(mask for mask, _ in bad)], axis=0)
        for place in np.flatnonzero(spoilt).tolist():
            where: dict[str, Any] = {"file": batch.file, "row": int(batch.rows[place])}
            column = next((name for mask, name in bad if mask[place]), None)
            if column is not None:
                error = InputError("is empty", "text", column=column, **where)
            else:
                error = self._wrong_grade(batch, place, where)
            self._rejects.refuse(
                error, str({name: batch.values.column(name)[place].as_py() for name in self._columns.all})
            )
        good: NDArray[np.bool_] = ~spoilt
        return good

    def _grades(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The grades as numbers, and which of them are none or lie outside the range."""
        values = batch.values.column(self._columns.grade)
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            values = pc.utf8_trim_whitespace(text_column(batch, self._columns.grade))
        try:
            numbers = values.cast(pa.float64())
        except pa.ArrowInvalid:
            numbers = pa.array([number(text) for text in values.to_pylist()], pa.float64())
        grades: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
        low, high = self._settings.grade_range or (-LARGEST_GRADE, LARGEST_GRADE)
        return grades, ~((grades >= low) & (grades <= high))  # a null is NaN here, which lies in no range

    def _wrong_grade(self, batch: Batch, place: int, where: dict[str, Any]) -> InputError:
        """What to say of a grade that is no number or lies outside the range."""
        found = batch.values.column(self._columns.grade)[place].as_py()
        shown = "is empty" if found is None or not str(found).strip() else f"is {str(found)[:60]!r}"
        low, high = self._settings.grade_range or (-LARGEST_GRADE, LARGEST_GRADE)
        return InputError(shown, f"a number from {low:,g} to {high:,g}", column=self._columns.grade, **where)

    def _cleaned(self, batch: Batch, column: str) -> pa.Array:
        """A column's texts cleaned; those that changed, or say next to nothing, are counted by distinct text."""
        coded = text_column(batch, column).dictionary_encode()
        raw = coded.dictionary.to_pylist()
        texts = [cleaned(text) for text in raw]
        for before, after in zip(raw, texts, strict=True):
            if before != after:
                self._notes["texts cleaned"].count(1, f"{before[:120]!r} → {after[:120]!r}")
            if 0 < len(after) < _NEAR_EMPTY:
                self._notes["texts that are nearly empty"].count(1, repr(after))
        return pa.DictionaryArray.from_arrays(coded.indices, pa.array(texts, pa.string())).dictionary_decode()

    def _interned(self, column: pa.Array, known: dict[str, int], texts: list[str] | None = None) -> NDArray[np.int64]:
        """Row numbers of a batch's texts among all distinct ones so far."""
        coded = column.dictionary_encode()
        rows = []
        for text in coded.dictionary.to_pylist():
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
        texts, places = coded.dictionary.to_pylist(), coded.indices.to_numpy()
        for identifier, place in zip(ids.to_pylist(), places, strict=True):
            text = texts[place]
            row = self._documents.setdefault(identifier, len(self._texts))
            if row == len(self._texts):
                self._texts.append(text)
            elif self._texts[row] != text:
                example = f"{identifier}: {self._texts[row][:80]!r} and {text[:80]!r}"
                self._notes["another text under one document id"].count(1, example)
            rows.append(row)
        return np.array(rows, dtype=np.int64)

    def records(self, *, merge: bool) -> Records:
        """Everything taken in.

        Args:
            merge: whether repeated judgements make one record.

        Returns:
            The records.

        Raises:
            InputError: there are none, or judgements conflict and the settings say that this is an error.
        """
        if not self._parts:
            found = "holds no usable record" if self._rejects.rows else "holds no record"
            raise InputError(found, "a table with at least one record", file=self._source.name)
        query, document, grade = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        rows, findings = np.arange(len(grade)), list[Finding]()
        if merge:
            texts = list(self._queries), self._texts
            rows, grade, findings = merged(query, document, grade, texts, self._settings.conflicts)
        by_id = self._columns.document_id is not None or self._source.documents is not None
        labels = [label for part in self._labels for label in part]
        return Records(
            queries=tuple(self._queries),
            query_ids=tuple("q" + _digest(text) for text in self._queries),
            documents=tuple(self._texts),
            document_ids=tuple(trec_id(name) if by_id else "d" + _digest(name) for name in self._documents),
            query=query[rows],
            document=document[rows],
            grade=grade,
            labels=tuple(labels[row] for row in rows) if labels else None,
            findings=(*self._findings(), *findings),
            rejected=tuple(self._rejects.rows),
            sha256=self._source.sha256,
            revision=self._source.revision,
            synthetic=self._source.synthetic,
            titles_only=self._columns.titles_only,
        )

    def _findings(self) -> list[Finding]:
        """What was noted while opening and reading."""
        if self._columns.document_id is not None:
            self._notes["documents whose text another id has too"].count(len(self._texts) - len(set(self._texts)))
        found = [Finding(*note) for note in self._source.notes]
        noted = self._notes.items()
        found += [Finding(name, note.seen, note.action, tuple(note.examples)) for name, note in noted if note.seen]
        if self._rejects.rows:
            examples = tuple(f"row {row.row}: {row.column} {row.problem}" for row in self._rejects.rows[:_EXAMPLES])
            action = "Set aside in data/rejected.parquet; they are not used."
            found.append(Finding("bad rows", len(self._rejects.rows), action, examples))
        return found


def _digest(text: str) -> str:
    """16 hex digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
