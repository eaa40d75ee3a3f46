"""Tables of the kinds that once lost rows in silence, each with what is right; also for benchmarks/attack_inputs.py.

Written with Python's own csv and json modules or by hand, so the right rows, ids and grades are known.
"""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tables import rows

from nestvec.data.load_records import load_records
from nestvec.data.text import clean_text
from nestvec.errors import InputError
from nestvec.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COLUMNS = ("query", "document_id", "title", "grade")
STRAY = ('"Heavy" {}', '"6 inch {}', '{} 8"', '{} 6" x 8"', '"{}', '{}"', '"', '""{}', '"{}, big', '{}, "big"')
ODD_IDS = (
    *("007", "7", "1e5", "100000", "a b", "a  b", "a%20b", "ü/ä", "NaN", "null", "TRUE", "-1", "0x10", "A&amp;B"),
    *("A&B", "1.0", "1", "?id=7&region=eu", "&copy=2", "#", "'x'", "x;y", "x|y", "1,000", "Ⅷ", "a\u00a0b", "%"),
)
WORDS = {
    "gb18030": "红色锤子 尺寸",
    "cp932": "赤いハンマー サイズ",
    "cp949": "빨간 망치",
    "big5": "紅色錘子",
    "cp1251": "красный молоток",
    "koi8_r": "стальной молоток",
    "cp1250": "młotek żółty",
    "cp1252": "Größe \u201cpro\u201d 3\u201d \u2013 5€",
    "cp1253": "κόκκινο σφυρί",
    "utf-8": "Größe 锤",
    "utf-8-sig": "naïve 锤",
    "utf-16": "Größe 锤子",
    "utf-16-le": "Größe 锤子",
}


class WrongResultError(AssertionError):
    """An input gave something else than what is right."""


@dataclass(frozen=True)
class Counted:
    """An input and what is right.

    Attributes:
        name: its kind, with the ending of its file.
        files: content by name; the first is the source, unless the options say otherwise.
        rows: (query, document id, text, grade) of every record.
        options: settings; values that name one of the files become its path.
        refusable: whether an `InputError` is right, too.
    """

    name: str
    files: dict[str, bytes]
    rows: list[tuple[str, str, str, float]]
    options: dict[str, Any] = field(default_factory=dict)
    refusable: bool = False


def _table(rng: random.Random) -> list[list[str]]:
    table = [
        [row["query"], f"D{number:04d}", row["document"], str(row["grade"])]
        for number, row in enumerate(rows(queries=rng.randint(20, 60), each=rng.randint(2, 6)))
    ]
    for row in table:
        row[2] += f" no. {row[1]}"  # no two texts are the same
    return table


def _right(table: list[list[str]]) -> list[tuple[str, str, str, float]]:
    return [(query, name, clean_text(title), float(grade.replace(",", "."))) for query, name, title, grade in table]


def _write(table: list[list[str]], delimiter: str, quoting: int | None, header: bool = True) -> str:
    """The table as csv writes it; without quoting, as it stands."""
    lines = [list(COLUMNS), *table] if header else table
    if quoting is None:
        return "\n".join(delimiter.join(line) for line in lines)
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, quoting=quoting).writerows(lines)
    return stream.getvalue()


def _dirty(rng: random.Random, table: list[list[str]]) -> None:
    for _ in range(rng.randint(1, 5)):
        row = rng.choice(table)
        row[2] = rng.choice(STRAY).format(row[2])


def stray_quotes_in_tsv(rng: random.Random) -> Counted:
    table = _table(rng)
    _dirty(rng, table)
    return Counted("t.tsv", {"t.tsv": _write(table, "\t", None).encode()}, _right(table))


def stray_quotes_in_csv(rng: random.Random) -> Counted:
    table = _table(rng)
    _dirty(rng, table)
    delimiter = rng.choice(",;|")
    quoting = rng.choice([None, "none", "double"])
    options = {} if quoting is None else {"quoting": quoting}
    if any(delimiter in row[2] for row in table):
        delimiter = "|"
    content = _write(table, delimiter, None).encode()
    return Counted("t.csv", {"t.csv": content}, _right(table), options, refusable=quoting != "none")


