"""Oracle: the same judgements in every place they can stand must read the same; row numbers as counted by hand."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import as_triples, load, rows, write_csv

from nestvec.data.load_records import load_records
from nestvec.errors import InputError
from nestvec.settings import DataSettings

TABLE = rows(queries=30)
HEADER = "query,document,grade\n"


EXPECTED = [(row["query"], row["document"], float(row["grade"])) for row in TABLE]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("form", [".csv", ".tsv", ".jsonl"])
def test_packed_files_read_the_same(tmp_path, form, packing):
    plain = tmp_path / f"plain{form}"
    if form == ".jsonl":
        plain.write_text("\n".join(map(json.dumps, TABLE)))
    else:
        write_csv(plain, TABLE, "\t" if form == ".tsv" else ",")
    content = plain.read_bytes()
    packed = gzip.compress(content) if packing == ".gz" else pa.compress(content, codec="zstd", asbytes=True)
    (tmp_path / f"judged{form}{packing}").write_bytes(packed)
    assert as_triples(load(tmp_path / f"judged{form}{packing}")) == EXPECTED


def test_a_folder_of_shards_reads_in_the_order_of_names(tmp_path):
    for number, start in enumerate(range(0, len(TABLE), 40)):
        pq.write_table(pa.Table.from_pylist(TABLE[start : start + 40]), tmp_path / f"part-{number:03d}.parquet")
    (tmp_path / "notes.md").write_text("not a table")
    assert as_triples(load(tmp_path)) == EXPECTED


def test_shards_whose_columns_differ_are_refused(tmp_path):
    write_csv(tmp_path / "a.csv", TABLE)
    write_csv(tmp_path / "b.csv", [{"query": "q", "text": "d", "grade": 1}])
    with pytest.raises(InputError, match=r"b\.csv: has the columns 'query', 'text', 'grade'; expected those of a\.csv"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"), [({}, "holds no table"), ({"a.csv": HEADER, "b.jsonl": "{}"}, "several formats")]
)
def test_a_folder_without_one_table_is_refused(tmp_path, files, said):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path)


def write_collection(folder, qrels):
    """The table in BEIR's form, with two documents that nobody judged."""
    queries = list(dict.fromkeys(row["query"] for row in TABLE))
    documents = [*dict.fromkeys(row["document"] for row in TABLE), "never judged", "nor this one"]
    ids = {text: f"q{number}" for number, text in enumerate(queries)}
    named = {text: f"d{number}" for number, text in enumerate(documents)}
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": ids[text], "text": text}) for text in queries))
    lines = []
    for text in documents:
        title, _, body = text.partition(" ")
        lines.append(json.dumps({"_id": named[text], "title": title, "text": body}))
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    judgements = [(ids[row["query"]], named[row["document"]], row["grade"]) for row in TABLE]
    (folder / "qrels").mkdir()
    if qrels == "beir":
        content = "query-id\tcorpus-id\tscore\n" + "\n".join("\t".join(map(str, line)) for line in judgements)
        (folder / "qrels" / "test.tsv").write_text(content)
    else:
        (folder / "qrels" / "trec.txt").write_text(
            "\n".join(f"{query} 0 {document} {grade}" for query, document, grade in judgements)
        )
    return folder


def test_a_beir_folder_reads_with_its_whole_corpus(tmp_path):
    records = load(write_collection(tmp_path, "beir"))
    assert as_triples(records) == EXPECTED
    assert records.documents[-2:] == ("never judged", "nor this one")
    assert records.document_ids[-1] == f"d{len(records.documents) - 1}"


def test_trec_qrels_with_files_of_their_own(tmp_path):
    folder = write_collection(tmp_path, "trec")
    settings = DataSettings(
        queries=str(folder / "queries.jsonl"),
        corpus=str(folder / "corpus.jsonl"),
        qrels=str(folder / "qrels" / "trec.txt"),
    )
    assert as_triples(load_records(settings)) == EXPECTED


