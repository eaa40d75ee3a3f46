"""Well-known column names in lower case, listed for each role; the first name in a list is the standard one."""

from __future__ import annotations

import re

_PARENTS = ("doc", "document", "product", "item", "passage")  # fields that hold a document's fields

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
    "query.text",
    "query.query",
    "question.text",
)
QUERY_ID = ("query_id", "qid", "queryid", "query-id", "query.id", "query.query_id", "question.id")
GRADE = (
    "grade",
    "relevance",
    "label",
    "labels",
    "score",
    "rating",
    "relevance_score",
    "relevance_label",
    "median_relevance",
    "judgement",
    "judgment",
    "gain",
    "esci_label",
)
_DOCUMENT_ID = (
    "document_id",
    "doc_id",
    "docid",
    "product_uid",
    "product_id",
    "entity_id",
    "item_id",
    "sku",
    "asin",
    "document-id",
    "doc-id",
    "product-id",
    "corpus-id",
    "corpus_id",
)
# A document has a headline, a body, or both.
_HEADLINE = ("name", "title", "product_title", "product_name", "item_name", "document_title")
_BODY = (
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
DOCUMENT_ID = (*_DOCUMENT_ID, *(f"{parent}.{name}" for parent in _PARENTS for name in ("id", "_id", *_DOCUMENT_ID)))
HEADLINE = (*_HEADLINE, *(f"{parent}.{name}" for parent in _PARENTS for name in _HEADLINE))
BODY = (*_BODY, *(f"{parent}.{name}" for parent in _PARENTS for name in _BODY))
SPLIT = ("split",)
LOCALE = ("product_locale", "locale", "lang", "language")  # tells documents of one id apart


def plain_name(name: str) -> str:
    """Write a column's name as the lists above do: `Search Term` and `Search-Term` become `search_term`."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())
