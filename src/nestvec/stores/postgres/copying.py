"""Packs documents for PostgreSQL's binary COPY, and escapes their texts and fields.

Texts and field names may contain U+0000, which PostgreSQL cannot store. So U+0000 is stored as U+0001 U+0001, and
U+0001 as U+0001 U+0002. Reading undoes this, and escaped texts sort in the same order as the originals.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.lexical.words import split_words
from nestvec.stores.postgres.postings import join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.stores.postgres.columns import Columns
    from nestvec.stores.store import Batch, Value

_EXACT = 1e16  # from here on Python writes floats with an exponent, which jsonb would convert to an integer


def escape_text(text: str) -> str:
    """Escape U+0000, which PostgreSQL cannot store, and U+0001, the escape character, in a text."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01") if "\x00" in text or "\x01" in text else text


def unescape_text(text: str) -> str:
    """Restore the original text from what `escape_text` returned."""
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


def escape_fields(fields: Mapping[str, Value]) -> str:
    """Write a document's fields as JSON, with all digits of numbers, and with texts escaped by `escape_text`."""
    parts = (
        f"{json.dumps(escape_text(name), ensure_ascii=False)}:{_format_value(value)}" for name, value in fields.items()
    )
    return "{" + ",".join(parts) + "}"


def unescape_fields(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Restore a document's fields from the parsed JSON that `escape_fields` wrote."""
    return {
        unescape_text(name): unescape_text(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def format_number(value: float) -> str:
    """Format a finite number for JSON and SQL, with as many digits as are needed to read the same number back."""
    if isinstance(value, float) and abs(value) >= _EXACT:
        return f"{int(value)}.0"
    return repr(value)


def _format_value(value: Value) -> str:
    if isinstance(value, str):
        return json.dumps(escape_text(value), ensure_ascii=False)
    if not math.isfinite(value):
        raise InputError(f"a field holds {value}", "a finite number")
    return format_number(value + 0)  # adding 0 turns a bool into an int


def copy_stream(columns: Columns, batch: Batch) -> bytes:
    """Pack a batch of documents as a complete binary COPY stream; if an id repeats, only its last document.

    The columns are id, text, fields and the vector's columns. With keyword search, there are two more columns: the
    document's words, and its number, which is NULL because it is assigned later.
    """
    last = sorted({identifier: row for row, identifier in enumerate(batch.ids)}.values())
    words = _pack_words([batch.texts[row] for row in last], columns.about.hybrid)
    count = (3 + len(columns.types) + (2 if columns.about.hybrid else 0)).to_bytes(2, "big")
    parts = [b"PGCOPY\n\xff\r\n\x00" + bytes(8)]
    for row, values, own in zip(last, columns.pack_rows(batch.vectors[last]), words, strict=True):
        fields = b"\x01" + _encode_text(escape_fields(batch.fields[row]), batch.ids[row])  # jsonb begins with a version
        texts = (
            _encode_text(escape_text(batch.ids[row]), batch.ids[row]),
            _encode_text(escape_text(batch.texts[row]), batch.ids[row]),
        )
        parts.append(count)
        for value in (*texts, fields, *values):
            parts += [len(value).to_bytes(4, "big"), value]
        parts.append(own)
    return b"".join([*parts, b"\xff\xff"])


def _pack_words(texts: Sequence[str], hybrid: Hybrid | None) -> list[bytes]:
    """Pack the columns for keyword search of each row: its words in one text, and NULL for its number."""
    if hybrid is None:
        return [b""] * len(texts)
    joined = [join_words(words).encode() for words in split_words(texts, hybrid.lexical.forms)]
    return [len(words).to_bytes(4, "big") + words + b"\xff\xff\xff\xff" for words in joined]


def _encode_text(text: str, owner: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"document {owner!r} holds a lone surrogate (half a UTF-16 pair)", "Unicode text") from error
