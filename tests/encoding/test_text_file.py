"""Which column is the text, and what is said of rows that have none."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nestvec.encoding.text_file import open_text_file
from nestvec.errors import InputError


def read(path, *given):
    parts = list(open_text_file(path, *given).batches())
    return [name for part in parts for name in part.ids], [text for part in parts for text in part.texts]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_every_format_gives_the_same_rows(tmp_path):
    texts, names = ["hex bolt", "wood, glue", "écrou"], ["a", "b", "c"]
    lines = [json.dumps({"id": name, "text": text}) for name, text in zip(names, texts, strict=True)]
    pq.write_table(pa.table({"id": names, "text": texts}), tmp_path / "t.parquet")
    paths = [
        write(tmp_path / "t.csv", 'id,text\na,hex bolt\nb,"wood, glue"\nc,écrou\n'),
        write(tmp_path / "t.tsv", "id\ttext\na\thex bolt\nb\twood, glue\nc\técrou\n"),
        write(tmp_path / "t.jsonl", "\n".join(lines)),
        tmp_path / "t.parquet",
    ]
    packed = tmp_path / "p.csv.gz"
    packed.write_bytes(gzip.compress(paths[0].read_bytes()))
    for path in [*paths, packed]:
        assert read(path) == (names, texts), path


def test_a_plain_file_has_a_text_a_line_and_rows_are_their_numbers(tmp_path):
    path = write(tmp_path / "t.txt", "\ufeffhex bolt\nwood, glue\n\u00e9crou")
    assert read(path) == (["1", "2", "3"], ["hex bolt", "wood, glue", "écrou"])
    (tmp_path / "l.txt").write_bytes("écrou\r\nclé\r\n".encode("latin-1"))
    assert read(tmp_path / "l.txt")[1] == ["écrou", "clé"]


def test_rows_without_an_id_column_are_numbered_as_messages_number_them(tmp_path):
    assert read(write(tmp_path / "t.csv", "text\nhex bolt\nglue\n"))[0] == ["2", "3"]


def test_a_headline_and_a_body_are_joined_as_a_documents_are(tmp_path):
    path = write(tmp_path / "t.csv", "description,title\nfor &quot;wood&quot;,  deck   screw\n,nail\n")
    assert read(path)[1] == ['deck screw for "wood"', "nail"]


@pytest.mark.parametrize(
    ("header", "text", "name"),
    [
        ("query,grade", "query", None),
        ("sku,id,text", "text", "sku"),
        ("qid,question", "question", "qid"),
        ("_id,title,text", "title text", "_id"),
        ("Product_UID,Product_Title", "Product_Title", "Product_UID"),
    ],
)
def test_well_known_names(tmp_path, header, text, name):
    found = open_text_file(write(tmp_path / "t.csv", f"{header}\n{header}\n"))
    assert (" ".join(found.columns), found.id_column) == (text, name)


def test_columns_can_be_named(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,c\none,two,3\n")
    assert read(path, "b", "c") == (["3"], ["two"])
    assert read(path, "a, b", None)[1] == ["one two"]
    assert read(path, "{b}: {a}", None)[1] == ["two: one"]


@pytest.mark.parametrize(
    ("header", "given", "message"),
    [
        ("a,b", (), "no column is known as the text; expected --column to name one of 'a', 'b'"),
        ("query,title", (), "more than one column could be the text: 'title', 'query'; expected --column"),
        ("text,body", (), "more than one column could be the text: 'text', 'body'"),
        ("a,b", ("z",), "there is no column 'z'; expected --column to name one of 'a', 'b'"),
        ("a,b", ("{}",), "--column"),
        ("a,text", ("text", "z"), "there is no column 'z'; expected --id-column to name one of 'a', 'text'"),
    ],
)
def test_unclear_columns_are_refused_with_those_there_are(tmp_path, header, given, message):
    with pytest.raises(InputError, match=message):
        open_text_file(write(tmp_path / "t.csv", f"{header}\n1,2\n"), *given)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("t.csv", 'text\nbolt\n"  "\n', "row 3, column 'text': is empty"),
        ("t.csv", "id,text\n1,bolt\n,nut\n", "row 3, column 'id': is empty; expected an id"),
        ("t.csv", "title,description\na,b\n,\n", "row 3, column 'title,description': is empty"),
        ("t.csv", "id,text\n1,bolt\n2,nut,3\n", "row 3: has 3 fields"),
        ("t.jsonl", '{"text": "bolt"}\n{"text": null}\n', "row 2, column 'text': is empty; expected text"),
        ("t.jsonl", '{"text": "bolt"}\n{"text"\n', "row 2: is not JSON"),
        ("t.txt", "bolt\n\nnut\n", "row 2, column 'text': is empty"),
        ("t.txt", "", "is empty"),
        ("t.csv", "", "is empty"),
        ("t.pdf", "x", "has the unknown format '.pdf'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, content, place):
    with pytest.raises(InputError) as no:
        read(write(tmp_path / name, content))
    assert str(no.value).startswith(str(tmp_path / name))
    assert place in str(no.value)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        open_text_file(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        open_text_file(tmp_path)
