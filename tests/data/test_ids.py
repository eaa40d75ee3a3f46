"""Oracle: the ids as they were written. An id is a name: whatever it looks like, it stays byte for byte what it is."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import CASES, load, write_csv, write_table

from nestvec.data.text import clean_text
from nestvec.errors import InputError

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n")
IDS = st.lists(st.text(LETTERS, min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=12, unique=True)


def named(ids, key="document_id"):
    """A table of one query whose documents, or queries, have the ids given."""
    texts = [{"query": f"query {n % 2}", "title": f"title number {n}", "grade": 1 + n % 3} for n in range(len(ids))]
    return [{**row, key: name, "query": f"query {n}"} for n, (row, name) in enumerate(zip(texts, ids, strict=True))]


def test_odd_ids_stay_as_they_stand():
    with (CASES / "oddids.csv").open(newline="", encoding="utf-8") as stream:
        ids = [row["document_id"] for row in csv.DictReader(stream)]
    assert len(set(ids)) == 200
    records = load(CASES / "oddids.csv")
    assert records.document_ids == tuple(ids)
    assert len(records.documents) == 200


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("key", ["document_id", "query_id"])
@given(ids=IDS)
@settings(max_examples=30, deadline=None)
def test_ids_come_through_every_format_byte_for_byte(tmp_path_factory, ending, key, ids):
    path = write_table(tmp_path_factory.mktemp("ids") / f"table.{ending}", named(ids, key))
    records = load(path)
    read = records.document_ids if key == "document_id" else records.query_ids
    assert read == tuple(ids)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_float_id_that_is_whole_is_an_integer(tmp_path, ending):
    path = write_table(tmp_path / f"table.{ending}", named([7.0, 100000.0, 2.5, float(2**53)]))
    assert load(path).document_ids == ("7", "100000", "2.5", str(2**53))


def test_without_ids_the_text_tells_queries_apart(tmp_path):
    table = [{"query": text, "title": f"title {n}", "grade": n} for n, text in enumerate(("saw", "drill", "saw"))]
    records = load(write_csv(tmp_path / "t.csv", table))
    assert records.queries == ("saw", "drill")
    assert all(name.startswith("q") and len(name) == 17 for name in records.query_ids)


def test_a_query_id_with_two_texts_is_named_with_the_one_that_is_kept(tmp_path):
    table = [{"query_id": str(n), "query": f"saw {n}", "title": f"title {n}", "grade": n % 3} for n in range(9)]
    table.append({"query_id": "3", "query": "another", "title": "title 1", "grade": 1})
    records = load(write_csv(tmp_path / "t.csv", table))
    assert records.queries[3] == "saw 3"
    (finding,) = (entry for entry in records.findings if entry.name == "another text under one query id")
    assert (finding.count, finding.examples) == (1, ("3: 'saw 3' and 'another'",))
    assert "first" in finding.action


def test_ids_that_tell_nothing_apart_are_refused(tmp_path):
    table = [{"query_id": str(n % 5), "query": f"saw {n}", "title": f"title {n}", "grade": n % 3} for n in range(20)]
    with pytest.raises(InputError, match=r"5 of the 5 ids have several texts each.*--query-id"):
        load(write_csv(tmp_path / "t.csv", table))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a&nbsp;b &amp; c", "a b & c"), ("&#39;x&#x27;", "'x'"), ("?id=8&copy=2&section=t", "?id=8&copy=2&section=t"),
     ("&copyfoo; &unknown; &;", "&copyfoo; &unknown; &;"), ("R&D;S", "R&D;S"), ("&quot;8&quot;", '"8"')],
)  # fmt: skip
def test_an_entity_ends_in_a_semicolon(text, cleaned):
    assert clean_text(text) == cleaned
