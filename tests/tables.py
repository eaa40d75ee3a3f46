"""Tables of judgements for tests: many queries, three grades, every document shared by few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

THINGS = ("hammer", "saw", "drill", "wrench", "level", "chisel", "clamp", "ladder", "shovel", "rake")


def rows(queries: int = 60, each: int = 5) -> list[dict[str, Any]]:
    """`each` documents a query, graded 3, 3, 2, 1, 1; every seventh query shares its first one with the next query."""
    grades = (3, 3, 2, 1, 1)

    def document(query: int, place: int) -> int:
        return (query + (query % 7 == 0 and place == 0)) * each + place

    return [
        {
            "query": f"{THINGS[query % 10]} size {query}",
            "document": f"{THINGS[document(query, place) // each % 10]} number {document(query, place)}",
            "grade": grades[place % 5],
        }
        for query in range(queries)
        for place in range(each)
    ]


def write_csv(path: Path, table: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Write rows with Python's csv module, which is not what nestvec reads with."""
    import csv

    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, fieldnames=list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return path
