"""Oracle: plain Python, row by row: each text cleaned by itself, dictionaries to tell texts apart, hashlib for ids.

What is read in columns must give the same records, ids, grades, findings and messages, whatever is in the rows.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import unicodedata
from functools import reduce
from html.entities import html5
from operator import add

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import load, write_table

from nestvec.data import json_lines, many_texts, text_table
from nestvec.data.json_lines import open_json_lines
from nestvec.data.many_texts import clean_texts, same_text
from nestvec.data.merge import merge_judgements
from nestvec.data.source import SET_ASIDE, Rejects
from nestvec.data.text_form import TextForm

ODD = (
    *("saw", " saw", "saw ", "a  saw", "a saw", "a\tsaw", "a\x1csaw", "a\x0bsaw", "a\u00a0saw", "a\u3000saw"),
    *("Stra\u00dfe", "STRASSE", "caf\u00e9", "cafe\u0301", "\uff21 b", "A b", "\u0130", "\U0001f600", "a\ufeffb"),
    *("&amp;", "&", "a & b", "AT&T;", "&nbsp;x", "&#0;", "&#x20;y", "x&#32;", "&unknown; z", "z", "zz", "\u00e9\u00e9"),
    *("nan", "NaN", "null", "0", "-0.0", "1e3", "a\x00b", "a\x00", "\x7f", '"', "'", "[1]", "{x}", "\ud7ff\ue000"),
)
GRADES = (0, 1, 2, 3, 1.5, 2.25, -1, 1e-7, 0.1, 1 / 3, 2**53 - 1)
IDS = ("7", "07", " 7", "a b", "caf\u00e9", "cafe\u0301", "A", "a", "7.0", "\x00")


def clean(text):
    """The text as docs/data.md says that it is cleaned."""

    def decode(match):
        known = match[1].startswith("#") or f"{match[1]};" in html5
        return html.unescape(match[0]) if known else match[0]

    entity = r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);"
    return " ".join(re.sub(entity, decode, text).split())


LETTERS = st.characters(exclude_categories=["Cs"])
TEXTS = (st.sampled_from(ODD) | st.text(LETTERS, max_size=6)).filter(lambda text: clean(text) != "")
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(GRADES)), min_size=1, max_size=30)


@pytest.fixture(params=[1 << 26, 0], ids=["joined at the end", "joined after each batch"])
def joining(request, monkeypatch):
    monkeypatch.setattr(many_texts, "BATCH_BYTES", request.param)


def test_every_letter_is_cleaned_as_python_cleans_it():
    texts = [
        form.format(chr(code))
        for code in range(sys.maxunicode + 1)
        for form in ("a{}b",)
        if not 0xD800 <= code < 0xE000
    ]
    edges = [form.format(letter) for letter in (*map(chr, range(0x300)), *ODD) for form in ("{}", "{}b", "a{}", " {}")]
    for part in (texts, edges):
        assert clean_texts(pa.array(part)).to_pylist() == [clean(text) for text in part]


def test_what_cleaning_changes_and_what_is_nearly_empty_is_noted():
    texts, noted = list(dict.fromkeys((*ODD, "", "\u00e9"))), []
    clean_texts(pa.array(texts), lambda *pair: noted.append(pair))
    said = [(text, clean(text)) for text in texts if text != clean(text) or len(clean(text)) < 3]
    assert [pair for pair in noted if pair[0] != pair[1] or len(pair[1]) < 3] == said


@given(texts=st.lists(st.sampled_from(ODD) | st.text(LETTERS, max_size=4), max_size=30))
@settings(max_examples=50, deadline=None)
def test_texts_are_the_same_once_normalised(texts):
    known = {}
    forms = [" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts]
    assert same_text(texts).tolist() == [known.setdefault(form, len(known)) for form in forms]


def read_judgements(records):
    """Query and document of each record, to its grade."""
    pairs = zip(records.query.tolist(), records.document.tolist(), strict=True)
    named = [(records.queries[query], records.documents[document]) for query, document in pairs]
    return list(zip(named, records.grade.tolist(), strict=True))


def merge_rows(rows):
    """The mean grade of each pair, by first appearance, with grades added in their order."""
    merged = {}
    for *pair, grade in rows:
        merged.setdefault(tuple(pair), []).append(float(grade))
    return [
        (pair, grades[0] if min(grades) == max(grades) else reduce(add, grades) / len(grades))
        for pair, grades in merged.items()
    ]


def make_id(letter, text):
    return letter + hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.usefixtures("joining")
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@given(table=ROWS)
@settings(max_examples=20, deadline=None)
def test_texts_without_ids(tmp_path_factory, ending, table):
    rows = [{"query": query, "title": title, "grade": grade} for query, title, grade in table]
    records = load(write_table(tmp_path_factory.mktemp("rows") / f"t.{ending}", rows), grade_range=(-1e20, 1e20))
    cleaned = [(clean(query), clean(title), grade) for query, title, grade in table]
    assert records.queries == tuple(dict.fromkeys(query for query, _, _ in cleaned))
    assert records.documents == tuple(dict.fromkeys(title for _, title, _ in cleaned))
    assert records.query_ids == tuple(make_id("q", text) for text in records.queries)
    assert records.document_ids == tuple(make_id("d", text) for text in records.documents)
    assert read_judgements(records) == merge_rows(cleaned)


@pytest.mark.usefixtures("joining")
@given(table=st.lists(st.tuples(st.sampled_from(IDS), TEXTS), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_an_id_keeps_its_first_text(table):
    known, differing, several, examples = {}, 0, set(), []
    told_apart = text_table.TextTable("query")
    for start in range(0, len(table), 4):
        ids, texts = (pa.array(part) for part in zip(*table[start : start + 4], strict=True))
        told_apart.add(texts, ids)
    for identifier, text in table:
        if known.setdefault(identifier, text) != text:
            differing += 1
            several.add(identifier)
            examples.append(f"{identifier}: {known[identifier]!r} and {text!r}")
    numbered = told_apart.number()
    assert (numbered.ids, numbered.texts) == (list(known), list(known.values()))
    assert [numbered.ids[number] for number in numbered.numbers] == [identifier for identifier, _ in table]
    assert (numbered.differing, numbered.several, numbered.examples) == (differing, len(several), examples[:3])
    assert numbered.repeated == len(known) - len(set(known.values()))


def test_a_dictionary_that_holds_a_text_twice():
    told_apart = text_table.TextTable("document")
    told_apart.add(pa.DictionaryArray.from_arrays([0, 1, 2, 1], ["saw", "saw", "drill"]), None)
    numbered = told_apart.number()
    assert (numbered.texts, numbered.numbers.tolist()) == (["saw", "drill"], [0, 0, 1, 0])


@pytest.mark.parametrize("conflicts", ["mean", "max", "last"])
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(GRADES)), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_judgements_are_merged(conflicts, rows):
    query, document, grade = (np.array(column) for column in zip(*rows, strict=True))
    names = [f"text {number}" for number in range(4)]
    kept, settled, findings = merge_judgements(query, document, grade.astype(float), names, names, conflicts)
    groups = {}
    for index, (*pair, value) in enumerate(rows):
        groups.setdefault(tuple(pair), []).append((index, float(value)))
    expected = {"max": lambda values: max(values), "last": lambda values: values[-1]}
    grades = [[value for _, value in group] for group in groups.values()]
    assert kept.tolist() == [group[0][0] for group in groups.values()]
    assert settled.tolist() == (
        [expected[conflicts](values) for values in grades]
        if conflicts in expected
        else [grade for _, grade in merge_rows(rows)]
    )
    differing = [values for values in grades if min(values) < max(values)]
    same = [values for values in grades if len(values) > 1 and values not in differing]
    assert [finding.count for finding in findings] == [
        sum(len(values) - 1 for values in part) for part in (same, differing) if part
    ]


@given(grades=st.lists(st.sampled_from(GRADES) | st.floats(-1e6, 1e6), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_numbers_written_as_text(tmp_path_factory, grades):
    rows = [{"query": f"q {row}", "title": "t", "grade": f" {grade!r}"} for row, grade in enumerate(grades)]
    path = write_table(tmp_path_factory.mktemp("numbers") / "t.csv", rows)
    assert load(path, grade_range=(-1e20, 1e20)).grade.tolist() == [float(grade) for grade in grades]


LINES = [
    *(json.dumps({"query": text, "title": text, "grade": 1}).encode() for text in ODD),
    *(json.dumps({"query": text, "title": "t", "grade": 1.5}, ensure_ascii=False).encode() for text in ODD),
    *(b'{"query":"a","title":"t","grade":%s}' % value for value in (
        *(b"1", b"-0", b"-0.0", b"1e2", b"0.1", b"1e-400", b"1e400", b"1e22", b"9007199254740993", b"01", b"1.", b"+1"),
        *(b".5", b"NaN", b"-NaN", b"Inf", b"-Infinity", b"true", b"null", b'"2"', b'" 2"', b'"x"', b"[1]", b"{}", b""),
    )),
    *(b'{"query":%s,"title":"t","grade":1}' % value for value in (
        *(b"7", b"7.0", b"9007199254740993", b"null", b"true", b'["a","b"]', b'{"text":"a"}', b'"\\ud83d"'),
        *(b'"\\ude00"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"a\tb"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\x"', b'"\\/"'),
    )),
    *(b'{"query":"a","title":"t","grade":2,"other":%s}' % value for value in (
        *(b"NaN", b"-NaN", b"[Inf]", b"1,\"other\":2", b'"\xff"', b"9" * 5000, b"[" * 2000 + b"]" * 2000, b"{}", b"01"),
    )),
    *(b'{"query":"a"}{"query":"b"}', b'{"query":"a","query":"b","title":"t","grade":1}', b"{}", b"[]", b"7", b"{"),
    *(b' {"query":"a","title":"t","grade":1}', b'{"query":"a","title":"t","grade":1} \r', b'{"query":"a"}\x0b'),
    *(b'\xef\xbb\xbf{"query":"a","title":"t","grade":1}', b'{"query":"a","title":"t",', b'"grade":1}'),
    b'{"query":"a"}//',
]  # fmt: skip


def read_lines(path):
    """Everything that comes of reading: rows, what was set aside, or the message."""
    rejects = Rejects(SET_ASIDE)
    batches = open_json_lines(path, TextForm()).read(["query", "title", "grade"], rejects)
    rows = [row for batch in batches for row in zip(batch.rows.tolist(), batch.values.to_pylist(), strict=True)]
    return rows, rejects.rows


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
@pytest.mark.parametrize("first", [LINES[0], b'{"query":"a","title":"t","grade":1.5}', b""], ids=["1", "1.5", "alone"])
def test_json_is_read_by_arrow_as_by_python(line, first, tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\n".join([first, line, LINES[1], LINES[3]]) + b"\n")
    outcomes = []
    for read_plainly in (json_lines.read_plain_lines, lambda lines, columns: None):
        monkeypatch.setattr(json_lines, "read_plain_lines", read_plainly)
        try:
            outcomes.append(read_lines(path))
        except Exception as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


def test_plain_json_is_read_by_arrow(tmp_path, monkeypatch):
    seen = []
    original = json_lines.read_plain_lines
    monkeypatch.setattr(json_lines, "read_plain_lines", lambda *given: seen.append(original(*given)) or seen[-1])
    rows = [{"query": text, "title": f"{text} {row}", "grade": GRADES[row % 10]} for row, text in enumerate(ODD)]
    read, _ = read_lines(write_table(tmp_path / "t.jsonl", rows))
    assert [batch.num_rows for batch in seen] == [len(ODD)]
    assert [row["query"] for _, row in read] == list(ODD)


@given(
    texts=st.lists(st.sampled_from(("saw", "Saw", "drill", "a nut", "stra\u00dfe", "STRASSE")), min_size=2, max_size=9)
)
@settings(max_examples=30, deadline=None)
def test_queries_that_are_documents_under_another_id(tmp_path_factory, texts):
    asked = texts[: len(texts) // 2]
    rows = [
        {"query_id": f"q{row}", "query": query, "document_id": f"d{other}", "title": title, "grade": 1}
        for row, query in enumerate(asked)
        for other, title in enumerate(texts[len(asked) :])
    ]
    records = load(write_table(tmp_path_factory.mktemp("own") / "t.parquet", rows))
    folded = [text.casefold() for text in texts[len(asked) :]]
    alike = [(row, folded.index(text.casefold())) for row, text in enumerate(asked) if text.casefold() in folded]
    findings = [finding for finding in records.findings if finding.name.startswith("queries whose text is a document")]
    assert [(finding.count, finding.examples) for finding in findings] == (
        [(len(alike), tuple(f"q{query}: document d{row}" for query, row in alike[:3]))] if alike else []
    )
