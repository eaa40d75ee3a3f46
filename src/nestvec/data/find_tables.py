"""Tells tables of judgements, queries and documents apart, and finds the columns by which they join.

WANDS has `label.csv`, `query.csv` and `product.csv`; ESCI has examples and products, which join by id and locale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE, LOCALE, QUERY, QUERY_ID, SPLIT
from nestvec.data.columns import as_template, template_columns
from nestvec.data.find_columns import find_column, quote_names, well_known
from nestvec.errors import InputError

if TYPE_CHECKING:
    from nestvec.data.source import Source
    from nestvec.settings import DataSettings

BARE_IDS = ("id", "_id")  # of a table that holds nothing but queries, or documents
_OTHER_QUERY_TEXTS = ("text", "title")  # in a table of queries, the first that there is


@dataclass(frozen=True)
class Tables:
    """The tables of a data set: judgements, queries and documents.

    Attributes:
        judgements: rows with the ids of a query and a document, and a grade.
        queries: rows with an id and a text; None where the judgements hold the queries' texts.
        documents: rows with an id and texts; None where the judgements hold all texts of the documents.
    """

    judgements: Source
    queries: Source | None
    documents: Source | None

    @property
    def texts(self) -> list[Source]:
        """The tables that hold texts: queries and documents, as far as they exist."""
        return [table for table in (self.queries, self.documents) if table is not None]


@dataclass(frozen=True)
class Link:
    """How a table of texts joins with the judgements.

    Attributes:
        what: `query` or `document`, for messages.
        table: the table of texts.
        keys: the join columns of the judgements: the id, and the locale if there is one.
        table_keys: the join columns of the table of texts, in the same order.
        taken: the columns to add from the table of texts, each mapped to its name in the joined table.
        joined_ids: whether the id is written `id:locale`, because an id occurs in several locales.
    """

    what: str
    table: Source
    keys: tuple[str, ...]
    table_keys: tuple[str, ...]
    taken: dict[str, str]
    joined_ids: bool = False


def find_tables(sources: list[Source], settings: DataSettings) -> Tables | None:
    """Find out which tables of a folder hold judgements, queries and documents.

    Args:
        sources: the tables; files with the same columns have already been joined to one table.
        settings: the columns as given.

    Returns:
        The tables by what they hold; None if they cannot be joined.

    Raises:
        InputError: two tables could both hold the judgements, the queries or the documents.
    """
    parts: dict[str, list[Source]] = {"judgements": [], "queries": [], "documents": []}
    for source in sources:
        role = _find_role(source, settings)
        if role is not None:
            parts[role].append(source)
    for role, found in parts.items():
        if len(found) > 1:
            option = {"judgements": "qrels", "queries": "queries", "documents": "corpus"}[role]
            problem = f"{quote_names([source.name for source in found])} could both hold the {role}"
            wanted = f"--{option} with one of these files; name all three with --qrels, --queries and --corpus"
            raise InputError(problem, wanted)
    judgements, queries, documents = (next(iter(parts[role]), None) for role in parts)
    if judgements is None or (queries is None and documents is None):
        return None
    return Tables(judgements, queries, documents)


def _find_role(source: Source, settings: DataSettings) -> str | None:
    """Tell whether a table holds judgements, queries or documents; None if it holds none of these."""
    query = settings.query in source.columns or well_known(source, QUERY)
    query_id = settings.query_id in source.columns or well_known(source, QUERY_ID)
    document_id = settings.document_id in source.columns or well_known(source, DOCUMENT_ID)
    given = template_columns(as_template(settings.document)) if settings.document else ()
    document = any(name in source.columns for name in given) or well_known(source, (*HEADLINE, *BODY))
    graded = settings.grade in source.columns or well_known(source, GRADE) or settings.positives_only
    if graded and document_id and (query or query_id):
        return "judgements"
    if query and query_id and not document_id:
        return "queries"
    return "documents" if document and document_id and not (query or query_id) else None


def link_queries(tables: Tables, settings: DataSettings) -> Link | None:
    """Find how queries join with judgements: by id, adding the text and a split; None without a table of queries."""
    if tables.queries is None:
        return None
    table = tables.queries
    key, table_key = _find_keys("query-id", tables.judgements, table, settings.query_id, QUERY_ID)
    text = _find_query_text(table, settings)
    known = text == settings.query or text.strip().lower() in QUERY
    split = {name: name for name in well_known(table, SPLIT)}
    return Link("query", table, (key,), (table_key,), {text: text if known else QUERY[0], **split})


def find_query_columns(table: Source, settings: DataSettings) -> tuple[str, str]:
    """Find the id and text columns of a table of queries; InputError if one is missing, or several are possible."""
    given = settings.query_id if settings.query_id in table.columns else None
    identifier = find_column(table, "query-id", given, QUERY_ID) or find_column(table, "query-id", None, BARE_IDS)
    if identifier is None:
        raise _missing_error("query-id", table)
    return identifier, _find_query_text(table, settings)


def _find_query_text(table: Source, settings: DataSettings) -> str:
    given = settings.query if settings.query in table.columns else None
    kinds = (QUERY, *((name,) for name in _OTHER_QUERY_TEXTS))
    found = (find_column(table, "query", given, known) for known in kinds)
    text = next((name for name in found if name is not None), None)
    if text is None:
        raise _missing_error("query", table)
    return text


def link_documents(tables: Tables, settings: DataSettings) -> Link | None:
    """Find how documents join with judgements: by id and locale, adding texts; None without a table of documents."""
    if tables.documents is None:
        return None
    judgements, table = tables.judgements, tables.documents
    key, table_key = _find_keys("document-id", judgements, table, settings.document_id, DOCUMENT_ID)
    locales = [name for name in well_known(judgements, LOCALE) if name in table.columns][:1]
    named = template_columns(as_template(settings.document)) if settings.document else ()
    others = {*QUERY, *QUERY_ID, *GRADE, *DOCUMENT_ID, *SPLIT, *LOCALE, *BARE_IDS}
    given = {table_key, settings.query, settings.query_id, settings.grade, settings.split_column}
    taken = [name for name in table.columns if name in named or not (name in given or name.strip().lower() in others)]
    return Link("document", table, (key, *locales), (table_key, *locales), {name: name for name in taken})


def _find_keys(
    role: str, judgements: Source, table: Source, given: str | None, known: tuple[str, ...]
) -> tuple[str, str]:
    """Find the columns by which judgements and a table of texts join: the id in each of the two tables."""
    key = find_column(judgements, role, given if given in judgements.columns else None, known)
    if key is None:
        raise _missing_error(role, judgements)
    if key in table.columns:
        return key, key
    table_key = find_column(table, role, given if given in table.columns else None, known)
    table_key = table_key or find_column(table, role, None, BARE_IDS)
    if table_key is None:
        raise _missing_error(role, table)
    return key, table_key


def _missing_error(role: str, table: Source) -> InputError:
    wanted = f"--{role} to name one of {quote_names(table.columns)}"
    return InputError(f"no column is known as the {role}", wanted, file=table.name)
