"""Tables of judgements for tests: many queries, three grades, every document shared by few."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.data.load_records import load_records
from nestvec.settings import DataSettings

if TYPE_CHECKING:
    from nestvec.data.records import Records

CASES = Path(__file__).parent / "data" / "cases"  # small inputs that once went wrong
THINGS = ("hammer", "saw", "drill", "wrench", "level", "chisel", "clamp", "ladder", "shovel", "rake")


def rows(queries: int = 60, each: int = 5) -> list[dict[str, Any]]:
    """`each` documents a query, graded 3, 3, 2, 1, 1; every seventh query shares its first one with the next query."""
    grades = (3, 3, 2, 1, 1)

    def document(query: int, index: int) -> int:
        return (query + (query % 7 == 0 and index == 0)) * each + index

    return [
        {
            "query": f"{THINGS[query % 10]} size {query}",
            "document": f"{THINGS[document(query, index) // each % 10]} number {document(query, index)}",
            "grade": grades[index % 5],
        }
        for query in range(queries)
        for index in range(each)
    ]


def write_csv(path: Path, table: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Write rows with Python's csv module, which is not what nestvec reads with."""
    import csv

    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, fieldnames=list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return path


def write_table(path: Path, table: list[dict[str, Any]]) -> Path:
    """Write rows in the format of the path's ending."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(table), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, table)), encoding="utf-8")
    else:
        write_csv(path, table, "\t" if path.suffix == ".tsv" else ",")
    return path


def spoilt(queries: int = 60) -> list[dict[str, Any]]:
    """The same with something of everything that a check finds: see the comments."""
    table = rows(queries)
    table[1] = {**table[1], "document": "<script>window.pwned = 1</script> " + "rake " * 300}  # far too long
    table[3] = {**table[0], "query": f"  {table[0]['query'].upper()}", "grade": 1}  # the same query but for its form
    words = " ".join(f"{thing} {index}" for index, thing in enumerate(THINGS))  # 20 words, so 19 of 21 are in both
    table[6]["document"], table[7]["document"] = f"{words} red", f"{words} blue"
    table[8]["document"] = f"{words} red!"  # the very same words
    table[11] = {**table[10], "grade": 1}  # judged again, otherwise
    table[12]["document"] = "&lt;b&gt;  glue"  # cleaned
    table[15]["grade"] = "good"  # a bad row
    for row in table[20:25]:
        row["grade"] = 1  # a query that nothing is relevant for
    return table


def load(path: Path | str, **options: Any) -> Records:
    """The records of a source."""
    return load_records(DataSettings(source=str(path), **options))


def as_triples(records: Records) -> list[tuple[str, str, float]]:
    """Records as (query, document, grade)."""
    return [
        (records.queries[query], records.documents[document], float(grade))
        for query, document, grade in zip(records.query, records.document, records.grade, strict=True)
    ]
