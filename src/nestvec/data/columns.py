"""The columns that were found in a table of judgements, and the template of a document's text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.column_names import HEADLINE

if TYPE_CHECKING:
    from nestvec.data.click_columns import ClickColumns
    from nestvec.data.source import Finding


@dataclass(frozen=True)
class Columns:
    """The columns of a table of judgements.

    Attributes:
        query: the query's text.
        grade: the grade; None if every row is a relevant pair, or the table has clicks instead.
        template: the template of the document's text; `{name}` stands for the column `name`.
        document_id: the document's id; None if documents are identified by their text.
        split: the source's own split, if it is used.
        query_id: the query's id; None if queries are identified by their text.
        findings: which columns were found, and which others were possible.
        clicks: the columns of a click log; None if there is a grade.
    """

    query: str
    grade: str | None
    template: str
    document_id: str | None
    split: str | None = None
    query_id: str | None = None
    findings: tuple[Finding, ...] = ()
    clicks: ClickColumns | None = None

    @property
    def documents(self) -> tuple[str, ...]:
        """The columns from which a document's text is put together."""
        return template_columns(self.template)

    @property
    def text_names(self) -> list[str]:
        """The columns that hold texts, whose values are cleaned when they are read."""
        return list(dict.fromkeys([self.query, *self.documents]))

    @property
    def id_names(self) -> list[str]:
        """The columns whose values are kept byte for byte: ids and the split's labels."""
        return list(dict.fromkeys(name for name in (self.query_id, self.document_id, self.split) if name))

    @property
    def names(self) -> list[str]:
        """All columns of the table that have to be read, each once."""
        grades = [self.grade] if self.grade else self.clicks.names if self.clicks else []
        return list(dict.fromkeys([*self.text_names, *self.id_names, *grades]))

    @property
    def as_settings(self) -> dict[str, str]:
        """Settings that name these columns, so that the same table is read the same way again."""
        named = {
            "query": self.query,
            "query_id": self.query_id,
            "document": self.template,
            "document_id": self.document_id,
            "grade": self.grade,
            "split_column": self.split,
        }
        return {name: column for name, column in named.items() if column is not None}

    @property
    def titles_only(self) -> bool:
        """Whether documents are headlines without a body."""
        return all(name.strip().lower() in HEADLINE for name in self.documents)


def as_template(given: str) -> str:
    """Convert comma-separated columns to a template that joins them by spaces; a template stays as it is."""
    return given if "{" in given else " ".join(f"{{{name.strip()}}}" for name in given.split(","))


def template_columns(template: str) -> tuple[str, ...]:
    """List the columns that a template such as `{name}. {description}` names."""
    return tuple(dict.fromkeys(re.findall(r"\{([^{}]*)\}", template)))
