"""Documents of a file by their own ids: `shared/cases/urls.csv`, and ids drawn at random.

Oracle: the file as Python's own reader of CSV has it, byte for byte; each document goes by its own id and no other's.
"""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import CASES, write_csv, write_table

import nestvec
from nestvec.errors import InputError
from nestvec.indexing.index import build_index, open_index
from nestvec.indexing.index_settings import Columns

HERE = ["--system", "pretrained", "--dimension", 48, "--precision", "int8"]
NAMED = ["--document", "text", "--document-id", "id"]
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n")
IDS = st.lists(st.text(LETTERS, min_size=1, max_size=10).filter(str.strip), min_size=1, max_size=8, unique=True)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def hits_of(index):
    return {hit.id: hit for hit in index.search("hammer", 1000)}


def test_ids_and_fields_are_the_files_byte_for_byte(run, typed):
    code, out, message = typed("index", run, *HERE, "--documents", CASES / "urls.csv", *NAMED)
    assert code == 0, message
    assert "6 documents" in out
    wanted = {row["id"]: row for row in rows_of(CASES / "urls.csv")}
    assert len(wanted) == 6
    code, out, _ = typed("search", run, "hammer", "--top", 10, "--json")
    found = {hit["id"]: hit for hit in map(json.loads, out.splitlines())}
    assert set(found) == set(wanted)
    for name, row in wanted.items():
        assert found[name]["fields"] == {"brand": row["brand"], "code": row["code"]}
        assert found[name]["text"] == row["text"]
    assert {hit.id for hit in nestvec.search(run, "hammer", 9, ["code=0123"])} == {"0123"}
    assert {hit.id for hit in nestvec.search(run, "hammer", 9, ["code=12345678901234567891"])} == {"a b"}
    assert {hit.id for hit in nestvec.search(run, "hammer", 9, ["brand=null"])} == {"0123"}


def test_what_is_named_is_deleted_and_nothing_else(run, tmp_path, typed):
    typed("index", run, *HERE, "--documents", CASES / "urls.csv", *NAMED)
    code, out, message = typed("index", run, "--delete", CASES / "gone.txt")
    assert (code, "1 documents removed" in out, "5 documents" in out) == (0, True, True), message
    assert "not in the index" not in message
    gone = tmp_path / "gone.txt"
    gone.write_bytes("\ufeffa b\r\nnobody\n0123 \n\n".encode())
    code, out, message = typed("index", run, "--delete", gone)
    assert code == 0
    assert "1 documents removed" in out
    assert "2 ids are not in the index: 'nobody', '0123 '" in message
    with open_index(run) as index:
        assert set(hits_of(index)) == {
            "https://shop.example/p?id=8&copy=2&section=tools", "0123", "4006381333931", "a  b"
        }  # fmt: skip


def test_ids_none_of_which_is_there_are_an_error(run, tmp_path, typed):
    typed("index", run, *HERE, "--documents", CASES / "urls.csv", *NAMED)
    gone = tmp_path / "gone.txt"
    gone.write_text("".join(f"x{n}\n" for n in range(9)))
    code, out, message = typed("index", run, "--delete", gone)
    assert (code, out) == (2, "")
    assert "no id of this file is in the index ('x0', 'x1', 'x2', 'x3', 'x4' …)" in message
    with open_index(run) as index:
        assert len(index.store) == 6
        with pytest.raises(InputError, match=r"ids\[1\] is int"):
            index.delete(["0123", 123])
        with pytest.raises(InputError, match="ids is a string"):
            index.delete("0123")
        assert index.find_missing(["0123", "123", "123"]) == ["123"]
        assert index.delete(["0123", "123"]) == 1


def test_an_upsert_meets_the_very_id(run, tmp_path):
    odd = rows_of(CASES / "oddids.csv")
    table = [{"id": row["document_id"], "text": row["title"]} for row in odd]
    with build_index(run, system="pretrained", documents=write_csv(tmp_path / "all.csv", table)) as index:
        assert len(index.store) == 200
        for name in ("007", "a  b", "a%20b", "A&amp;B", "NaN", "null"):
            again = write_csv(tmp_path / "again.csv", [{"id": name, "text": "changed"}])
            assert index.upsert(again) == 1
            assert len(index.store) == 200
        changed = {name for name, hit in hits_of(index).items() if hit.text == "changed"}
        assert changed == {"007", "a  b", "a%20b", "A&amp;B", "NaN", "null"}


