"""Oracle: rows written by hand or by Python's own csv and json, so the texts, grades and row numbers are known."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import as_triples, load, rows, write_csv

from nestvec.data.load_records import load_records
from nestvec.data.records import save_records
from nestvec.errors import InputError
from nestvec.settings import DataSettings


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
def written(request, tmp_path):
    """The same table in every format."""
    table = rows()
    path = tmp_path / f"judged.{request.param}"
    if request.param in ("csv", "tsv"):
        write_csv(path, table, "\t" if request.param == "tsv" else ",")
    elif request.param == "jsonl":
        path.write_text("\n".join(map(json.dumps, table)) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(table), path)
    return path


def test_every_format_reads_the_same(written):
    assert as_triples(load(written)) == [(row["query"], row["document"], float(row["grade"])) for row in rows()]


def test_difficult_csv_reads_as_python_reads_it(tmp_path):
    path = tmp_path / "difficult.csv"
    lines = ("query,document,grade", '"a ""quoted"" query","two', 'lines, one comma",3', "", "plain,text,1e0", "")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    with path.open(newline="", encoding="utf-8-sig") as stream:
        expected = list(csv.DictReader(stream))
    assert [record[:2] for record in as_triples(load(path))] == [
        (row["query"], " ".join(row["document"].split())) for row in expected
    ]


def test_latin_1_entities_and_white_space_are_put_right_and_counted(tmp_path):
    path = tmp_path / "store.csv"
    path.write_bytes(
        "query,document,grade\ncaf\u00e9 table,1/2 in.&nbsp;x 3&quot;  bolt,2\nbolt,bolt,1\n".encode("latin-1")
    )
    records = load(path)
    assert as_triples(records)[0] == ("caf\u00e9 table", '1/2 in. x 3" bolt', 2.0)
    assert {finding.name: finding.count for finding in records.findings} == {
        "columns read": 3,
        "not UTF-8": 1,
        "texts cleaned": 1,
    }


def test_repeated_judgements_are_merged_and_said(tmp_path):
    table = [("q", "d", 1), ("q", "d", 2), ("q", "e", 3), ("q", "e", 3), ("p", "d", 3), ("q", "d", 3)]
    path = write_csv(tmp_path / "t.csv", [dict(zip(("query", "document", "grade"), row, strict=True)) for row in table])
    records = load(path)
    assert as_triples(records) == [("q", "d", 2.0), ("q", "e", 3.0), ("p", "d", 3.0)]
    findings = {finding.name: (finding.count, finding.examples) for finding in records.findings}
    assert findings["judged again with the same grade"] == (1, ("'q' with 'e'",))
    assert findings["judged again with another grade"] == (2, ("'q' with 'd': 1 to 3",))


def test_documents_are_told_apart_by_id_where_there_is_one(tmp_path):
    table = [("q", "same text", 3, "a 1"), ("q", "same text", 1, "b%1"), ("p", "other text", 2, "a 1")]
    path = write_csv(
        tmp_path / "t.csv", [dict(zip(("query", "document", "grade", "sku"), row, strict=True)) for row in table]
    )
    records = load(path)
    assert records.document_ids == ("a 1", "b%1")
    assert as_triples(records) == [("q", "same text", 3.0), ("q", "same text", 1.0), ("p", "same text", 2.0)]
    assert {finding.name for finding in records.findings} == {
        "columns read",
        "texts that are nearly empty",
        "another text under one document id",
        "documents whose text another id has too",
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, "Saw cuts wood"),
        ("name", "Saw"),
        ("description,name", "cuts wood Saw"),
        ("{name}. {description}!", "Saw. cuts wood!"),
    ],
)
def test_document_text_is_joined_as_asked(tmp_path, document, expected):
    table = [{"search_term": "saw", "Name": "x", "relevance": 1}]
    table = [{"search_term": "saw", "name": "Saw", "description": "cuts wood", "relevance": 1}]
    assert as_triples(load(write_csv(tmp_path / "t.csv", table), document=document)) == [("saw", expected, 1.0)]


@pytest.mark.parametrize(
    "names",
    [
        ("Search_Term", "Product_Title", "Relevance"),
        ("Search Term", "Product Title", "Rating"),
        (" search-term", "PRODUCT  NAME", "Relevance Score"),
    ],
)
def test_well_known_names_are_found_whatever_their_case_and_spaces(tmp_path, names):
    table = [dict(zip(names, ("saw", "Saw", 1.5), strict=True)) | {"id": 7}]
    assert as_triples(load(write_csv(tmp_path / "t.csv", table))) == [("saw", "Saw", 1.5)]


def test_a_name_that_is_known_as_it_stands_goes_before_one_with_spaces(tmp_path):
    table = [{"query": "saw", "Search Term": "x", "title": "Saw", "relevance": 1.5}]
    assert as_triples(load(write_csv(tmp_path / "t.csv", table))) == [("saw", "Saw", 1.5)]


def test_max_records_takes_a_seeded_part_and_drops_the_rest(written):
    part = load_records(DataSettings(source=str(written), max_records=40), seed=3)
    again = load_records(DataSettings(source=str(written), max_records=40), seed=3)
    other = load_records(DataSettings(source=str(written), max_records=40), seed=4)
    assert as_triples(part) == as_triples(again) != as_triples(other)
    assert len(part) == 40
    assert set(part.query.tolist()) == set(range(len(part.queries)))
    assert set(part.document.tolist()) == set(range(len(part.documents)))
    everything = {(row["query"], row["document"], float(row["grade"])) for row in rows()}
    assert set(as_triples(part)) <= everything


def test_saved_records_read_back(written, tmp_path):
    records = load(written)
    labels = np.array(["train", "test"])[np.arange(len(records)) % 2]
    save_records(records, labels, tmp_path / "records.parquet")
    table = pq.read_table(tmp_path / "records.parquet")
    assert table.column_names == ["query_id", "query", "document_id", "document", "grade", "split"]
    assert list(
        zip(table["query"].to_pylist(), table["document"].to_pylist(), table["grade"].to_pylist(), strict=True)
    ) == as_triples(records)
    assert table["split"].to_pylist() == labels.tolist()
    assert len(set(table["query_id"].to_pylist())) == len(records.queries)


CSV = "query,document,grade\n"
BAD = {
    "a ragged row": (CSV + "a,b,1\nc,d\n", "row 3", "2 fields", "3 as in the header"),
    "a word as grade": (CSV + "a,b,1\nc,d,good\n", "row 3", "column 'grade'", "is 'good'"),
    "an empty grade": (CSV + "a,b,1\nc,d,\n", "row 3", "column 'grade'", "is empty"),
    "an infinite grade": (CSV + "a,b,inf\n", "row 2", "column 'grade'", "'inf'"),
    "a grade that is NaN": (CSV + "a,b,1\na,c,nan\n", "row 3", "column 'grade'", "'nan'"),
    "an absurd grade": (CSV + "a,b,1e300\n", "row 2", "column 'grade'", "'1e300'"),
    "an empty query": (CSV + "a,b,1\n  ,d,2\n", "row 3", "column 'query'", "is empty"),
    "a query of white space in HTML": (CSV + "a,b,1\n&nbsp;,c,2\n", "row 3", "column 'query'", "is empty"),
    "an empty document": (CSV + "a,b,1\na,,2\n", "row 3", "column 'document'", "is empty"),
    "no record": (CSV, "holds no record"),
    "nothing": ("", "is empty"),
    "blank lines only": ("\n\n\n", "is empty"),
    "a column missing": ("query,text\na,b\n", "no column is known as the grade", "--grade", "'text'"),
    "an ambiguous column": ("query,text,grade,score\na,b,1,2\n", "more than one column", "'grade', 'score'", "--grade"),
    "two of one name": ("query,document,grade,grade\na,b,1,2\n", "two columns", "'grade'"),
}


def assert_refused(path, content, words):
    """Loading ends with one message that names the file and all of `words`."""
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load(path)
    for word in (str(path), "expected", *words):
        assert word in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_csv_is_refused_with_its_place(tmp_path, case):
    content, *words = BAD[case]
    assert_refused(tmp_path / "bad.csv", content, words)


JSON = '{"query": "a", "document": "b", "grade": 1}\n'
BAD_JSON = {
    "not JSON": (JSON + "{oops\n", "row 2", "not JSON"),
    "a list": (JSON + "[1]\n", "row 2", "[1]"),
    "a null grade": (JSON + '{"query": "a", "document": "c", "grade": null}\n', "row 2", "'grade'", "empty"),
    "a missing query": (JSON + '{"document": "c", "grade": 1}\n', "row 2", "'query'", "empty"),
    "a nested document": (JSON + '{"query": "a", "document": {"x": 1}, "grade": 1}\n', "row 2", "'document'"),
    "half a surrogate pair": (JSON + '{"query": "\\ud800", "document": "c", "grade": 1}\n', "row 2", "'query'"),
    "NaN": (JSON + '{"query": "a", "document": "c", "grade": NaN}\n', "row 2", "'grade'", "empty"),
}


@pytest.mark.parametrize("case", BAD_JSON, ids=list(BAD_JSON))
def test_bad_json_lines_are_refused_with_their_place(tmp_path, case):
    content, *words = BAD_JSON[case]
    assert_refused(tmp_path / "bad.jsonl", content, words)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(rows()), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"t\.parquet.*cannot be read"):
        load(path)


def test_bad_values_in_parquet_have_their_row(tmp_path):
    table = pa.Table.from_pylist(rows())
    grades = table["grade"].to_pylist()
    grades[17] = None
    broken = table.set_column(2, "grade", pa.array(grades, pa.int64()))
    pq.write_table(broken, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"row 18, column 'grade': is empty"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("name", "found"), [("gone.csv", "no such file"), ("table.xlsx", "unknown format"), ("x", "(no ending)")]
)
def test_files_that_cannot_be_read_are_refused(tmp_path, name, found):
    if name != "gone.csv":
        (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match=found.replace("(", r"\(").replace(")", r"\)")):
        load(tmp_path / name)


@pytest.mark.parametrize("column", ["query", "document", "grade", "document_id"])
def test_a_named_column_that_is_missing_is_refused(written, column):
    with pytest.raises(InputError, match="there is no column 'nowhere'") as caught:
        load(written, **{column: "nowhere"})
    assert "'query', 'document', 'grade'" in str(caught.value)