def test_tab_separated_queries_and_corpus(tmp_path):
    (tmp_path / "queries.tsv").write_text("1\tdeck screw\n2\tsaw\n")
    (tmp_path / "corpus.tsv").write_text("a\tScrews for decks\nb\tA saw\nc\tA drill\n")
    (tmp_path / "qrels.txt").write_text("1 0 a 2\n2 0 b 1\n2 0 c 0\n")
    parts = {name: str(tmp_path / file) for name, file in
             (("queries", "queries.tsv"), ("corpus", "corpus.tsv"), ("qrels", "qrels.txt"))}  # fmt: skip
    assert as_triples(load_records(DataSettings(**parts))) == [
        ("deck screw", "Screws for decks", 2.0), ("saw", "A saw", 1.0), ("saw", "A drill", 0.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [("q0 0 nowhere 2", "id 'nowhere' is not in the corpus"), ("nobody 0 d0 2", "'nobody' is not in the query"),
     ("q0 d0", "has 2 columns"), ("q0 0 d0 good", "is 'good'")],
)  # fmt: skip
def test_qrels_that_point_nowhere_are_refused_with_their_row(tmp_path, line, said):
    folder = write_collection(tmp_path, "trec")
    path = folder / "qrels" / "trec.txt"
    path.write_text(path.read_text() + "\n" + line)
    parts = {name: str(folder / f"{name}.jsonl") for name in ("queries", "corpus")}
    settings = DataSettings(**parts, qrels=str(path))
    with pytest.raises(InputError, match=f"row {len(TABLE) + 1}.*{said}"):
        load_records(settings)


def test_qrels_need_the_other_parts():
    with pytest.raises(InputError, match="--qrels is given without --corpus"):
        load_records(DataSettings(queries="q.jsonl", qrels="r.txt"))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's library with its cache in a folder of the test's own."""
    pytest.importorskip("datasets")
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_folder_in_the_hubs_form_is_read_by_the_hubs_library(offline, tmp_path):
    folder = tmp_path / "hub" / "home_depot"
    (folder / "data").mkdir(parents=True)
    names = {"id": 1, "entity_id": 2, "name": "Saw", "description": "It cuts wood", "query": "saw", "relevance": 2.5}
    table = [{**names, "id": number, "entity_id": 10 + number, "query": f"saw {number}"} for number in range(30)]
    pq.write_table(pa.Table.from_pylist(table), folder / "data" / "train-00000-of-00001.parquet")
    records = load(f"hf:{folder}")
    assert as_triples(records)[0] == ("saw 0", "Saw It cuts wood", 2.5)
    assert records.document_ids[:2] == ("10", "11")
    assert as_triples(load(f"hf:{folder}", split="train")) == as_triples(records)
    with pytest.raises(InputError, match=r"cannot be loaded.*nowhere"):
        load(f"hf:{folder}", split="nowhere")


def test_a_hub_that_cannot_be_reached_says_what_to_do(offline, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError) as caught:
        load("hf:bstds/home_depot")
    for word in (
        "hf:bstds/home_depot",
        "cannot be loaded",
        "https://huggingface.co/datasets/bstds/home_depot",
        "SOURCE",
    ):
        assert word in str(caught.value)


BAD_ROWS = HEADER + "a,b,1\n" + "c,d\n" + "e,f,best\n" + "g,h,3\n" + ",i,2\n" + "j,k,9\n" + "l,m,2\n"


def test_bad_rows_are_set_aside_with_their_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(BAD_ROWS)
    records = load(path, on_bad_row="set-aside", grade_range=(1.0, 3.0))
    assert as_triples(records) == [("a", "b", 1.0), ("g", "h", 3.0), ("l", "m", 2.0)]
    assert sorted((row.row, row.column, row.problem) for row in records.rejected) == [
        (3, "", "has 2 fields"), (4, "grade", "is 'best'"), (6, "query", "is empty"), (7, "grade", "is '9'"),
    ]  # fmt: skip
    assert {row.row: row.content for row in records.rejected}[3].strip() == "c,d"
    assert next(finding.count for finding in records.findings if finding.name == "bad rows") == 4


def test_row_numbers_hold_across_blocks_and_gaps(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"q{number},{'d' * 300}{number},1" for number in range(2, 120_000)]
    for number in (5, 60_000, 100_000):
        lines[number - 2] = "one field"
    lines[119_000 - 2] = f"q119000,{'d' * 300},bad"
    path.write_text(HEADER + "\n".join(lines))
    records = load(path, on_bad_row="set-aside")
    assert sorted(row.row for row in records.rejected) == [5, 60_000, 100_000, 119_000]


@pytest.mark.parametrize(("conflicts", "grade"), [("mean", 2.0), ("max", 3.0), ("last", 1.0)])
def test_conflicts_are_settled_as_asked(tmp_path, conflicts, grade):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "q,d,2\nq,d,3\nq,e,1\nq,d,1\n")
    assert as_triples(load(path, conflicts=conflicts)) == [("q", "d", grade), ("q", "e", 1.0)]


def test_conflicts_can_be_an_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "q,d,2\nq,d,3\n")
    with pytest.raises(InputError, match="'q' with 'd': 2 to 3 is judged twice"):
        load(path, conflicts="error")


def test_a_grade_outside_the_declared_range_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "q,d,2\nq,e,4\n")
    with pytest.raises(InputError, match=r"row 3, column 'grade': is '4'; expected a number from 1 to 3"):
        load(path, grade_range=(1.0, 3.0))


def test_mixed_encodings_are_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER.encode() + "café,a,1\n".encode() + "naïve,b,2\n".encode("latin-1"))
    findings = {finding.name: finding for finding in load(path).findings}
    assert findings["lines in UTF-8 in a file that is not"].examples == ("line 2",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    path = write_csv(tmp_path / "t.csv", TABLE, encoding=encoding)
    assert as_triples(load(path)) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused_by_name_and_read_by_name(tmp_path, encoding):
    path = write_csv(tmp_path / "t.csv", TABLE, encoding=encoding)
    with pytest.raises(
        InputError, match=f"looks like UTF-16 without a byte order mark; expected --encoding {encoding}"
    ):
        load(path)
    assert as_triples(load(path, encoding=encoding)) == EXPECTED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"source": "judged.csv", "qrels": "q.tsv"},
            r"^q\.tsv: --qrels is given together with the source judged\.csv; exp",
        ),
        ({"source": "hf:owner/name", "qrels": "q.tsv"}, "with the source hf:owner/name; expected either"),
        (
            {"queries": "q.tsv"},
            r"^--queries q\.tsv is given without --qrels; expected --qrels with the file of judge",
        ),
        ({"source": "judged.csv", "corpus": "c.tsv"}, r"^--corpus c\.tsv is given without --qrels"),
        ({"source": "judged.csv", "split": "train"}, "^--split train is given, but the source is not hf:NAME"),
        ({"revision": "main"}, "^--revision main is given, but the source is not hf:NAME; expected --revision to be"),
        ({"qrels": "q.tsv", "split": "test"}, "^--split test is given, but"),
    ],
)
def test_settings_of_another_kind_of_source_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        load_records(DataSettings(**settings))


@pytest.mark.parametrize("source", ["", "sample"])
def test_no_source_or_the_default_may_stand_beside_qrels(tmp_path, source):
    judged = write_csv(tmp_path / "judged.csv", TABLE)
    assert as_triples(load_records(DataSettings(source, qrels=str(judged)))) == EXPECTED
