"""What is done to every text that is read, and the form in which two texts count as the same."""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import quote


def clean_text(text: str) -> str:
    """The text with HTML entities decoded and runs of white space made one space; nothing else is changed."""
    return " ".join(html.unescape(text).split())


def normalise_text(text: str) -> str:
    """The form in which texts are compared for leaks: Unicode's compatibility form, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def trec_id(identifier: str) -> str:
    """An id as TREC files can hold it: white space percent-encoded, and the percent sign, so that ids stay distinct."""
    return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), identifier)