def honest_lines(rng: random.Random) -> Counted:
    table = _table(rng)
    for _ in range(rng.randint(1, 20)):
        row = rng.choice(table)
        pieces = rng.choices(["a, b, c", "Red", "S,M", '6"', "", "1,5", "x; y", "10 | 20", "end."], k=rng.randint(1, 6))
        row[2] += rng.choice(["\n", "\r\n"]).join(["", *pieces])
    delimiter, quoting = rng.choice(",;|\t"), rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    return Counted("t.csv", {"t.csv": _write(table, delimiter, quoting).encode()}, _right(table))


def odd_delimiters(rng: random.Random) -> Counted:
    table = _table(rng)
    delimiter, ending = rng.choice(";|\t,:^~"), rng.choice([".csv", ".tsv"])
    if delimiter != ",":
        for row in table:
            row[3] = rng.choice(["{},5", "{}", "{},25"]).format(row[3])
    options: dict[str, Any] = {"delimiter": delimiter} if delimiter in ":^~" or rng.random() < 0.3 else {}
    quoting = None if ending == ".tsv" else rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, None])
    header = rng.random() < 0.7
    if not header:
        options["columns"] = COLUMNS
    content = _write(table, delimiter, quoting, header).encode()
    return Counted(f"t{ending}", {f"t{ending}": content}, _right(table), options)


def other_encodings(rng: random.Random) -> Counted:
    table, encoding = _table(rng), rng.choice(list(WORDS))
    for row in table:
        row[2] = f"{WORDS[encoding]} {row[2]}"
    told = encoding not in ("utf-8", "utf-8-sig", "utf-16", "cp1252") or rng.random() < 0.3
    options = {"encoding": encoding} if told else {}
    if rng.random() < 0.3 and (told or encoding in ("utf-8", "utf-16")):
        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in table]
        return Counted("t.jsonl", {"t.jsonl": "\n".join(lines).encode(encoding)}, _right(table), options)
    content = _write(table, ",", rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).encode(encoding)
    return Counted("t.csv", {"t.csv": content}, _right(table), options)


def odd_ids(rng: random.Random) -> Counted:
    table = _table(rng)
    for row, name in zip(rng.sample(table, len(ODD_IDS)), ODD_IDS, strict=True):
        row[1] = name
    if rng.random() < 0.3:
        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in table]
        return Counted("t.jsonl", {"t.jsonl": "\n".join(lines).encode()}, _right(table))
    delimiter, quoting = rng.choice(",;|\t"), rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    return Counted("t.csv", {"t.csv": _write(table, delimiter, quoting).encode()}, _right(table))


def white_space_in_qrels(rng: random.Random) -> Counted:
    table = _table(rng)
    for row, name in zip(rng.sample(table, 5), ("007", "7", "1e5", "A&amp;B", "%"), strict=True):
        row[1] = name
    ids = {text: f"{number:03d}" for number, text in enumerate(dict.fromkeys(row[0] for row in table))}
    columns = rng.choice([3, 4])
    lines = ["query-id\tcorpus-id\tscore"] if columns == 3 and rng.random() < 0.5 else []
    for query, name, _, grade in table:
        fields = [ids[query], name, grade] if columns == 3 else [ids[query], "0", name, grade]
        gaps = ["".join(rng.choices(" \t", k=rng.randint(1, 2))) for _ in fields[1:]]
        ends = rng.choice(["", " ", "\t", "  "]), rng.choice(["", "", " "])
        lines.append(ends[1] + "".join(a + b for a, b in zip(fields, [*gaps, ends[0]], strict=True)))
    files = {
        "qrels.txt": rng.choice(["\n", "\r\n"]).join(lines).encode(),
        "queries.tsv": "\n".join(f"{name}\t{text}" for text, name in ids.items()).encode(),
        "corpus.tsv": "\n".join(f"{name}\t{title}" for _, name, title, _ in table).encode(),
    }
    options = {"qrels": "qrels.txt", "queries": "queries.tsv", "corpus": "corpus.tsv"}
    return Counted("qrels", files, _right(table), options)


