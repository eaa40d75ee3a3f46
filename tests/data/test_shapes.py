"""Oracle: the same pairs written in every shape read the same; grades, ids and row numbers counted by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import as_triples, load

from nestvec.data.labels import SCALES, normalise_label
from nestvec.data.sources import open_source
from nestvec.errors import InputError
from nestvec.settings import DataSettings

CASES = Path(__file__).parent / "cases"
PAIRS = [("saw", ["a saw", "another"], ["a drill"]), ("drill", ["a drill"], [])]
EXPECTED = [("saw", "a saw", 1.0), ("saw", "another", 1.0), ("saw", "a drill", 0.0), ("drill", "a drill", 1.0)]


def write_json(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def passages(texts):
    return [{"docid": f"D{text}", "title": "", "text": text} for text in texts]


def contexts(texts):
    return [{"title": "", "text": text, "passage_id": text} for text in texts]


def graded(texts, grade):
    return [{"text": text, "grade": grade} for text in texts]


LISTS = {
    "FlagEmbedding": [
        {"query": query, "pos": pos, "neg": neg, "pos_scores": [9.5] * len(pos), "neg_scores": [8] * len(neg),
         "prompt": "Represent", "type": "symmetric_sts", "id": str(row)}
        for row, (query, pos, neg) in enumerate(PAIRS)
    ],
    "sentence-transformers": [{"anchor": query, "positive": pos, "negative": neg} for query, pos, neg in PAIRS],
    "Tevatron": [
        {"query_id": str(row), "query": query, "positive_passages": passages(pos), "negative_passages": passages(neg)}
        for row, (query, pos, neg) in enumerate(PAIRS)
    ],
    "DPR": [
        {"question": query, "answers": [], "positive_ctxs": contexts(pos), "negative_ctxs": [],
         "hard_negative_ctxs": contexts(neg)}
        for query, pos, neg in PAIRS
    ],
    "labels beside": [
        {"query": query, "docs": [*pos, *neg], "labels": [1] * len(pos) + [0] * len(neg)} for query, pos, neg in PAIRS
    ],
    "grades inside": [
        {"query": query, "documents": graded(pos, 1) + graded(neg, 0)}
        for query, pos, neg in PAIRS
    ],
}  # fmt: skip


@pytest.mark.parametrize("form", ["jsonl", "parquet", "hub", "shards"])
@pytest.mark.parametrize("shape", list(LISTS))
def test_lists_of_documents_read_the_same_everywhere(tmp_path, monkeypatch, shape, form):
    rows = LISTS[shape]
    if form == "jsonl":
        source = write_json(tmp_path / "t.jsonl", rows)
    elif form == "shards":
        for number, row in enumerate(rows):
            write_json(tmp_path / f"{number}.jsonl", [row])
        source = tmp_path
    else:
        source = tmp_path / "data" / "train.parquet"
        source.parent.mkdir()
        pq.write_table(pa.Table.from_pylist(rows), source)
        if form == "hub":
            config = pytest.importorskip("datasets.config")
            monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
            source = f"hf:{tmp_path}"
    assert as_triples(load(source)) == EXPECTED


@pytest.mark.parametrize("shape", ["FlagEmbedding", "Tevatron", "sentence-transformers"])
def test_what_is_not_listed_is_not_relevant(tmp_path, shape):
    assert open_source(DataSettings(source=str(write_json(tmp_path / "t.jsonl", LISTS[shape])))).unlisted == 0.0


def test_scores_of_a_teacher_are_no_grades_and_that_is_said(tmp_path):
    findings = {
        finding.name: finding for finding in load(write_json(tmp_path / "t.jsonl", LISTS["FlagEmbedding"])).findings
    }
    assert "pos_scores, neg_scores" in findings["scores not used"].action
    assert "pos: relevant, grade 1; neg: not relevant, grade 0" in findings["columns that hold documents"].action


def test_tevatron_of_the_cases_keeps_its_ids():
    records = load(CASES / "tevatron.jsonl")
    assert len(records) == 160
    assert records.query_ids == tuple(str(number) for number in range(40))
    assert records.document_ids[:3] == ("D0000", "D0001", "D0003")
    assert records.documents[0] == "red hammer number 0"
    assert sorted(set(records.grade.tolist())) == [0.0, 1.0]


@pytest.mark.parametrize("header", ["query,positive,negative", "anchor,pos,neg", "search_term,Positive,hard_negative"])
def test_triples_in_delimited_text(tmp_path, header):
    path = tmp_path / "t.csv"
    path.write_text(header + "\nsaw,a saw,a drill\nsaw,another,a drill\ndrill,a drill,\n")
    assert as_triples(load(path)) == [
        ("saw", "a saw", 1.0), ("saw", "a drill", 0.0), ("saw", "another", 1.0), ("drill", "a drill", 1.0)
    ]  # fmt: skip


def test_numbered_negatives_and_ids_beside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "query_id,query,positive_id,positive,negative_1_id,negative_1,negative_2_id,negative_2\n"
        "7,saw,p1,a saw,n1,a drill,n2,a lamp\n"
    )
    records = load(path)
    assert as_triples(records) == [("saw", "a saw", 1.0), ("saw", "a drill", 0.0), ("saw", "a lamp", 0.0)]
    assert (records.query_ids, records.document_ids) == (("7",), ("p1", "n1", "n2"))


def test_pairs_alone_are_all_relevant(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("anchor\tpositive\nsaw\ta saw\ndrill\ta drill\n")
    assert as_triples(load(path)) == [("saw", "a saw", 1.0), ("drill", "a drill", 1.0)]


BAD = {
    "a number": ({"neg": ["x", 5]}, "column 'neg[1]': is 5"),
    "null": ({"neg": [None]}, "column 'neg[0]': is empty"),
    "an empty text": ({"pos": ["x", " "]}, "column 'pos[1]'"),
    "a list": ({"pos": [["x"]]}, "column 'pos[0]'"),
    "no document": ({"pos": [], "neg": []}, "column 'pos': holds no document"),
    "half a surrogate pair": ({"pos": ["\ud800"]}, "column 'pos[0]': holds an unpaired surrogate"),
    "a number in place of a list": ({"pos": 3}, "column 'pos': is 3"),
    "no query": ({"query": None}, "column 'query': is empty"),
    "a query that is a list": ({"query": ["a"]}, "column 'query': is [\"a\"]"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_an_entry_that_is_no_text_is_a_bad_row_with_its_column(tmp_path, case):
    changed, said = BAD[case]
    good = {"query": "saw", "pos": ["a saw"], "neg": ["a drill"]}
    path = write_json(tmp_path / "t.jsonl", [good, good | changed, {**good, "query": "drill"}])
    with pytest.raises(InputError) as caught:
        load(path)
    assert f"{path}, row 2, {said}" in str(caught.value)
    records = load(path, on_bad_row="set-aside")
    assert len(records) == 4
    assert {row.row for row in records.rejected} == {2}


def test_a_passage_without_an_id_is_named(tmp_path):
    rows = LISTS["Tevatron"] + [
        {"query_id": "2", "query": "x", "positive_passages": [{"text": "y"}], "negative_passages": []}
    ]
    with pytest.raises(InputError, match=r"row 3, column 'positive_passages\[0\]': .*expected a document with docid"):
        load(write_json(tmp_path / "t.jsonl", rows))


def test_grades_beside_must_be_as_many(tmp_path):
    rows = [{"query": "saw", "docs": ["a", "b"], "labels": [1]}]
    with pytest.raises(InputError, match=r"row 1, column 'labels': holds 1 values; expected 2"):
        load(write_json(tmp_path / "t.jsonl", rows))


def test_a_list_written_as_text_is_not_one_document(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("query,pos,neg\nsaw,\"['a saw', 'another']\",\"['a drill']\"\n")
    with pytest.raises(InputError, match=r"row 2, column 'pos': is a list written as text.*JSONL or Parquet"):
        load(path)


@pytest.mark.parametrize(
    "table",
    [
        "query,title,grade,positive\nsaw,A saw,2,17\n",  # a table of judgements with another column
        "query,title,grade,pos\nsaw,A saw,2,noun\n",
    ],
)
def test_a_table_of_judgements_stays_one(tmp_path, table):
    path = tmp_path / "t.csv"
    path.write_text(table)
    assert as_triples(load(path)) == [("saw", "A saw", 2.0)]


@pytest.mark.parametrize(
    "table", ["query,doc_id,positive\nsaw,1,1\nsaw,2,0\n", "query,doc_id,pos,clicked\nsaw,1,1,yes\n"]
)
def test_a_label_or_a_position_is_no_document(tmp_path, table):
    path = tmp_path / "t.csv"
    path.write_text(table)
    with pytest.raises(InputError, match="no column is known as the"):
        load(path)


def test_rows_keep_their_file_and_number_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("nestvec.data.source.BATCH", 3)
    for name in ("a", "b"):
        write_json(tmp_path / f"{name}.jsonl", [
            {"query": f"{name}{row}", "pos": ["x", "y"], "neg": ["z" if row < 8 else 1]} for row in range(9)
        ])  # fmt: skip
    records = load(tmp_path, on_bad_row="set-aside")
    assert [(Path(row.file).name, row.row, row.column) for row in records.rejected] == [
        ("a.jsonl", 9, "neg[0]"), ("b.jsonl", 9, "neg[0]")
    ]  # fmt: skip
    assert len(records) == 2 * 8 * 3


LABELS = {label for scale in SCALES for label in scale.grades}  # a column of nothing else holds no documents
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp", "Cf"]), min_size=1).filter(
    lambda text: (
        "&" not in text
        and "_" not in text
        and not text.startswith("[")
        and any(map(str.isalpha, text))
        and normalise_label(text) not in LABELS
    )
)
QUERIES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, max_size=3)), min_size=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=QUERIES)
def test_pairs_survive_every_shape(tmp_path, queries):
    expected = {(query, text, 1.0) for query, pos, _ in queries for text in pos}
    expected |= {(query, text, 0.0) for query, _, neg in queries for text in neg}
    conflicting = {(query, text) for query, text, _ in expected if {(query, text, 0.0), (query, text, 1.0)} <= expected}
    expected = {triple for triple in expected if triple[:2] not in conflicting}
    lists = [{"query": query, "pos": pos, "neg": neg} for query, pos, neg in queries]
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(lists, pa.schema({
        "query": pa.string(), "pos": pa.list_(pa.string()), "neg": pa.large_list(pa.large_string())
    })), parquet)  # fmt: skip
    table = tmp_path / "t.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["query", "positive", "negative"])
        for query, pos, neg in queries:
            for row in range(max(len(pos), len(neg))):
                writer.writerow([query, pos[min(row, len(pos) - 1)], neg[row] if row < len(neg) else ""])
    for path in (write_json(tmp_path / "t.jsonl", lists), parquet, table):
        read = [triple for triple in as_triples(load(path)) if triple[:2] not in conflicting]
        assert sorted(read) == sorted(expected)


def test_shards_may_lack_fields_inside_fields(tmp_path):
    row = {"query": "saw", "title": "Saw", "grade": 1}
    write_json(tmp_path / "a.jsonl", [{**row, "more": {"brand": "x"}}])
    write_json(tmp_path / "b.jsonl", [{**row, "query": "drill", "more": {"size": "y"}}])
    assert as_triples(load(tmp_path, document="title,more.brand,more.size")) == [
        ("saw", "Saw x", 1.0), ("drill", "Saw y", 1.0)
    ]  # fmt: skip


def test_a_split_beside_lists_is_taken_over(tmp_path):
    rows = [{**row, "split": part} for row, part in zip(LISTS["FlagEmbedding"], ("train", "test"), strict=True)]
    assert load(write_json(tmp_path / "t.jsonl", rows)).labels == ("train", "train", "train", "test")


@pytest.mark.parametrize("shape", ["FlagEmbedding", "labels beside"])
def test_positives_only_does_not_make_positives_of_negatives(tmp_path, shape):
    with pytest.raises(InputError, match="--positives-only is given, and this column holds documents that are not"):
        load(write_json(tmp_path / "t.jsonl", LISTS[shape]), positives_only=True)
    path = write_json(tmp_path / "p.jsonl", [{"query": "saw", "pos": ["a saw"]}])
    assert as_triples(load(path, positives_only=True)) == [("saw", "a saw", 1.0)]
