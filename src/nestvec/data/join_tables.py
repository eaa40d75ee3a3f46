"""Joins tables of judgements, queries and documents by their ids.

The table of documents is the catalogue to search; it includes unjudged documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.columns import template_columns
from nestvec.data.find_columns import find_template
from nestvec.data.find_tables import Link, Tables, link_documents, link_queries
from nestvec.data.limits import split_rows
from nestvec.data.source import Batch, Finding, Rejects, Source, join_limits
from nestvec.data.text_table import keep_first_queries
from nestvec.data.values import drop_rows, is_blank, join_columns, text_column
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nestvec.settings import DataSettings

_EXAMPLES = 3
_BETWEEN = ":"  # an id and a locale
_JUDGED_ONLY = Finding(
    "documents without a judgement left out",
    1,
    "A part of the documents' texts stands beside the judgements, so only judged documents are searched.",
)


def join_tables(tables: Tables, settings: DataSettings, name: str, digest: str) -> Source:
    """Join tables by their ids.

    Args:
        tables: the tables of judgements, queries and documents.
        settings: the columns as given.
        name: the source's name as the user gave it.
        digest: the SHA-256 of the files.

    Returns:
        The joined table. If the documents' texts are only in the table of documents, that whole table is the catalogue.
        As in any single table, low grades are expected to be listed: Home Depot's lowest is 1.

    Raises:
        InputError: a table has no id or text column, or several possible ones.
    """
    judged, queries, documents = tables.judgements, link_queries(tables, settings), link_documents(tables, settings)
    findings = [finding for table in (judged, *tables.texts) for finding in table.findings]
    if queries is not None:
        findings += keep_first_queries(_read_queries(queries))[1]
    if documents is not None:
        documents, locales = _tell_locales_apart(documents)
        findings += locales
    links = [link for link in (queries, documents) if link is not None]
    added = [column for link in links for column in link.taken.values()]
    joined = Source(
        name,
        digest,
        tuple(dict.fromkeys([*judged.columns, *added])),
        partial(_read_joined, judged, links),
        tuple(findings),
        decimal_comma=judged.decimal_comma,
        lists=judged.lists.union(link.taken[column] for link in links for column in link.table.lists & {*link.taken}),
        limit=join_limits([judged, *tables.texts]),
    )
    if documents is None:
        return joined
    template = find_template(joined, settings.document)
    if not set(template_columns(template)) <= set(documents.taken):
        return replace(joined, findings=(*findings, _JUDGED_ONLY))
    return replace(joined, documents=partial(_read_catalogue, documents, template))


def _read_joined(judged: Source, links: list[Link], columns: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Read judgements with the texts of their ids; rows with an unknown id are rejected."""
    joins = [_load_texts(link, columns) for link in links]
    added = {column for link in links for column in link.taken.values()}
    keys = [key for link in links for key in link.keys]
    own = list(dict.fromkeys([*(column for column in columns if column not in added), *keys]))
    for batch in judged.read(own, rejects):
        places = [_find_places(batch, texts) for texts in joins]
        for rows in split_rows(_measure_rows(len(batch.rows), joins, places)):
            joined = _add_columns(_slice_batch(batch, rows), joins, [found[rows] for found in places], rejects)
            if len(joined.rows):
                yield Batch(joined.file, joined.rows, joined.values.select(columns))


def _slice_batch(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.file, batch.rows[rows], batch.values.slice(rows.start, rows.stop - rows.start))


@dataclass(frozen=True)
class _Texts:
    """A table of t queries or documents, read into memory.

    Attributes:
        link: how the table joins with the judgements.
        ids: (t,) distinct ids, by first appearance.
        columns: the name of each column in the joined table, mapped to (t,) texts, from the first row of each id.
    """

    link: Link
    ids: pa.Array
    columns: dict[str, pa.Array]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of bytes that each row of the table takes, all columns together."""
        sizes = np.zeros(len(self.ids), dtype=np.int64)
        for texts in self.columns.values():
            sizes += pc.fill_null(pc.binary_length(texts), 0).to_numpy()
        return sizes


def _load_texts(link: Link, columns: list[str]) -> _Texts:
    """Read the columns of a table of texts that the joined table takes."""
    wanted = {column: name for column, name in link.taken.items() if name in columns}
    ids: list[pa.Array] = []
    parts: dict[str, list[pa.Array]] = {name: [] for name in wanted.values()}
    known: set[str] = set()
    for batch in link.table.read(list(dict.fromkeys([*link.table_keys, *wanted])), Rejects()):
        names = _read_keys(batch, link.table_keys)
        first: dict[str, int] = {}
        for row, name in enumerate(names.to_pylist()):
            if name not in known:
                first.setdefault(name, row)
        known.update(first)
        rows = pa.array(first.values(), pa.int64())
        ids.append(names.take(rows))
        for column, name in wanted.items():
            parts[name].append(text_column(batch, column).take(rows).cast(pa.large_string()))
    empty = pa.array([], pa.large_string())
    loaded = {name: pa.concat_arrays([empty, *arrays]) for name, arrays in parts.items()}
    return _Texts(link, pa.concat_arrays([pa.array([], pa.string()), *ids]), loaded)


def _read_keys(batch: Batch, columns: tuple[str, ...]) -> pa.Array:
    """Read the ids of a table of texts, as `id:locale` if locales belong to the ids; InputError for an empty id."""
    keys = [text_column(batch, column) for column in columns]
    for column, values in zip(columns, keys, strict=True):
        drop_rows(batch, is_blank(values), column, "an id", Rejects())
    return _join_keys(keys)


def _join_keys(keys: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*keys, _BETWEEN) if len(keys) > 1 else keys[0]


def _find_places(batch: Batch, texts: _Texts) -> pa.Array:
    """Find the text of each of a batch's n ids: its row in the table of texts, null for an unknown id."""
    return pc.index_in(_read_links(batch, texts.link), value_set=texts.ids)