IDS: tuple[tuple[pa.DataType, Callable[[int], object]], ...] = (  # exact digits, whatever a float would make of them
    (pa.int64(), lambda row: 2**53 + row),
    (pa.uint64(), lambda row: 2**64 - 1 - row),
    (pa.decimal128(38, 0), lambda row: 10**30 + row),
    (pa.decimal256(60, 0), lambda row: 10**50 + row),
    *((kind, lambda row: f"{row:04d}") for kind in (pa.string(), pa.large_string(), pa.string_view())),
    *((kind, lambda row: f"{row:04d}".encode()) for kind in (pa.binary(), pa.large_binary(), pa.binary(4))),
)
GRADES = (pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 2))
TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())


def typed_parquet(rng: random.Random) -> Counted:
    """A table of Arrow's many kinds of text and number, some as dictionaries or inside others, in Parquet's forms."""
    table = _table(rng)
    id_kind, name_id = rng.choice(IDS)
    ids = [name_id(row) for row in range(len(table))]
    grade_kind, text_kind = rng.choice(GRADES), rng.choice(TEXTS)
    grades = [Decimal(row[3]) if pa.types.is_decimal(grade_kind) else int(row[3]) for row in table]
    columns = {
        "query": pa.array([row[0] for row in table]).cast(rng.choice(TEXTS)),
        "document_id": pa.array(ids, id_kind),
        "title": pa.array([row[2] for row in table]).cast(text_kind),
        "grade": pa.array(np.array(grades, np.float16) if grade_kind == pa.float16() else grades, grade_kind),
    }
    for name, column in columns.items():
        if rng.random() < 0.4 and "view" not in str(column.type):  # Arrow writes no dictionaries of views
            columns[name] = column.dictionary_encode()
    whole = pa.table(columns)
    if rng.random() < 0.3:  # the document's fields inside one column
        inner = [columns["document_id"], columns["title"]]
        whole = pa.table({
            "query": columns["query"],
            "product": pa.StructArray.from_arrays(inner, names=["id", "title"]),
            "grade": columns["grade"],
        })  # fmt: skip
    sink, coded = io.BytesIO(), rng.random() < 0.7
    how = {"compression": rng.choice(["none", "snappy", "gzip", "zstd"]), "data_page_size": rng.choice([64, 1 << 20])}
    rows_of_group = 1000 if "view" in str(whole.schema) else rng.choice([1, 7, 1000])  # Arrow cannot cut views
    pq.write_table(whole, sink, use_dictionary=coded, row_group_size=rows_of_group, **how)
    shown = [name.decode() if isinstance(name, bytes) else str(name) for name in ids]
    right = [(query, name, text, grade) for name, (query, _, text, grade) in zip(shown, _right(table), strict=True)]
    return Counted("t.parquet", {"t.parquet": sink.getvalue()}, right)


KINDS: tuple[Callable[[random.Random], Counted], ...] = (
    stray_quotes_in_tsv, stray_quotes_in_csv, honest_lines, odd_delimiters, other_encodings, odd_ids,
    white_space_in_qrels, typed_parquet,
)  # fmt: skip


def counted_inputs(seed: int, count: int) -> Iterator[tuple[str, Counted]]:
    """Make `count` inputs whose right rows are known; yields each one's name and the input."""
    rng = random.Random(seed)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        made = kind(rng)
        yield f"{number}-{kind.__name__}-{made.name}", made


def counted_outcome(folder: Path, made: Counted) -> str:
    """`loaded`, or the message; anything else is raised.

    Raises:
        WrongResultError: other rows than are right, or a refusal where none is right.
    """
    for name, content in made.files.items():
        (folder / name).write_bytes(content)
    options = {name: str(folder / value) if value in made.files else value for name, value in made.options.items()}
    source = {} if "qrels" in options else {"source": str(folder / next(iter(made.files)))}
    try:
        records = load_records(DataSettings(**source, **options))
    except InputError as error:
        if not made.refusable:
            raise WrongResultError(f"a file that should load was refused: {error}") from error
        return str(error)
    found = [
        (records.queries[query], records.document_ids[document], records.documents[document], float(grade))
        for query, document, grade in zip(records.query, records.document, records.grade, strict=True)
    ]
    if len(found) != len(made.rows):
        raise WrongResultError(f"{len(found)} rows were read; the file holds {len(made.rows)}")
    if not made.refusable:  # the texts are known, too
        for given, right in zip(found, made.rows, strict=True):
            if given != right:
                raise WrongResultError(f"{given} was read; the file holds {right}")
    return "loaded"
