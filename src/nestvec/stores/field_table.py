"""Fields of the embedded store as rows of a table in SQLite, and conditions on them as a statement.

A number has no text. A text that is plainly a number, such as `19.90`, has both, and is ordered as a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.stores.store import ORDERING, read_plain_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nestvec.stores.store import Condition, Value

TABLE = """
CREATE TABLE fields (name TEXT NOT NULL, row INTEGER NOT NULL, text TEXT, number REAL);
CREATE INDEX fields_text ON fields (name, text);
CREATE INDEX fields_number ON fields (name, number);
CREATE INDEX fields_row ON fields (row);
"""
INSERT = "INSERT INTO fields VALUES (?, ?, ?, ?)"


def field_rows(
    rows: Iterable[int], fields: Sequence[Mapping[str, Value]]
) -> Iterator[tuple[str, int, str | None, float | None]]:
    """The table's rows of some documents: name, the document's row, text and number."""
    for row, entries in zip(rows, fields, strict=True):
        for name, value in entries.items():
            if isinstance(value, str):
                yield name, row, value, read_plain_number(value)
            else:
                yield name, row, None, float(value)


def select_rows(where: Sequence[Condition]) -> tuple[str, list[str | float | None]]:
    """The statement for the rows of documents that fulfil all conditions, of which there is one at least."""
    parts, values = list[str](), list[str | float | None]()
    for condition in where:
        sign, number = condition.sign, condition.number  # the sign is one of six
        texts, numbers = (
            ("number IS NULL", "") if sign in ORDERING and number is not None else ("1", "text IS NULL AND ")
        )
        matches = f"({texts} AND text {sign} ?) OR ({numbers}number {sign} ?)"
        parts.append(f"SELECT row FROM fields WHERE name = ? AND ({matches})")
        values += [condition.name, condition.value, number]
    return " INTERSECT ".join(parts), values
