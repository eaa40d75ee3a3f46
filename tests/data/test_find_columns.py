"""Oracle: tables of a row or two, whose columns a person would tell apart, or not, at a glance."""

from __future__ import annotations

import pytest
from tables import CASES, as_triples, load, rows, write_csv

from nestvec.errors import InputError


def findings(records):
    return {finding.name: finding for finding in records.findings}


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_columns_that_were_read_are_said_with_those_that_were_not(tmp_path):
    path = write(tmp_path / "t.csv", "search_term,price,product_title,body,sku,relevance", "saw,9,Saw,It saws,s1,2")
    found = findings(load(path))["columns read"]
    assert found.action == "query: search_term; document: {product_title} {body}; document id: sku; grade: relevance"
    assert found.examples == ("not read: price",)


def test_a_semicolon_table_names_its_columns():
    assert "document id: document_id; grade: grade" in findings(load(CASES / "semicolon.csv"))["columns read"].action


@pytest.mark.parametrize("header", ["query,keywords,title,grade", "keywords,query,title,grade"])
def test_the_roles_own_name_goes_first_and_that_is_said(tmp_path, header):
    values = {"query": "saw", "keywords": "tools", "title": "Saw", "grade": "1"}
    path = write(tmp_path / "t.csv", header, ",".join(values[name] for name in header.split(",")))
    records = load(path)
    assert as_triples(records) == [("saw", "Saw", 1.0)]
    assert "Name 'keywords' with --query" in findings(records)["columns that could be meant as well"].action
    assert as_triples(load(path, query="keywords")) == [("tools", "Saw", 1.0)]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("search_term,question,title,grade", "more than one column could be the query: 'search_term', 'question'"),
        ("query,title,grade,score", "more than one column could be the grade"),
        ("query,title,name,grade", "more than one column could be the document"),
        ("query,title,grade,sku,product_id", "more than one column could be the document-id"),
    ],
)
def test_what_is_not_plain_stays_an_error(tmp_path, header, said):
    path = write(tmp_path / "t.csv", header, ",".join("12345"[: header.count(",") + 1]))
    with pytest.raises(InputError, match=said):
        load(path)


def test_a_table_of_pairs_says_how_to_read_it(tmp_path):
    path = write(tmp_path / "t.csv", "query,title,sku", "saw,Saw,1")
    with pytest.raises(InputError, match=r"no column is known as the grade.*or --positives-only if every row"):
        load(path)
    assert as_triples(load(path, positives_only=True)) == [("saw", "Saw", 1.0)]
    path = write(tmp_path / "u.csv", "query,title,stars", "saw,Saw,1")
    with pytest.raises(InputError, match="no column is known as the grade") as caught:
        load(path)
    assert "--positives-only" not in str(caught.value)  # the stars could be grades


def test_all_roles_without_a_column_are_named_at_once(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"typed": "saw", "item": {"headline": "a saw"}, "verdict": 1}')
    with pytest.raises(InputError, match="no column is known as the query and the document and the grade") as caught:
        load(path)
    named = "--query and --document and --grade to name columns, of 'typed', 'item.headline', 'verdict'"
    assert named in caught.value.expected
    with pytest.raises(InputError, match="no column is known as the query and the document;"):
        load(path, grade="verdict")


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_table_without_a_header_says_how_to_read_it(tmp_path, ending):
    mark = "," if ending == ".csv" else "\t"
    path = write(tmp_path / f"t{ending}", mark.join(("red saw", "a red saw", "3")), mark.join(("drill", "a lamp", "1")))
    with pytest.raises(InputError, match="--columns query,document,grade or --columns query,positive,negative"):
        load(path)
    assert as_triples(load(path, columns=("query", "document", "grade"))) == [
        ("red saw", "a red saw", 3.0), ("drill", "a lamp", 1.0)
    ]  # fmt: skip


def test_the_triples_of_the_cases(tmp_path):
    with pytest.raises(InputError, match="--columns query,positive,negative"):
        load(CASES / "triples.tsv")
    records = load(CASES / "triples.tsv", columns=("query", "positive", "negative"))
    assert len(records) == 80
    assert as_triples(records)[:2] == [
        ("red hammer size 0", "red hammer number 0", 1.0), ("red hammer size 0", "brass wrench number 3", 0.0)
    ]  # fmt: skip
    pos_neg = load(CASES / "triples.tsv", columns=("query", "pos", "neg"))
    assert as_triples(pos_neg) == as_triples(records)


def with_split(labels):
    return [{**row, "split": labels[index % len(labels)]} for index, row in enumerate(rows(queries=6))]


@pytest.mark.parametrize("labels", [("train", "test"), ("Train", "dev", "TEST"), ("training", "validation", "testing")])
def test_a_split_of_train_and_test_is_taken_and_said(tmp_path, labels):
    path = write_csv(tmp_path / "t.csv", with_split(labels))
    records = load(path)
    assert set(records.labels or ()) == set(labels)
    assert "--split-column none" in findings(records)["own split"].action
    assert load(path, split_column="none").labels is None
    assert load(path, split_column="split").labels == records.labels


@pytest.mark.parametrize("labels", [("train",), ("train", "test", "withheld"), ("a", "b"), ("train", "test", "")])
def test_a_split_that_says_something_else_is_left_alone_and_said(tmp_path, labels):
    records = load(write_csv(tmp_path / "t.csv", with_split(labels)))
    assert records.labels is None
    assert "'split' holds" in findings(records)["own split not used"].action
