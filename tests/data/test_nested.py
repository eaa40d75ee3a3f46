"""Oracle: the same values written as JSON and as Arrow's types read as the same texts, which are counted by hand."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import as_triples, load

from nestvec.data.nested import list_leaves, reach
from nestvec.data.readers import read_file
from nestvec.data.source import Rejects
from nestvec.data.values import text_column
from nestvec.errors import InputError

CASES = Path(__file__).parent / "cases"


def write_json(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def read_texts(path, column):
    batches = read_file(path).read([column], Rejects())
    return [text for batch in batches for text in text_column(batch, column).to_pylist()]


NESTED = [
    {
        "query": {"text": f"saw {row}", "id": row},
        "doc": {"id": f"D{row}", "title": "Saw", "more": {"brand": "x"}},
        "grade": row,
    }
    for row in range(3)
]  # fmt: skip
NAMED = {"query": "query.text", "document": "doc.title,doc.more.brand", "document_id": "doc.id"}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("named", [NAMED, {"document": "{doc.title} {doc.more.brand}"}])
def test_fields_inside_fields_have_dotted_names(tmp_path, form, named):
    path = tmp_path / f"t.{form}"
    if form == "jsonl":
        write_json(path, NESTED)
    else:
        pq.write_table(pa.Table.from_pylist(NESTED), path)
    records = load(path, **named)
    assert as_triples(records) == [(f"saw {row}", "Saw x", float(row)) for row in range(3)]
    assert records.document_ids == ("D0", "D1", "D2")
    assert records.query_ids == ("0", "1", "2")
    with pytest.raises(
        InputError, match=r"no column 'query'; expected --query to be one of 'query\.text', 'query\.id', 'doc"
    ):
        load(path, query="query")


def test_the_nested_case_reads_with_and_without_options():
    named = load(CASES / "nested.jsonl", query="query.text", document="doc.title", document_id="doc.id")
    assert as_triples(load(CASES / "nested.jsonl")) == as_triples(named)
    assert len(named) == 200
    assert named.document_ids[:2] == ("D0000", "D0001")


def test_a_query_is_never_taken_for_a_document(tmp_path):
    path = write_json(tmp_path / "t.jsonl", [{"query": {"text": "saw"}, "thing": {"words": "a saw"}, "grade": 1}])
    with pytest.raises(InputError, match="no column is known as the document"):
        load(path)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_name_that_holds_a_dot_goes_first(tmp_path, form):
    path = tmp_path / f"t.{form}"
    if form == "jsonl":
        write_json(path, [{"a": {"b": "inner"}, "a.b": "own", "a.c": {"d": "deep"}}])
        assert read_texts(path, "a.c.d") == ["deep"]
    else:
        write_parquet(path, **{"a": pa.array([{"b": "inner"}]), "a.b": pa.array(["own"])})
    assert read_texts(path, "a.b") == ["own"]


def test_a_field_that_a_parent_lacks_is_empty(tmp_path):
    rows = [{"query": {"text": "a"}, "text": "b", "grade": 1}, {"query": None, "text": "b", "grade": 1}]
    with pytest.raises(InputError, match=r"row 2, column 'query\.text': is empty"):
        load(write_json(tmp_path / "t.jsonl", rows))
    structs = pa.array([{"text": "a"}, None], pa.struct([("text", pa.string())]))
    write_parquet(tmp_path / "t.parquet", query=structs, text=pa.array(["b", "b"]), grade=pa.array([1, 1]))
    with pytest.raises(InputError, match=r"row 2, column 'query\.text': is empty"):
        load(tmp_path / "t.parquet")


VALUES = {  # as JSON, as Arrow, the text
    "true": (True, pa.array([True]), "1"),
    "false": (False, pa.array([False]), "0"),
    "integer": (7, pa.array([7], pa.int8()), "7"),
    "unsigned": (2**64 - 1, pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    "whole float": (123.0, pa.array([123.0]), "123"),
    "large whole float": (1e15, pa.array([1e15]), "1000000000000000"),
    "float": (0.25, pa.array([0.25], pa.float32()), "0.25"),
    "half": (1.5, pa.array([1.5], pa.float32()).cast(pa.float16()), "1.5"),
    "NaN": (float("nan"), pa.array([float("nan")]), None),
    "null": (None, pa.array([None], pa.null()), None),
    "dictionary": ("a", pa.array(["a"]).dictionary_encode(), "a"),
    "large text": ("a", pa.array(["a"], pa.large_string()), "a"),
    "bytes": ("a", pa.array([b"a"]), "a"),
    "list": (["a", None, "b c", 2], pa.array([["a", None, "b c", "2"]]), "a b c 2"),
    "list of dictionary": (["a", "b"], pa.array([["a", "b"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))), "a b"),
    "large list": (["a", "b"], pa.array([["a", "b"]], pa.large_list(pa.string())), "a b"),
    "list of floats": ([1.0, 2.5], pa.array([[1.0, 2.5]]), "1 2.5"),
    "empty list": ([], pa.array([[]], pa.list_(pa.string())), None),
}


@pytest.mark.parametrize("case", list(VALUES))
def test_json_and_parquet_read_values_alike(tmp_path, case):
    value, array, text = VALUES[case]
    write_json(tmp_path / "t.jsonl", [{"x": value}])
    write_parquet(tmp_path / "t.parquet", x=array)
    assert read_texts(tmp_path / "t.jsonl", "x") == read_texts(tmp_path / "t.parquet", "x") == [text]


ARROW = {
    "decimal": (pa.array([decimal.Decimal("123.00"), decimal.Decimal("1.50")]), ["123", "1.50"]),
    "timestamp": (pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5)], pa.timestamp("s")), ["2024-01-02 03:04:05.000"]),
    "date": (pa.array([datetime.date(2024, 1, 2)]), ["2024-01-02"]),
    "duration": (pa.array([datetime.timedelta(hours=1)]), ["1:00:00"]),
    "map": (
        pa.array([[("brand", "x"), ("size", None), ("color", "red")]], pa.map_(pa.string(), pa.string())),
        ["brand: x, color: red"],
    ),
    "list of dates": (pa.array([[datetime.date(2024, 1, 2)]]), ["2024-01-02"]),
    "null struct": (pa.array([None, {"b": 1}]), None),
    "negative zero": (pa.array([-0.0]), ["0"]),
    "huge": (pa.array([1e300]), ["1e+300"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(ARROW))
def test_what_only_parquet_has(tmp_path, case):
    array, texts = ARROW[case]
    write_parquet(tmp_path / "t.parquet", x=array)
    if texts is None:
        assert read_texts(tmp_path / "t.parquet", "x.b") == [None, "1"]
    else:
        assert read_texts(tmp_path / "t.parquet", "x") == texts


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("value", [[{"a": "b"}], [["a"]]])
def test_what_is_no_text_is_named_with_row_and_column(tmp_path, form, value):
    path = tmp_path / f"t.{form}"
    rows = [{"query": "q", "title": [], "grade": 1}, {"query": "q", "title": value, "grade": 1}]
    if form == "jsonl":
        write_json(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(InputError, match=r"row \d, column 'title': is [\[{].*expected text or a number"):
        load(path, document="title")


def test_rows_of_which_no_text_can_be_made_are_set_aside(tmp_path):
    rows = [{"query": "q", "title": title, "grade": 1} for title in ([], [{"a": "b"}], ["x"])]
    pq.write_table(pa.Table.from_pylist(rows[:2]), tmp_path / "t.parquet")
    write_json(tmp_path / "t.jsonl", [{**rows[0], "title": ["x"]}, *rows[1:]])
    records = load(tmp_path / "t.jsonl", on_bad_row="set-aside")
    assert [(row.row, row.column) for row in records.rejected] == [(2, "title")]
    assert as_triples(records) == [("q", "x", 1.0)]
    with pytest.raises(InputError, match="holds no usable record"):
        load(tmp_path / "t.parquet", on_bad_row="set-aside")


def test_lists_are_texts_of_documents_and_of_nothing_else(tmp_path):
    rows = [{"query": ["a", "b"], "title": ["x", "y"], "grade": 1}]
    path = write_json(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError, match="column 'query': holds lists; expected a text or a number in each row"):
        load(path)
    write_json(path, [{**rows[0], "query": "a"}])
    assert as_triples(load(path)) == [("a", "x y", 1.0)]


def test_booleans_are_two_grades(tmp_path):
    records = load(CASES / "bool.parquet")
    assert len(records) == 200
    table = pq.read_table(CASES / "bool.parquet")
    assert records.grade.tolist() == [float(grade) for grade in table["grade"].to_pylist()]
    assert records.document_ids[:2] == ("0", "1")
    columns = ("query", "title", "document_id", "grade")
    write_json(tmp_path / "t.jsonl", [{name: row[name] for name in columns} for row in table.to_pylist()])
    assert as_triples(load(tmp_path / "t.jsonl")) == as_triples(records)


@pytest.mark.parametrize("value", [123.0, 1e5, 123])
def test_whole_numbers_as_ids_are_integers(tmp_path, value):
    path = write_json(tmp_path / "t.jsonl", [{"query": "q", "title": "x", "doc_id": value, "grade": 1}])
    write_parquet(tmp_path / "t.parquet", query=["q"], title=["x"], doc_id=[value], grade=[1])
    assert load(path).document_ids == load(tmp_path / "t.parquet").document_ids == (str(int(value)),)


def test_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="two columns are called 'x'"):
        load(tmp_path / "t.parquet")


KEYS = st.text(st.sampled_from("ab."), min_size=1, max_size=3)
OBJECTS = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8
)


@given(values=st.dictionaries(KEYS, OBJECTS, min_size=1))
def test_every_leaf_is_reached_by_its_name_or_hidden_by_a_leaf_of_the_same_name(values):
    leaves = list(list_leaves(values))
    for name, _ in leaves:
        assert reach(values, name) in [value for other, value in leaves if other == name]


JSON_TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
SCALARS = st.one_of(JSON_TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.none())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([JSON_TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(width=64), st.booleans()]),
    data=st.data(),
)
def test_any_column_reads_the_same_from_json_and_parquet(tmp_path, kind, data):
    values = data.draw(st.lists(st.one_of(st.none(), kind), min_size=1, max_size=5))
    lists = data.draw(st.booleans())
    column = [[value] for value in values] if lists else values
    write_json(tmp_path / "t.jsonl", [{"x": value} for value in column])
    write_parquet(tmp_path / "t.parquet", x=pa.array(column))
    from_json, from_parquet = (read_texts(tmp_path / f"t.{form}", "x") for form in ("jsonl", "parquet"))
    assert [_as_number(text) for text in from_json] == [_as_number(text) for text in from_parquet]


def _as_number(text):
    """1e-7 and 1e-07 are the same number in two spellings."""
    try:
        return text if text is None or text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


ODD_TIMES = {
    "date": (pa.date32(), pa.int32(), 2**31 - 1),
    "timestamp": (pa.timestamp("us"), pa.int64(), 2**62),
    "duration": (pa.duration("s"), pa.int64(), 2**62),
}


@pytest.mark.parametrize("column", ["query", "document", "grade", "list of documents"])
@pytest.mark.parametrize("case", ODD_TIMES)
def test_times_that_no_calendar_has_are_refused_by_row(tmp_path, case, column):
    kind, whole, large = ODD_TIMES[case]
    table = {"query": pa.array(["a", "b", "b"]), "document": pa.array(["c", "d", "e"]), "grade": pa.array([1, 0, 2])}
    times = pa.array([1, large, 1], whole).cast(kind)
    if column == "list of documents":
        column, times = "document", pa.ListArray.from_arrays([0, 1, 2, 3], times)
    write_parquet(tmp_path / "t.parquet", **{**table, column: times})
    with pytest.raises(InputError, match=f"row 2, column '{column}': holds a date, time or duration out of range"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize("large", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_a_whole_number_that_floats_round_is_no_grade(tmp_path, large):
    table = {"query": pa.array(["a", "b"]), "document": pa.array(["c", "d"]), "grade": pa.array([1, large])}
    write_parquet(tmp_path / "t.parquet", **table)
    with pytest.raises(InputError, match=f"row 2, column 'grade': is '{large}'; expected a number from"):
        load(tmp_path / "t.parquet")
