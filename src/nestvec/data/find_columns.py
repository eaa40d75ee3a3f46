"""Which column is which: as the user says, else by the names that such tables usually have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.click_columns import find_click_columns
from nestvec.errors import InputError

if TYPE_CHECKING:
    from nestvec.data.click_columns import ClickColumns
    from nestvec.data.source import Source
    from nestvec.settings import DataSettings

QUERY = (
    "query",
    "search_term",
    "query_text",
    "search_query",
    "searchterm",
    "keyword",
    "keywords",
    "question",
    "anchor",
)
_GRADE = ("grade", "relevance", "label", "score", "rating", "relevance_score", "judgement", "judgment", "gain")
QUERY_ID = ("query_id", "qid", "queryid", "query-id")
DOCUMENT_ID = (
    "document_id", "doc_id", "docid", "product_uid", "product_id", "entity_id", "item_id", "sku", "asin"
)  # fmt: skip
# A document has a headline, a body, or both.
HEADLINE = ("name", "title", "product_title", "product_name", "item_name", "document_title")
BODY = (
    "description",
    "document",
    "text",
    "product_description",
    "body",
    "passage",
    "content",
    "document_text",
    "product_text",
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table of judgements.

    Attributes:
        query: the query's text.
        grade: the relevance grade; None where there is none: every row is a relevant pair, or there are clicks.
        template: how the document's text is made; `{name}` stands for the column `name`.
        document_id: what tells documents apart; None: their text does.
        split: the source's own split, if it is to be used.
        query_id: what tells queries apart; None: their text does.
        clicks: the columns of a log of clicks, where there is no grade.
    """

    query: str
    grade: str | None
    template: str
    document_id: str | None
    split: str | None = None
    query_id: str | None = None
    clicks: ClickColumns | None = None

    @property
    def documents(self) -> tuple[str, ...]:
        """The columns that make the document's text."""
        return template_columns(self.template)

    @property
    def text_names(self) -> list[str]:
        """Every column whose values are texts, which are cleaned, once each."""
        return list(dict.fromkeys([self.query, *self.documents]))

    @property
    def id_names(self) -> list[str]:
        """Every column whose values are kept byte for byte, ids and the split's labels, once each."""
        return list(dict.fromkeys(name for name in (self.query_id, self.document_id, self.split) if name))

    @property
    def names(self) -> list[str]:
        """Every column that has to be read, once each."""
        grades = [self.grade] if self.grade else self.clicks.names if self.clicks else []
        return list(dict.fromkeys([*self.text_names, *self.id_names, *grades]))

    @property
    def titles_only(self) -> bool:
        """Whether documents are headlines without a body."""
        return all(name.strip().lower() in HEADLINE for name in self.documents)


def find_columns(source: Source, settings: DataSettings) -> Columns:
    """Find the columns of a table of judgements.

    Args:
        source: an opened table.
        settings: `query`, `document`, `grade` and `document_id` as given; None looks for well-known names.

    Returns:
        The mapping.

    Raises:
        InputError: a named column is missing, or none or several could be meant.
    """
    grade, clicks = _find_grade(source, settings)
    return Columns(
        query=_only_column(source, "query", settings.query, QUERY),
        grade=grade,
        template=_find_template(source, settings.document),
        document_id=_column_or_none(source, "document-id", settings.document_id, DOCUMENT_ID),
        split=_column_or_none(source, "split-column", settings.split_column, ()),
        clicks=clicks,
        query_id=_column_or_none(source, "query-id", settings.query_id, QUERY_ID),
    )


def find_document_columns(source: Source, document: str | None, document_id: str | None) -> tuple[str, str]:
    """Find the columns of a table of documents without judgements.

    Args:
        source: an opened table.
        document: the text's columns or template as given; None looks for well-known names.
        document_id: the id's column as given; None looks for well-known names, `id` among them.

    Returns:
        The template of a document's text, and the column of its id.

    Raises:
        InputError: a named column is missing, or none or several could be meant.
    """
    template = _find_template(source, document)
    if document_id is None and not well_known(source, DOCUMENT_ID):
        return template, _only_column(source, "document-id", None, ("id", "_id"))
    return template, _only_column(source, "document-id", document_id, DOCUMENT_ID)


def _find_grade(source: Source, settings: DataSettings) -> tuple[str | None, ClickColumns | None]:
    """The column of the grade, or those of clicks where there is none."""
    grade = _column_or_none(source, "grade", settings.grade, _GRADE)
    if grade is not None or settings.positives_only:
        return grade, None
    clicks = find_click_columns(source.columns)
    if clicks is None:
        problem, wanted = "no column is known as the grade", "--grade to name one of " + quote_names(source.columns)
        raise InputError(problem, f"{wanted}; or --positives-only, if every row is a relevant pair", file=source.name)
    return None, clicks


def _only_column(source: Source, role: str, given: str | None, known: tuple[str, ...]) -> str:
    column = _column_or_none(source, role, given, known)
    if column is None:
        raise _unclear_column(source, role, [])
    return column


def _column_or_none(source: Source, role: str, given: str | None, known: tuple[str, ...]) -> str | None:
    """The column of a role: as given, or the only one with a well-known name, or None."""
    if given is not None:
        return _require_column(source, role, given)
    candidates = well_known(source, known)
    if len(candidates) > 1:
        raise _unclear_column(source, role, candidates)
    return candidates[0] if candidates else None


def _find_template(source: Source, given: str | None) -> str:
    if given is None:
        parts = [_column_or_none(source, "document", None, names) for names in (HEADLINE, BODY)]
        names = [name for name in parts if name]
        if not names:
            raise _unclear_column(source, "document", [])
        return " ".join(f"{{{name}}}" for name in names)
    template = as_template(given)
    if not template_columns(template):
        raise InputError(f"--document {template!r} names no column", "'name,description' or '{name}. {description}'")
    for name in template_columns(template):
        _require_column(source, "document", name)
    return template


def _require_column(source: Source, role: str, name: str) -> str:
    """The name, if the source has such a column."""
    if name not in source.columns:
        wanted = f"--{role} to be one of " + quote_names(source.columns)
        raise InputError(f"there is no column {name!r}", wanted, file=source.name, column=name)
    return name


def as_template(given: str) -> str:
    """A template as it is; columns with commas between as the template that joins them by spaces."""
    return given if "{" in given else " ".join(f"{{{name.strip()}}}" for name in given.split(","))


def template_columns(template: str) -> tuple[str, ...]:
    """The columns that a template such as `{name}. {description}` names, once each."""
    return tuple(dict.fromkeys(re.findall(r"\{([^{}]*)\}", template)))


def well_known(source: Source, known: tuple[str, ...]) -> list[str]:
    """The source's columns with a well-known name, whatever their case."""
    return [name for name in source.columns if name.strip().lower() in known]


def _unclear_column(source: Source, role: str, candidates: list[str]) -> InputError:
    """The error for a role that no column, or more than one, could have."""
    problem = f"no column is known as the {role}"
    if candidates:
        problem = f"more than one column could be the {role}: {quote_names(candidates)}"
    return InputError(problem, f"--{role} to name one of " + quote_names(source.columns), file=source.name)


def quote_names(names: tuple[str, ...] | list[str]) -> str:
    """Names in a message; a table of hundreds of columns is cut."""
    shown = ", ".join(repr(name if len(name) <= 40 else name[:39] + "…") for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} … ({len(names)} in all)"
