"""Oracle: what the publishers' own files hold, made up anew in their form; triples counted by hand."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tables import as_triples, load

from nestvec.data.load_records import load_records
from nestvec.errors import InputError
from nestvec.settings import DataSettings


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def names(records):
    return {finding.name: finding for finding in records.findings}


def by_ids(records):
    """Records as (query id, document id, grade)."""
    return [
        (records.query_ids[query], records.document_ids[document], float(grade))
        for query, document, grade in zip(records.query, records.document, records.grade, strict=True)
    ]


WANDS = {
    "query.csv": "query_id,query,query_class\n0,salon chair,Massage Chairs\n1,smart table,Coffee Tables\n",
    "product.csv": "product_id,product_name,product_class,category hierarchy,product_description,product_features,"
    "rating_count,average_rating,review_count\n"
    "10,hair chair,Chairs,a / b,for a salon,color : red|width : 2,15,4.5,3\n"
    "11,coffee table,Tables,a / c,,wood,0,,\n12,never judged,Lamps,,a lamp,,,,\n",
    "label.csv": "id,query_id,product_id,label\n0,0,10,3\n1,0,11,0\n2,1,11,1\n",
}


def write_wands(folder, **changed):
    for name, content in {**WANDS, **changed}.items():
        (folder / name).write_text(content)
    return folder


def test_wands_three_files_are_joined(tmp_path):
    records = load(write_wands(tmp_path))
    assert as_triples(records) == [
        ("salon chair", "hair chair for a salon", 3.0),
        ("salon chair", "coffee table", 0.0),
        ("smart table", "coffee table", 1.0),
    ]
    assert records.query_ids == ("0", "1")
    assert records.document_ids == ("10", "11", "12")
    assert records.documents[2] == "never judged a lamp"


def test_the_parts_of_wands_can_be_named(tmp_path):
    folder = write_wands(tmp_path)
    table = pa.table({"product_id": [10, 11, 12], "product_name": ["hair chair", "coffee table", "never judged"]})
    pq.write_table(table, tmp_path / "p.parquet")
    parts = {"queries": "query.csv", "corpus": "p.parquet", "qrels": "label.csv"}
    records = load_records(DataSettings(**{name: str(folder / file) for name, file in parts.items()}))
    assert by_ids(records) == [("0", "10", 3.0), ("0", "11", 0.0), ("1", "11", 1.0)]
    assert records.documents == ("hair chair", "coffee table", "never judged")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3,0,99,1\n", ("row 5", "column 'product_id'", "the id '99' is not in", "product.csv")),
        ("3,7,10,1\n", ("row 5", "column 'query_id'", "the id '7' is not in", "query.csv")),
        ("3,,10,1\n", ("row 5", "column 'query_id'", "is empty")),
    ],
)
def test_ids_that_are_not_there_are_named_or_set_aside(tmp_path, line, words):
    folder = write_wands(tmp_path, **{"label.csv": WANDS["label.csv"] + line})
    with pytest.raises(InputError) as caught:
        load(folder)
    for word in ("label.csv", *words):
        assert word in str(caught.value)
    records = load(folder, on_bad_row="set-aside")
    assert len(records) == 3
    assert [row.row for row in records.rejected] == [5]


def test_a_query_id_with_two_texts_is_said(tmp_path):
    folder = write_wands(tmp_path, **{"query.csv": WANDS["query.csv"] + "0,another chair,x\n"})
    records = load(folder)
    assert records.queries == ("salon chair", "smart table")
    assert names(records)["another text under one query id"].examples == ("0: 'salon chair' and 'another chair'",)


def test_a_product_without_an_id_is_named(tmp_path):
    folder = write_wands(tmp_path, **{"product.csv": WANDS["product.csv"] + ",no id,,,,,,,\n"})
    with pytest.raises(InputError, match=r"product\.csv, row 5, column 'product_id': is empty"):
        load(folder)


def test_two_tables_of_products_are_not_guessed_at(tmp_path):
    folder = write_wands(tmp_path)
    (folder / "attributes.csv").write_text("product_id,name,value\n10,color,red\n")
    with pytest.raises(InputError, match=r"could both hold the documents; expected --corpus"):
        load(folder)


def test_a_file_that_is_no_part_is_said(tmp_path):
    folder = write_wands(tmp_path)
    (folder / "sources.csv").write_text("query_id,source\n0,web\n")
    assert "sources.csv" in names(load(folder))["files that were not read"].action


ESCI_EXAMPLES = [
    # example_id, query, query_id, product_id, locale, label, split
    (0, "red hammer", 0, "B01", "us", 1.0, "train"),
    (1, "red hammer", 0, "B02", "us", 0.0, "train"),
    (2, "martillo rojo", 1, "B01", "es", 1.0, "test"),
    (3, "saw", 2, "B02", "us", 1.0, "test"),
]


def write_esci(folder, locales=("us", "us", "es", "us")):
    columns = ("example_id", "query", "query_id", "product_id", "product_locale", "esci_label", "split")
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in ESCI_EXAMPLES])
    table = table.append_column("small_version", pa.array([1, 1, 1, 0]))
    pq.write_table(table, folder / "shopping_queries_dataset_examples.parquet")
    products = [
        ("B01", "Red hammer", "It hits", "us"),
        ("B02", "Saw", None, "us"),
        ("B01", "Martillo", "Golpea", "es"),
        ("B03", "Lamp", "Shines", "us"),
    ]
    columns = ("product_id", "product_title", "product_description", "product_locale")
    rows = [dict(zip(columns, row, strict=True)) | {"product_bullet_point": "a\nb"} for row in products]
    pq.write_table(pa.Table.from_pylist(rows), folder / "shopping_queries_dataset_products.parquet")
    (folder / "shopping_queries_dataset_sources.csv").write_text("query_id,source\n0,web\n")
    return folder


def test_esci_is_joined_by_product_and_locale_and_keeps_its_split(tmp_path):
    records = load(write_esci(tmp_path))
    assert by_ids(records) == [
        ("0", "B01:us", 1.0), ("0", "B02:us", 0.0), ("1", "B01:es", 1.0), ("2", "B02:us", 1.0)
    ]  # fmt: skip
    assert dict(zip(records.document_ids, records.documents, strict=True)) == {
        "B01:us": "Red hammer It hits", "B02:us": "Saw", "B01:es": "Martillo Golpea", "B03:us": "Lamp Shines"
    }  # fmt: skip
    assert records.labels == ("train", "train", "test", "test")
    assert names(records)["ids of documents in several locales"].examples == ("B01",)
    assert {"own split", "files that were not read"} <= set(names(records))


def test_ids_of_one_locale_stay_as_they_are(tmp_path):
    folder = write_esci(tmp_path)
    for name in ("examples", "products"):
        path = folder / f"shopping_queries_dataset_{name}.parquet"
        table = pq.read_table(path)
        pq.write_table(table.filter(pa.compute.equal(table["product_locale"], "us")), path)
    assert by_ids(load(folder)) == [("0", "B01", 1.0), ("0", "B02", 0.0), ("2", "B02", 1.0)]


def test_home_depot_with_descriptions_in_a_file_of_their_own(tmp_path):
    (tmp_path / "train.csv").write_bytes(
        "id,product_uid,product_title,search_term,relevance\n2,100001,Angle bracket,angle bracket,3\n"
        "3,100002,Deck coat,deck \xfcber,2.33\n".encode("latin-1")
    )
    (tmp_path / "product_descriptions.csv").write_text(
        "product_uid,product_description\n100001,Not only\n100002,BEHR\n100003,Classic\n"
    )
    settings = DataSettings(qrels=str(tmp_path / "train.csv"), corpus=str(tmp_path / "product_descriptions.csv"))
    records = load_records(settings)
    assert as_triples(records) == [
        ("angle bracket", "Angle bracket Not only", 3.0),
        ("deck \xfcber", "Deck coat BEHR", 2.33),
    ]
    assert records.document_ids == ("100001", "100002")
    assert "documents without a judgement left out" in names(records)


def test_home_depot_as_one_table(tmp_path):
    path = write_lines(
        tmp_path / "t.csv", ["entity_id,name,description,query,relevance\n", "1,Angle bracket,Not only,angle,3\n"]
    )
    assert as_triples(load(path)) == [("angle", "Angle bracket Not only", 3.0)]


def test_crowdflower(tmp_path):
    path = write_lines(
        tmp_path / "train.csv",
        ["id,query,product_title,product_description,median_relevance,relevance_variance\n", "1,bed,Bed,,4,0.471\n"],
    )
    assert as_triples(load(path)) == [("bed", "Bed", 4.0)]


def test_ms_marco_passages_with_a_selection(tmp_path):
    row = {
        "answers": ["yes"], "query": "rba", "query_id": 19699, "query_type": "description", "wellFormedAnswers": [],
        "passages": {"is_selected": [0, 1], "passage_text": ["first", "second"], "url": ["http://a", "http://b"]},
    }  # fmt: skip
    expected = [("rba", "first", 0.0), ("rba", "second", 1.0)]
    assert as_triples(load(write_lines(tmp_path / "train.jsonl", [row]))) == expected
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    records = load(tmp_path / "train.parquet")
    assert as_triples(records) == expected
    assert records.query_ids == ("19699",)


def test_trec_dl_qrels_over_ms_marco(tmp_path):
    (tmp_path / "queries.tsv").write_text("23849\tare naturalization records public\n")
    (tmp_path / "collection.tsv").write_text("7\tThe records\n8\tother\n9\tnever judged\n")
    (tmp_path / "qrels.txt").write_text("23849 0 7 3\n23849 0 8 0\n")
    parts = {"queries": "queries.tsv", "corpus": "collection.tsv", "qrels": "qrels.txt"}
    records = load_records(DataSettings(**{name: str(tmp_path / file) for name, file in parts.items()}))
    assert [grade for *_, grade in as_triples(records)] == [3.0, 0.0]
    assert records.document_ids == ("7", "8", "9")


def write_beir(folder, qrels):
    write_lines(folder / "queries.jsonl", ['{"_id": "PLAIN-1", "text": "statins", "metadata": {"url": "x"}}\n'])
    write_lines(
        folder / "corpus.jsonl",
        [f'{{"_id": "MED-{number}", "title": "T{number}", "text": "body", "metadata": {{}}}}\n' for number in range(3)],
    )
    write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore\n", *qrels])
    return folder


@pytest.mark.parametrize(
    ("collection", "qrels", "grades"),
    [
        ("NFCorpus", ["PLAIN-1\tMED-0\t2\n", "PLAIN-1\tMED-1\t1\n"], [2.0, 1.0]),
        ("Touché", ["PLAIN-1\tMED-0\t5\n", "PLAIN-1\tMED-1\t-2\n"], [5.0, -2.0]),
        ("BEIR", ["PLAIN-1\tMED-0\t1\n"], [1.0]),
    ],
)
def test_beir_folders(tmp_path, collection, qrels, grades):
    records = load(write_beir(tmp_path, qrels))
    assert [grade for *_, grade in as_triples(records)] == grades
    assert len(records.documents) == 3


def test_clicks_are_a_table_with_a_grade_that_is_named(tmp_path):
    path = write_lines(tmp_path / "log.csv", ["query,doc_id,title,clicks\n", "saw,1,A saw,5\n", "saw,2,A drill,0\n"])
    records = load(path, grade="clicks")
    assert as_triples(records) == [("saw", "A saw", 5.0), ("saw", "A drill", 0.0)]


def write_corpus(identifier, title, text):
    rows = (("a", "saw"), ("b", "drill"), ("c", "lamp"))
    return "".join(json.dumps({identifier: name, title: "A", text: body}) + "\n" for name, body in rows)


JUDGED = [("1", "a", 2.0), ("1", "b", 0.0), ("2", "b", 1.0)]
QUERIES = {
    "headerless.tsv": "1\tsaw\n2\tdrill\n",
    "header.tsv": "query_id\tquery\n1\tsaw\n2\tdrill\n",
    "more.tsv": "lang\tqid\ttext\nen\t1\tsaw\nen\t2\tdrill\n",
    "table.csv": "id,query\n1,saw\n2,drill\n",
    "beir.jsonl": '{"_id": "1", "title": "", "text": "saw"}\n{"_id": "2", "text": "drill", "metadata": {"url": "x"}}\n',
    "own.jsonl": '{"query_id": 1, "query": "saw"}\n{"query_id": 2.0, "query": "drill"}\n',
}
CORPUS = {
    "headerless.tsv": "a\tA saw\nb\tA drill\nc\tA lamp\n",
    "header.tsv": "docid\ttitle\ttext\na\tA\tsaw\nb\tA\tdrill\nc\tA\tlamp\n",
    "table.csv": "product_id,name,rating\na,A saw,5\nb,A drill,\nc,A lamp,1\n",
    "beir.jsonl": write_corpus("_id", "title", "text"),
    "miracl.jsonl": write_corpus("docid", "title", "text"),
    "products.jsonl": write_corpus("product_id", "name", "description"),
}
QRELS = {
    "trec.txt": "1 0 a 2\n1 0 b 0\n2 0 b 1\n",
    "miracl.tsv": "1\tQ0\ta\t2\n1\tQ0\tb\t0\n2\tQ0\tb\t1\n",
    "beir.tsv": "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n2\tb\t1\n",
    "wands.tsv": "id\tquery_id\tproduct_id\tlabel\n0\t1\ta\t2\n1\t1\tb\t0\n2\t2\tb\t1\n",
    "turned.tsv": "doc_id\tquery_id\tgrade\na\t1\t2\nb\t1\t0\nb\t2\t1\n",
    "table.csv": "query_id,product_id,label\n1,a,2\n1,b,0\n2,b,1\n",
    "own.jsonl": '{"query_id": 1, "doc_id": "a", "grade": 2}\n{"query_id": 1, "doc_id": "b", "grade": 0}\n'
    '{"query_id": 2, "doc_id": "b", "grade": 1}\n',
}


@pytest.mark.parametrize("qrels", list(QRELS))
@pytest.mark.parametrize("corpus", list(CORPUS))
@pytest.mark.parametrize("queries", list(QUERIES))
def test_parts_in_any_mixture_of_forms_read_the_same(tmp_path, queries, corpus, qrels):
    parts = {}
    for option, file, forms in (("queries", queries, QUERIES), ("corpus", corpus, CORPUS), ("qrels", qrels, QRELS)):
        path = tmp_path / option / file
        path.parent.mkdir()
        path.write_text(forms[file])
        parts[option] = str(path)
    records = load_records(DataSettings(**parts))
    assert by_ids(records) == JUDGED
    assert records.queries == ("saw", "drill")
    assert [" ".join(text.split()) for text in records.documents] == ["A saw", "A drill", "A lamp"]
    assert records.document_ids == ("a", "b", "c")
    assert not {"bad rows", "another text under one query id", "another text under one document id"} & set(
        names(records)
    )


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_parts_whose_columns_are_named(tmp_path, form):
    tables = {
        "queries": pa.table({"key": [1, 2], "words": ["saw", "drill"]}),
        "corpus": pa.table({"article": ["a", "b", "c"], "what": ["A saw", "A drill", "A lamp"], "note": ["x"] * 3}),
        "qrels": pa.table({"key": [1, 1, 2], "article": ["a", "b", "b"], "stars": [2, 0, 1]}),
    }
    parts = {}
    for name, table in tables.items():
        path = tmp_path / f"{name}.{form}"
        parts[name] = str(path)
        if form == "parquet":
            pq.write_table(table, path)
        elif form == "csv":
            pa.csv.write_csv(table, path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    named = {"query_id": "key", "query": "words", "document_id": "article", "document": "what", "grade": "stars"}
    records = load_records(DataSettings(**parts, **named))
    assert by_ids(records) == JUDGED
    assert records.documents == ("A saw", "A drill", "A lamp")


def test_qrels_as_a_table_without_their_texts_say_what_is_missing(tmp_path):
    path = write_lines(tmp_path / "q.csv", [QRELS["table.csv"]])
    with pytest.raises(InputError, match="no column is known as the query"):
        load_records(DataSettings(qrels=str(path)))


def test_wands_as_it_is_published_with_tabs_in_csv(tmp_path):
    write_wands(tmp_path, **{name: content.replace(",", "\t") for name, content in WANDS.items()})
    label = tmp_path / "label.csv"
    label.write_text("id\tquery_id\tproduct_id\tlabel\n0\t0\t10\tExact\n1\t0\t11\tIrrelevant\n2\t1\t11\tPartial\n")
    records = load(tmp_path)
    assert len(set(records.grade.tolist())) == 3
    assert records.documents == ("hair chair for a salon", "coffee table", "never judged a lamp")


def test_a_split_of_the_queries_is_taken_over_and_shards_are_one_part(tmp_path):
    header, *products = WANDS["product.csv"].splitlines(keepends=True)
    folder = write_wands(tmp_path, **{
        "query.csv": "query_id,query,split\n0,salon chair,train\n1,smart table,test\n",
        "product.csv": header + products[0],
        "product-2.csv": header + "".join(products[1:]),
    })  # fmt: skip
    records = load(folder)
    assert records.labels == ("train", "train", "test")
    assert records.document_ids == ("10", "11", "12")
    assert len(records) == 3


def test_judgements_without_grades_are_joined_as_positives(tmp_path):
    folder = write_wands(tmp_path, **{"label.csv": "query_id,product_id\n0,10\n1,11\n"})
    assert by_ids(load(folder, positives_only=True)) == [("0", "10", 1.0), ("1", "11", 1.0)]
    with pytest.raises(InputError):
        load(folder)
