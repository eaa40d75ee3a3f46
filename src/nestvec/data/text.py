"""Cleans every text that is read, and normalises texts for comparison. Ids are neither cleaned nor normalised."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5
from urllib.parse import quote

_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")


def clean_text(text: str) -> str:
    """Decode HTML entities and replace each run of white space by one space; nothing else is changed.

    An entity must end in a semicolon: nothing is decoded in `?id=8&copy=2`.
    """
    return " ".join(_ENTITY.sub(_decode_entity, text).split())


def _decode_entity(match: re.Match[str]) -> str:
    """Decode an entity; an entity with an unknown name is kept."""
    name = match[1]
    return html.unescape(match[0]) if name.startswith("#") or f"{name};" in html5 else match[0]


def normalise_text(text: str) -> str:
    """Normalise a text for comparison: Unicode NFKC, case folding, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def trec_id(identifier: str) -> str:
    """Encode an id as TREC files and indexes of nestvec 0.1 hold it: white space and % are percent-encoded."""
    return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), identifier)
