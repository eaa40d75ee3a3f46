"""Oracle: the shared qrels hold 200 judgements of 40 queries; smaller ones are counted by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tables import as_triples

from nestvec.data.load_records import load_records
from nestvec.data.sources import open_source
from nestvec.errors import InputError
from nestvec.settings import DataSettings

TREC = Path(__file__).parent / "cases" / "trec"


def settings(folder, **options):
    return DataSettings(**{name: str(folder / f"{name}.tsv") for name in ("queries", "corpus", "qrels")}, **options)


def write_parts(folder, queries="1\tsaw\n2\thammer\n", corpus="a\tred saw\nb\tblue saw\n", qrels="1 0 a 1\n"):
    for name, content in (("queries", queries), ("corpus", corpus), ("qrels", qrels)):
        (folder / f"{name}.tsv").write_bytes(content.encode())
    return settings(folder)


@pytest.mark.parametrize("name", ["mixed", "trailing", "spaces"])
def test_shared_qrels_give_200_judgements_with_ids_as_written(name):
    files = DataSettings(
        queries=str(TREC / "topics.tsv"), corpus=str(TREC / "corpus.tsv"), qrels=str(TREC / f"{name}.qrels")
    )
    records = load_records(files)
    assert len(records) == 200
    assert sorted(records.query_ids) == [f"{n:03d}" for n in range(40)]
    corpus = [line.split("\t")[0] for line in (TREC / "corpus.tsv").read_text().splitlines()]
    assert sorted(records.document_ids) == sorted(corpus)
    written = [line.split() for line in (TREC / "spaces.qrels").read_text().splitlines()]
    assert [
        [records.query_ids[query], "0", records.document_ids[document], f"{grade:g}"]
        for query, document, grade in zip(records.query, records.document, records.grade, strict=True)
    ] == written
    assert open_source(files).unlisted == 0


ODD_IDS = [
    *("007", "7", "1e5", "a b", "a  b", " a", "a ", "a%20b", "\u00fc/\u00e4", "NaN"),
    *("null", "A&amp;B", "A&B", "a\u00a0b", "#1", '"q"', "-1"),
]


@pytest.mark.parametrize("columns", [3, 4])
def test_ids_between_tabs_are_kept_byte_for_byte(tmp_path, columns):
    middle = "" if columns == 3 else "0\t"
    parts = write_parts(
        tmp_path,
        "".join(f"{name}\tquery {n}\n" for n, name in enumerate(ODD_IDS)),
        "".join(f"{name}\tdocument {n}\n" for n, name in enumerate(ODD_IDS)),
        "".join(f"{name}\t{middle}{name}\t{n}\n" for n, name in enumerate(ODD_IDS)),
    )
    batch = next(open_source(parts).read(["query_id", "query", "document_id", "document", "grade"], None))
    assert batch.values.to_pydict() == {
        "query_id": ODD_IDS, "query": [f"query {n}" for n in range(len(ODD_IDS))],
        "document_id": ODD_IDS, "document": [f"document {n}" for n in range(len(ODD_IDS))],
        "grade": [str(n) for n in range(len(ODD_IDS))],
    }  # fmt: skip


def test_any_white_space_parts_qrels(tmp_path):
    rng = random.Random(5)
    names = [f"{n:03d}" for n in range(50)]
    for columns in (3, 4):
        lines = []
        for name in names:
            fields = [name, "Q0", f"D{name}", "1.0"] if columns == 4 else [name, f"D{name}", "1.0"]
            gaps = ["".join(rng.choices(" \t", k=rng.randint(1, 3))) for _ in fields]
            lines.append(rng.choice(["", " ", "\t"]) + "".join(map("".join, zip(fields, gaps, strict=True))))
        parts = write_parts(
            tmp_path,
            "".join(f"{name}\tq {name}\n" for name in names),
            "".join(f"D{name}\td {name}\n" for name in names),
            rng.choice(["\n", "\r\n"]).join(lines),
        )
        batch = next(open_source(parts).read(["query_id", "document_id", "grade"], None))
        assert batch.values.column("query_id").to_pylist() == names
        assert batch.values.column("document_id").to_pylist() == [f"D{name}" for name in names]
        assert set(batch.values.column("grade").to_pylist()) == {"1.0"}


@pytest.mark.parametrize(
    "header", ["query-id\tcorpus-id\tscore", "qid 0 docid grade", "topic\titeration\tdocument\trelevance"]
)
def test_a_header_of_qrels_is_no_judgement(tmp_path, header):
    assert len(load_records(write_parts(tmp_path, qrels=f"{header}\n1 0 a 1.0\n2 0 b 0\n"))) == 2


def test_a_bad_grade_in_the_first_line_is_no_header(tmp_path):
    with pytest.raises(InputError, match=r"row 2, column 'grade': is '0'; expected a label of the same kind as good"):
        load_records(write_parts(tmp_path, qrels="1 0 a good\n2 0 b 0\n"))


def test_headers_of_texts_are_no_texts(tmp_path):
    parts = write_parts(
        tmp_path, "qid\tquery\n1\tsaw\n", "docid\ttext\na\tred saw\nb\tblue saw\n", "1 0 a 1\n1 0 b 0\n"
    )
    records = load_records(parts)
    assert (records.documents, records.queries) == (("red saw", "blue saw"), ("saw",))


def test_a_text_may_hold_tabs(tmp_path):
    parts = write_parts(tmp_path, corpus="a\tRed saw\tcuts wood\nb\tsaw\n", qrels="1 0 a 1\n1 0 b 0\n")
    assert load_records(parts).documents[0] == "Red saw cuts wood"


def test_two_texts_of_one_id_are_named_and_the_first_is_kept(tmp_path):
    parts = write_parts(
        tmp_path, "1\tsaw\n1\thammer\n1\tsaw\n", "a\tred saw\nb\tblue saw\na\tred drill\n", "1 0 a 1\n1 0 b 0\n"
    )
    records = load_records(parts)
    assert as_triples(records) == [("saw", "red saw", 1.0), ("saw", "blue saw", 0.0)]
    findings = {finding.name: finding for finding in records.findings}
    query, document = (findings[f"another text under one {kind} id"] for kind in ("query", "document"))
    assert (query.count, query.examples) == (1, ("1: 'saw' and 'hammer'",))
    assert (document.count, document.examples) == (1, ("a: 'red saw' and 'red drill'",))
    assert query.action == "A query keeps the first text that its id came with."
    assert document.action == "A document keeps the first text that its id came with."


def write_json(path, objects):
    path.write_text("\n".join(map(json.dumps, objects)))


@pytest.mark.parametrize(
    ("identifier", "written"),
    [(7.0, "7"), (7, "7"), (1e5, "100000"), (0.5, "0.5"), ("007", "007"), (10**20, "1" + "0" * 20)],
)
def test_ids_of_json_are_written_as_qrels_write_them(tmp_path, identifier, written):
    write_json(tmp_path / "queries.jsonl", [{"_id": identifier, "text": "saw"}])
    write_json(tmp_path / "corpus.jsonl", [{"_id": identifier, "text": "red saw"}])
    (tmp_path / "qrels.tsv").write_text(f"{written}\t{written}\t1")
    parts = DataSettings(queries=str(tmp_path / "queries.jsonl"), corpus=str(tmp_path / "corpus.jsonl"),
                         qrels=str(tmp_path / "qrels.tsv"))  # fmt: skip
    records = load_records(parts)
    assert (records.query_ids, records.document_ids) == ((written,), (written,))


@pytest.mark.parametrize(
    "bad", [{"_id": True}, {"_id": []}, {"_id": ""}, {"text": 5}, {"_id": "\ud800"}, {"text": "\ud800"}]
)
def test_objects_that_are_no_texts_are_refused(tmp_path, bad):
    write_json(tmp_path / "queries.jsonl", [{"_id": "1", "text": "saw"}, {"_id": "2", "text": "saw", **bad}])
    (tmp_path / "corpus.tsv").write_text("a\tred saw")
    (tmp_path / "qrels.tsv").write_text("1 a 1")
    parts = DataSettings(queries=str(tmp_path / "queries.jsonl"), corpus=str(tmp_path / "corpus.tsv"),
                         qrels=str(tmp_path / "qrels.tsv"))  # fmt: skip
    with pytest.raises(InputError, match="row 2: "):
        load_records(parts)


@pytest.mark.parametrize("line", ["\tred saw", "red saw"])
def test_texts_without_an_id_are_refused(tmp_path, line):
    with pytest.raises(InputError, match=r"corpus\.tsv, row 3: .*; expected an id, a tab and a text"):
        load_records(write_parts(tmp_path, corpus=f"a\tred saw\nb\tblue saw\n{line}\n"))
