"""Oracle: the limits that docs/data.md states, and the memory of a process that reads what is far beyond them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bombs import BOMBS, LOADED, read_bomb
from tables import load, rows

from nestvec.data.limits import LONGEST
from nestvec.data.source import Rejects
from nestvec.encoding.text_file import open_text_file
from nestvec.errors import InputError

QUICK = ("parquet rows of one text", "parquet text, footer lies", "parquet list", "jsonl fields inside fields")


@pytest.mark.parametrize("name", QUICK)
def test_a_bomb_takes_little_memory(name, tmp_path):
    bomb = BOMBS[name]()
    bomb.write(tmp_path / "bomb")
    found = read_bomb(tmp_path / "bomb", seconds=60)
    assert found.refused or found.outcome == LOADED, found.outcome
    assert bomb.right in found.outcome
    assert found.peak < 1.0  # GiB


def test_a_line_that_is_too_long_is_set_aside_and_the_next_ones_keep_their_numbers(tmp_path):
    table = rows(queries=20)
    lines = [json.dumps(row) for row in table]
    lines[3] = json.dumps({**table[3], "document": "x" * LONGEST})
    lines[5] = "no JSON"
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="row 4: is longer than 8 MB"):
        load(path)
    records = load(path, on_bad_row="set-aside")
    assert [row.row for row in records.rejected] == [4, 6]
    assert len(records) == len(table) - 2


def test_a_text_as_long_as_a_record_may_be_is_read(tmp_path):
    table = rows(queries=20)
    table[0]["document"] = "word " * (LONGEST // 5 - 100)
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "t.parquet")
    assert table[0]["document"].strip() in load(tmp_path / "t.parquet").documents


def test_a_text_in_parquet_that_is_too_long_is_named(tmp_path):
    table = rows(queries=20)
    table[7]["document"] = "x" * (LONGEST + 1)
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "t.parquet", compression="none")
    with pytest.raises(InputError, match=r"t\.parquet, row 8, column 'document': is longer than 8 MB"):
        load(tmp_path / "t.parquet")


def test_a_line_of_plain_text_that_is_too_long_is_named(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(f"short\n{'x' * (LONGEST + 1)}\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2: is longer than 8 MB"):
        list(open_text_file(path).batches())


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_more_columns_than_are_read_are_refused(ending, tmp_path):
    names = [f"c{number}" for number in range(10_001)]
    path = tmp_path / f"t{ending}"
    if ending == ".csv":
        path.write_text(",".join(names) + "\n" + "," * 10_000, encoding="utf-8")
    elif ending == ".jsonl":
        path.write_text(json.dumps(dict.fromkeys(names, 1)), encoding="utf-8")
    else:
        pq.write_table(pa.table({name: [1] for name in names}), path)
    with pytest.raises(InputError, match="has more than 10,000 columns"):
        load(path)


def test_a_file_of_nothing_but_bad_rows_is_given_up(monkeypatch):
    monkeypatch.setattr("nestvec.data.source.MOST_SET_ASIDE", 2)
    rejects = Rejects("set-aside")
    for row in (1, 2):
        rejects.refuse(InputError("is empty", "text", file="t.csv", row=row), "x" * 5000)
    assert [len(row.content) for row in rejects.rows] == [2000, 2000]
    with pytest.raises(InputError, match=r"t\.csv, row 3: more than 2 rows are bad; this one is empty"):
        rejects.refuse(InputError("is empty", "text", file="t.csv", row=3))