def _read_links(batch: Batch, link: Link) -> pa.Array:
    """Read which text each of a batch's n rows names: its id."""
    return _join_keys([text_column(batch, column) for column in link.keys])


def _measure_rows(count: int, joins: list[_Texts], places: list[pa.Array]) -> NDArray[np.int64]:
    """Size in bytes of the texts that each row of a batch names."""
    sizes = np.zeros(count, dtype=np.int64)
    for texts, found in zip(joins, places, strict=True):
        sizes += np.append(texts.sizes, 0)[pc.fill_null(found, len(texts.ids)).to_numpy()]
    return sizes


def _add_columns(batch: Batch, joins: list[_Texts], places: list[pa.Array], rejects: Rejects) -> Batch:
    """Add the texts that a batch's ids name; rows with an unknown id are rejected and left out."""
    good: NDArray[np.bool_] = np.ones(len(batch.rows), dtype=bool)
    for texts, found in zip(joins, places, strict=True):
        missing = good & np.asarray(found.is_null())
        for index in np.flatnonzero(missing).tolist():
            rejects.refuse(_missing_error(batch, texts.link, index), str(batch.values.slice(index, 1).to_pylist()[0]))
        good &= ~missing
    kept = Batch(batch.file, batch.rows[good], batch.values.filter(pa.array(good)))
    values = {name: kept.values.column(name) for name in kept.values.schema.names}
    for texts, found in zip(joins, places, strict=True):
        if texts.link.joined_ids:
            values[texts.link.keys[0]] = _read_links(kept, texts.link)
        rows = found.filter(pa.array(good))
        values |= {name: pa.DictionaryArray.from_arrays(rows, column) for name, column in texts.columns.items()}
    return Batch(kept.file, kept.rows, pa.RecordBatch.from_arrays(list(values.values()), names=list(values)))


def _missing_error(batch: Batch, link: Link, index: int) -> InputError:
    """Make the error for a judgement whose id is empty, or is not in the table of texts."""
    values = [text_column(batch, column)[index].as_py() for column in link.keys]
    row = int(batch.rows[index])
    if not (values[0] or "").strip():
        return InputError("is empty", "an id", file=batch.file, row=row, column=link.keys[0])
    beside = [f" with {name} {value!r}" for name, value in zip(link.keys[1:], values[1:], strict=True)]
    problem = f"the id {values[0]!r}{''.join(beside)} is not in {link.table.name}"
    wanted = f"the id of a {link.what} in that file"
    return InputError(problem, wanted, file=batch.file, row=row, column=link.keys[0])


def _read_catalogue(link: Link, template: str) -> Iterator[pa.RecordBatch]:
    """Yield id and text of every document of the table of documents."""
    parts = template_columns(template)
    for batch in link.table.read(list(dict.fromkeys([*link.table_keys, *parts])), Rejects()):
        keys = _read_keys(batch, link.table_keys)
        ids = keys if link.joined_ids else text_column(batch, link.table_keys[0])
        texts = join_columns(template, {name: text_column(batch, name) for name in parts})
        yield pa.RecordBatch.from_arrays([ids, texts], names=["id", "text"])


def _read_queries(link: Link) -> Iterator[tuple[str, str]]:
    """Yield id and text of every row of the table of queries."""
    text = next(iter(link.taken))
    for batch in link.table.read([link.table_keys[0], text], Rejects()):
        texts = pc.fill_null(text_column(batch, text), "").to_pylist()
        yield from zip(_read_keys(batch, link.table_keys).to_pylist(), texts, strict=True)


def _tell_locales_apart(link: Link) -> tuple[Link, list[Finding]]:
    """Join by id and locale if documents of several locales share an id; also returns a finding that says so."""
    if len(link.keys) == 1:
        return link, []
    locales: dict[str, str] = {}
    shared: dict[str, None] = {}
    for batch in link.table.read(list(link.table_keys), Rejects()):
        columns = [text_column(batch, column).to_pylist() for column in link.table_keys]
        for identifier, locale in zip(*columns, strict=True):
            if locales.setdefault(identifier, locale) != locale:
                shared[identifier] = None
    if not shared:
        return link, []
    action = f"Their ids now include the locale; {link.keys[0]}{_BETWEEN}{link.keys[1]}."
    finding = Finding("ids of documents in several locales", len(shared), action, tuple(shared)[:_EXAMPLES])
    return replace(link, joined_ids=True), [finding]
