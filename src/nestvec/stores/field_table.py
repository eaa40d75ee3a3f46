"""The SQLite table of the documents' fields in an embedded index, and the query that filters documents by their fields.

A field whose value is a number has NULL in the column `text`. A text that is a plain number, such as `19.90`, is stored
in both columns, `text` and `number`, and conditions such as `<` compare it as a number.
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
    """Yield a table row for each field of each document: field name, the document's row number, text and number."""
    for row, entries in zip(rows, fields, strict=True):
        for name, value in entries.items():
            if isinstance(value, str):
                yield name, row, value, read_plain_number(value)
            else:
                yield name, row, None, float(value)


def select_rows(where: Sequence[Condition]) -> tuple[str, list[str | float | None]]:
    """Make the SELECT statement, and its parameters, that finds the documents fulfilling all conditions in `where`.

    There must be at least one condition.
    """
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
