"""The embedded store's SQLite table of fields, and the statement that finds documents by conditions on them.

For a field that is a number, the column `text` is NULL. For a text that is a plain number, such as `19.90`, both `text`
and `number` are set, so that a condition such as `price<=20` compares the number.
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
    """Yield rows for the SQLite table of fields: field name, document's row number, and value as text and number."""
    for row, entries in zip(rows, fields, strict=True):
        for name, value in entries.items():
            if isinstance(value, str):
                yield name, row, value, read_plain_number(value)
            else:
                yield name, row, None, float(value)


def select_rows(where: Sequence[Condition]) -> tuple[str, list[str | float | None]]:
    """Make the SQL statement, and its parameters, that finds documents that fulfil all conditions (at least one)."""
    parts, values = list[str](), list[str | float | None]()
    for condition in where:
        sign, number = condition.sign, condition.number  # `Condition` has checked the sign, so it is safe in SQL
        texts, numbers = (
            ("number IS NULL", "") if sign in ORDERING and number is not None else ("1", "text IS NULL AND ")
        )
        matches = f"({texts} AND text {sign} ?) OR ({numbers}number {sign} ?)"
        parts.append(f"SELECT row FROM fields WHERE name = ? AND ({matches})")
        values += [condition.name, condition.value, number]
    return " INTERSECT ".join(parts), values
