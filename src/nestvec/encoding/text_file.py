"""Reads a file of texts: finds the columns of texts and ids, and yields the rows, cleaned as for `nestvec run`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nestvec.data import find_columns as known
from nestvec.data.column_names import BODY, DOCUMENT_ID, HEADLINE, QUERY
from nestvec.data.columns import as_template, template_columns
from nestvec.data.encodings import find_encoding
from nestvec.data.limits import LONGEST, too_long_error
from nestvec.data.nested import list_values
from nestvec.data.readers import READERS, read_file
from nestvec.data.source import Batch, Rejects, Source, read_rows, split_into_batches
from nestvec.data.streams import Recoded, suffix
from nestvec.data.values import all_blank, clean_column, drop_rows, is_blank, join_columns, text_column
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PLAIN = ".txt"  # one text per line
_TEXT = "text"
_DOCUMENT_IDS = (*DOCUMENT_ID, "id", "_id")
_QUERY_IDS = ("query_id", "qid", "id", "_id")


@dataclass(frozen=True)
class TextBatch:
    """A batch of rows of a file of texts."""

    ids: list[str]
    texts: list[str]  # one for each id, none of them empty


@dataclass(frozen=True)
class TextFile:
    """A file of texts whose columns are known, but whose rows have not been read yet."""

    source: Source
    template: str  # how columns form a text; `{name}` stands for the column `name`
    id_column: str | None  # column of the ids; None to use row numbers, as `errors.Location` counts them

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values form a row's text."""
        return template_columns(self.template)

    def batches(self, rejects: Rejects | None = None) -> Iterator[TextBatch]:
        """Yield the file's ids and cleaned texts in order; ids stay as they are in the file.

        Args:
            rejects: policy for rows that are damaged, or have no text or no id; None stops at the first.

        Yields:
            Batches of good rows.

        Raises:
            InputError: a row is bad, and the policy is to stop.
        """
        rejects = rejects or Rejects()
        wanted = list(dict.fromkeys([*self.columns, *([self.id_column] if self.id_column else [])]))
        for batch in read_rows(self.source, wanted, rejects):
            parts = {name: clean_column(batch, name) for name in self.columns}
            good = self._drop_bad_rows(batch, all_blank(list(parts.values())), rejects)
            if len(good.rows) < len(batch.rows):
                parts = {name: clean_column(good, name) for name in self.columns}
            if len(good.rows):
                yield TextBatch(self._read_ids(good), list_values(join_columns(self.template, parts)))

    def _drop_bad_rows(self, batch: Batch, blank: NDArray[np.bool_], rejects: Rejects) -> Batch:
        batch = drop_rows(batch, blank, ",".join(self.columns), "text", rejects)
        if self.id_column is None:
            return batch
        return drop_rows(batch, is_blank(text_column(batch, self.id_column)), self.id_column, "an id", rejects)

    def _read_ids(self, batch: Batch) -> list[str]:
        if self.id_column is None:
            return [str(row) for row in batch.rows.tolist()]
        ids: list[str] = text_column(batch, self.id_column).to_pylist()
        return ids


def open_text_file(path: Path, column: str | None = None, id_column: str | None = None) -> TextFile:
    """Open a file of texts.

    Args:
        path: a CSV, TSV, JSONL or Parquet file, or .txt with one text per line; all but Parquet may be compressed as
            .gz or .zst.
        column: column of the texts, several columns separated by commas, or a template such as
            `{name}. {description}`. None looks for well-known names, joined as the documents of a judged table are.
        id_column: column of the ids; None looks for a well-known name, else takes row numbers.

    Returns:
        The opened file.

    Raises:
        InputError: the file does not exist, its format is unknown, or the column of texts is missing or ambiguous.
    """
    if not path.exists():
        wanted = "a file of texts ending in " + ", ".join([*READERS, PLAIN])
        raise InputError("there is no such file", wanted, file=path)
    if path.is_dir():
        raise InputError("is a folder", "a file of texts", file=path)
    source = _read_lines(path) if suffix(path) == PLAIN else read_file(path)
    template, ids = _find_text(source, column)
    return TextFile(source, template, _find_id(source, id_column, ids))


def _find_text(source: Source, given: str | None) -> tuple[str, tuple[str, ...]]:
    """Choose the template that forms the text from columns, and the names that a column of ids is likely to have."""
    if given is not None:
        template = as_template(given)
        for name in template_columns(template):
            _require_column(source, "column", name)
        if not template_columns(template):
            wanted = "one such as 'name,description' or '{name}. {description}'"
            raise InputError(f"--column {given!r} names no column", wanted)
        return template, _DOCUMENT_IDS
    documents = [names for names in (HEADLINE, BODY) if known.well_known(source, names)]
    kinds = [*documents, QUERY] if known.well_known(source, QUERY) else documents
    candidates = [known.well_known(source, names) for names in kinds]
    several = len(kinds) > len(documents) > 0 or any(len(names) > 1 for names in candidates)
    if several or not candidates:
        named = known.quote_names([name for names in candidates for name in names])
        problem = f"more than one column could be the text: {named}" if candidates else "no column is known as the text"
        raise InputError(problem, "--column to name one of " + known.quote_names(source.columns), file=source.name)
    return " ".join(f"{{{names[0]}}}" for names in candidates), _DOCUMENT_IDS if documents else _QUERY_IDS


def _find_id(source: Source, given: str | None, names: tuple[str, ...]) -> str | None:
    """Return the column of ids: the given one, else the first of the well-known names that the file has."""
    if given is not None:
        return _require_column(source, "id-column", given)
    columns = {name.strip().lower(): name for name in source.columns}
    return next((columns[name] for name in names if name in columns), None)


def _require_column(source: Source, option: str, name: str) -> str:
    """Return a column's name; raises InputError if the file has no such column."""
    if name not in source.columns:
        wanted = f"--{option} to name one of " + known.quote_names(source.columns)
        raise InputError(f"there is no column {name!r}", wanted, file=source.name)
    return name


def _read_lines(path: Path) -> Source:
    """Open a file with one text per line."""
    if path.stat().st_size == 0:
        raise InputError("is empty", "a file with one text per line", file=path)
    encoding = find_encoding(path).name

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del columns, rejects  # there is one column, and every line is a valid text
        with io.TextIOWrapper(io.BufferedReader(Recoded(path, encoding)), encoding="utf-8") as stream:
            for lines in split_into_batches(_number_lines(path, stream), lambda line: len(line[1])):
                values = pa.array([line.rstrip("\n") for _, line in lines], pa.string())
                rows = np.array([number for number, _ in lines], dtype=np.int64)
                yield Batch(str(path), rows, pa.RecordBatch.from_arrays([values], names=[_TEXT]))

    return Source(str(path), sha256(path), (_TEXT,), read)


def _number_lines(path: Path, stream: io.TextIOBase) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line; raises InputError for a line of more than `LONGEST` characters."""
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST + 1), ""), start=1):
        if len(line) > LONGEST:
            raise too_long_error(path, number)
        yield number, line
