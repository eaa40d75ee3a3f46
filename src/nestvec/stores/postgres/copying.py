"""Documents as the stream of a binary COPY, and their texts and fields as the database can hold them.

Texts and names may hold U+0000, PostgreSQL's may not. So U+0000 is kept as U+0001 U+0001, and U+0001 as U+0001 U+0002,
which loses nothing and leaves the order of bytes as it is.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestvec.stores.postgres.columns import Columns
    from nestvec.stores.store import Batch, Value

_EXACT = 1e16  # from here on Python writes a float with an exponent, which jsonb would turn into a whole number


def kept(text: str) -> str:
    """A text as the database can hold it."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01") if "\x00" in text or "\x01" in text else text


def given(text: str) -> str:
    """What `kept` was given."""
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


def fields_kept(fields: Mapping[str, Value]) -> str:
    """Fields as JSON, numbers with all their digits."""
    return (
        "{"
        + ",".join(f"{json.dumps(kept(name), ensure_ascii=False)}:{_written(value)}" for name, value in fields.items())
        + "}"
    )


def fields_given(fields: Mapping[str, Value]) -> dict[str, Value]:
    """What `fields_kept` was given, from the JSON read."""
    return {given(name): given(value) if isinstance(value, str) else value for name, value in fields.items()}


def number_written(value: float) -> str:
    """A finite number as JSON and SQL read it, exactly if it is whole, else the shortest that gives the same float."""
    if isinstance(value, float) and abs(value) >= _EXACT:
        return f"{int(value)}.0"
    return repr(value)


def _written(value: Value) -> str:
    """A field's value as JSON."""
    if isinstance(value, str):
        return json.dumps(kept(value), ensure_ascii=False)
    if not math.isfinite(value):
        raise InputError(f"a field holds {value}", "a finite number")
    return number_written(value + 0)  # a bool becomes a whole number


def rows_of(columns: Columns, batch: Batch) -> bytes:
    """A batch as the stream of a binary COPY: id, text, fields and the vector's columns.

    Args:
        columns: of the table.
        batch: of an id that is there twice, only the last is taken.

    Returns:
        The whole stream, its start and end included.

    Raises:
        InputError: a text is no Unicode, or a field is not a finite number.
    """
    last = sorted({each: row for row, each in enumerate(batch.ids)}.values())
    count = (3 + len(columns.types)).to_bytes(2, "big")
    parts = [b"PGCOPY\n\xff\r\n\x00" + bytes(8)]
    for row, values in zip(last, columns.pack(batch.vectors[last]), strict=True):
        fields = b"\x01" + _encoded(fields_kept(batch.fields[row]), batch.ids[row])  # a version goes before jsonb
        texts = _encoded(kept(batch.ids[row]), batch.ids[row]), _encoded(kept(batch.texts[row]), batch.ids[row])
        parts.append(count)
        for value in (*texts, fields, *values):
            parts += [len(value).to_bytes(4, "big"), value]
    return b"".join([*parts, b"\xff\xff"])


def _encoded(text: str, owner: str) -> bytes:
    """UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"document {owner!r} holds half of a surrogate pair", "Unicode text") from error
