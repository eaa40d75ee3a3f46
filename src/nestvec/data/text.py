"""What is done to every text that is read, and the form in which two texts count as the same. Ids are not texts."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5
from urllib.parse import quote

_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")


def clean_text(text: str) -> str:
    """The text with HTML entities decoded and runs of white space made one space; nothing else is changed.

    Only what ends in a semicolon is an entity: in `?id=8&copy=2` nothing is decoded.
    """
    return " ".join(_ENTITY.sub(_decode_entity, text).split())


def _decode_entity(match: re.Match[str]) -> str:
    """The character of an entity; the entity itself where HTML knows no such name."""
    name = match[1]
    return html.unescape(match[0]) if name.startswith("#") or f"{name};" in html5 else match[0]


def normalise_text(text: str) -> str:
    """The form in which texts are compared for leaks: Unicode's compatibility form, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def trec_id(identifier: str) -> str:
    """An id as indexes of nestvec 0.1 hold it: white space percent-encoded, and the percent sign."""
    return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), identifier)