def test_of_an_id_that_stands_twice_the_last_row_counts_and_that_is_said(run, tmp_path, typed):
    table = [{"id": "a", "text": "saw"}, {"id": "b", "text": "drill"}, {"id": "a", "text": "hammer"}]
    code, out, message = typed("index", run, *HERE, "--documents", write_csv(tmp_path / "twice.csv", table))
    assert code == 0
    assert "2 documents" in out
    assert "1 id occurs in more than one row, such as 'a': the last row is kept" in message
    code, out, message = typed("index", run, "--upsert", tmp_path / "twice.csv")
    assert "2 documents added or replaced" in out
    with open_index(run) as index:
        assert {name: hit.text for name, hit in hits_of(index).items()} == {"a": "hammer", "b": "drill"}


PRICES = [("1", "129.5"), ("2", "89"), ("3", ""), ("4", "-2"), ("5", "0.25")]


@pytest.mark.parametrize(
    ("odd", "kind"),
    [(None, float), ("0123", str), ("1e5", str), ("NaN", str), ("null", str), ("1.50", str), (" 7", str), ("+7", str),
     ("9007199254740992", float), ("9007199254740993", str), ("12345678901234567890", str), ("-0", str), ("٣", str)],
)  # fmt: skip
def test_a_column_is_numbers_only_where_every_value_prints_as_it_is_written(run, tmp_path, odd, kind):
    values = [*PRICES, *([("6", odd)] if odd else [])]
    path = write_csv(tmp_path / "p.csv", [{"id": name, "text": "saw", "price": price} for name, price in values])
    with build_index(run, system="pretrained", documents=path) as index:
        held = {name: hit.fields.get("price") for name, hit in hits_of(index).items()}
        assert {name: str(price) for name, price in held.items() if price is not None} == {
            name: price for name, price in values if price
        }
        assert all(isinstance(price, str) == (kind is str) for price in held.values() if price is not None)
        assert (held["3"], type(held["2"])) == (None, str if kind is str else int)
        cheap = {hit.id for hit in index.search("saw", 9, [nestvec.indexing.index.Condition.parse("price<=100")])}
        assert {"2", "4", "5"} <= cheap
        assert not {"1", "3"} & cheap


def test_json_says_what_a_number_is(run, tmp_path):
    rows = [{"id": "a", "text": "saw", "n": 5, "s": "5", "big": 2**60, "mixed": 1, "sale": True, "in": {"stock": 3}},
            {"id": "b", "text": "saw", "n": 0.5, "s": "07", "mixed": "x", "sale": False}]  # fmt: skip
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with build_index(run, system="pretrained", documents=path) as index:
        found = {name: dict(hit.fields) for name, hit in hits_of(index).items()}
    assert found == {
        "a": {"n": 5, "s": "5", "big": str(2**60), "mixed": "1", "sale": "true", "in.stock": 3},
        "b": {"n": 0.5, "s": "07", "mixed": "x", "sale": "false"},
    }


def test_a_field_that_begins_late_in_a_json_file_is_a_field(run, tmp_path):
    rows = [{"id": str(n), "text": "saw"} | ({"late": n, "inner": {"x": "y"}} if n > 120 else {}) for n in range(130)]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with build_index(run, system="pretrained", documents=path) as index:
        fields = {name: dict(hit.fields) for name, hit in hits_of(index).items()}
    assert (fields["121"], fields["7"]) == ({"late": 121, "inner.x": "y"}, {})


def test_parquet_says_what_a_value_is(run, tmp_path):
    table = {"id": [7.0, 8.0], "text": ["saw", "saw"], "n": [3, 2**60], "nan": [float("nan"), 0.5],
             "text2": ["0123", "NaN"], "raw": [b"x", None], "sale": [True, None]}  # fmt: skip
    table["narrow"] = pa.array([0.1, None], pa.float32())
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    with build_index(run, system="pretrained", documents=tmp_path / "p.parquet") as index:
        fields = {name: dict(hit.fields) for name, hit in hits_of(index).items()}
    assert fields == {
        "7": {"narrow": 0.1, "n": 3, "text2": "0123", "raw": "x", "sale": "true"},
        "8": {"n": str(2**60), "nan": 0.5, "text2": "NaN"},
    }


