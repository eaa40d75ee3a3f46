"""The columns of a table of judgements, once they are found, and the template of a document's text."""

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
        grade: the relevance grade; None where there is none: every row is a relevant pair, or there are clicks.
        template: how the document's text is made; `{name}` stands for the column `name`.
        document_id: what tells documents apart; None: their text does.
        split: the source's own split, if it is to be used.
        query_id: what tells queries apart; None: their text does.
        findings: which columns were found, and what could have been meant instead.
        clicks: the columns of a log of clicks, where there is no grade.
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
    """A template as it is; columns with commas between as the template that joins them by spaces."""
    return given if "{" in given else " ".join(f"{{{name.strip()}}}" for name in given.split(","))


def template_columns(template: str) -> tuple[str, ...]:
    """The columns that a template such as `{name}. {description}` names, once each."""
    return tuple(dict.fromkeys(re.findall(r"\{([^{}]*)\}", template)))