@pytest.fixture
def shelf(run):
    """An index with one document of another id."""
    with build_index(run, system="pretrained", dimension=48, precision="int8") as index:
        index.delete([hit.id for hit in index.search("hammer", 5000)][1:])
        yield index


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "tsv"])
@given(ids=IDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_survive_every_format_the_store_and_a_deletion(shelf, tmp_path, ending, ids):
    if ending == "tsv":
        ids = [name for name in ids if not set(name) & set('\t"')] or ["a  b"]
    path = write_table(tmp_path / f"t.{ending}", [{"id": name, "text": "a saw", "own": "x" + name} for name in ids])
    before = set(hits_of(shelf))
    assert shelf.upsert(path, Columns(document="text", document_id="id")) == len(ids)
    found = hits_of(shelf)
    assert set(found) == before | set(ids)
    assert all(found[name].fields["own"] == "x" + name for name in ids)
    (tmp_path / "gone.txt").write_bytes("\n".join(ids).encode())
    from nestvec.cli.delivering import _read_ids

    assert _read_ids(tmp_path / "gone.txt") == ids
    assert shelf.find_missing(ids) == []
    assert shelf.delete(ids) == len(ids)
    assert set(hits_of(shelf)) == before


def test_ids_survive_postgres(run, server, tmp_path):
    ids = [*[row["document_id"] for row in rows_of(CASES / "oddids.csv")][:40], "nul\x00id", "\x01"]
    path = write_table(tmp_path / "t.parquet", [{"id": name, "text": "a saw"} for name in ids])
    with build_index(run, server, name="odd", system="pretrained", documents=path) as index:
        assert set(hits_of(index)) == set(ids)
        assert index.find_missing([*ids, "7 "]) == ["7 "]
        assert index.delete(ids[:3]) == 3
        assert set(hits_of(index)) == set(ids[3:])


def test_an_index_of_nestvec_0_1_keeps_meeting_its_ids(run, tmp_path):
    """Its ids were cleaned and percent-encoded; a file of the same documents must replace them, not stand beside."""
    path = write_csv(tmp_path / "old.csv", [{"id": "P%200", "text": "saw"}, {"id": "A&B", "text": "drill"}])
    build_index(run, system="pretrained", documents=path).close()
    about = run / "index/embedded/current.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "schema": 1}))
    again = [{"id": "P  0", "text": "new saw"}, {"id": "A&amp;B", "text": "new drill"}]
    with open_index(run) as index:
        assert index.upsert(write_csv(tmp_path / "new.csv", again)) == 2
        assert {name: hit.text for name, hit in hits_of(index).items()} == {"P%200": "new saw", "A&B": "new drill"}
        assert index.find_missing(["P 0", "P 1"]) == ["P 1"]
        assert index.delete(["P 0"]) == 1


def test_bad_rows_can_be_set_aside_and_the_mended_file_is_taken(run, tmp_path, typed):
    bad = CASES / "empty_cell.csv"
    code, _, message = typed("index", run, *HERE, "--documents", bad)
    assert code == 2
    assert f"{bad}, row 3, column 'text': is empty" in message
    assert not (run / "index/work").exists()
    mended = tmp_path / "mended.csv"
    mended.write_text(bad.read_text().replace("2,\n", "2,green rake\n"))
    assert typed("index", run, *HERE, "--documents", mended)[0] == 0
    code, out, message = typed("index", run, *HERE, "--documents", bad, "--on-bad-row", "set-aside")
    assert code == 0, message
    assert "2 documents" in out
    rejected = run / "index/rejected.parquet"
    assert f"1 bad row was set aside into {rejected}" in "".join(message.splitlines(keepends=False))
    assert [(row["row"], row["column"], row["problem"]) for row in pq.read_table(rejected).to_pylist()] == [
        (3, "text", "is empty")
    ]
    code, out, _ = typed("index", run, "--upsert", bad, "--on-bad-row", "set-aside")
    assert "2 documents added or replaced" in out
    assert typed("index", run, "--upsert", mended)[0] == 0
    assert not rejected.exists()
    code, _, message = typed("index", run, "--upsert", bad, "--on-bad-row", "skip")
    assert (code, "--on-bad-row is 'skip'; expected stop or set-aside" in message) == (2, True)


def test_a_file_that_follows_another_whose_encoding_was_cut_off_is_taken(run, tmp_path, monkeypatch):
    """What an interrupted build left is of its own file only."""
    from nestvec.encoding import encode_file

    files = [write_csv(tmp_path / f"{n}.csv", [{"id": f"{n}{m}", "text": f"saw {m}"} for m in range(9)]) for n in "ab"]
    with monkeypatch.context() as broken:
        broken.setattr(encode_file, "write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(run, system="pretrained", documents=files[0])
    with build_index(run, system="pretrained", documents=files[1]) as index:
        assert set(hits_of(index)) == {f"b{m}" for m in range(9)}
