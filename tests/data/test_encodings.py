"""Oracle: texts encoded by Python's own codecs, so what must come out is known; odd letters as a person sees them."""

from __future__ import annotations

import json

import pytest
from tables import as_triples, load, rows, write_csv

from nestvec.data.encodings import find_encoding
from nestvec.data.load_records import load_records
from nestvec.errors import InputError
from nestvec.pipeline.checking import check_settings
from nestvec.settings import DataSettings, Settings

ODD = "not UTF-8, and hardly Windows-1252"
FOREIGN = {
    "gb18030": "红色锤子 尺寸",
    "big5": "紅色錘子 鋼製鋸子",
    "cp932": "赤いハンマー サイズ",
    "euc_jp": "スチール製のこぎり",
    "cp949": "빨간 망치 강철 톱",
    "cp1251": "красный молоток стальной",
    "koi8_r": "красный молоток стальной",
    "cp1253": "κόκκινο σφυρί μέγεθος",
    "cp1255": "פטיש אדום גודל",
    "cp1256": "مطرقة حمراء حجم",
    "cp874": "ค้อนสีแดง ขนาด",
    "cp850": "marteau déjà câblé",
    "mac_roman": "café naïve señor",
    "cp1250": "młotek żółty długość łopata",
}
WESTERN = [
    "red hammer \u201cpro\u201d 3\u201d \u2013 5€",
    "marteau rouge d\u2019été, scié à métaux n° 5 « pro » œuvre",
    "Größe Säge für Straße",
    "¿cuánto? tamaño ½\u201d",
    "não informação açúcar",
    "röd stål trä åäö",
    "rauður hamar þröng sög",
    "saw µm mm² m³ 10°C ±5 © brand™ 3\u00d74",
    "RÉGLAGE GRÖSSE ÉTÉ",
    "\u201ca\u2014b\u201d… ½\u201d\u00d7¾\u201d\u2013\u201cx\u201d",
]


def make_table(text):
    return [{"query": f"{text} {n // 5}", "document": f"{text} no. {n}", "grade": n % 4} for n in range(60)]


def expected(table):
    return [(row["query"], row["document"], float(row["grade"])) for row in table]


@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_read_as_windows_1252_without_a_warning(tmp_path, text):
    table = make_table(text)
    records = load(write_csv(tmp_path / "t.csv", table, encoding="cp1252"))
    assert as_triples(records) == expected(table)
    [finding] = [finding for finding in records.findings if "UTF-8" in finding.name]
    assert (finding.name, finding.warning) == ("not UTF-8", False)
    assert text.split(",")[0].split()[-1] in finding.examples[0]


@pytest.mark.parametrize(("encoding", "text"), FOREIGN.items())
def test_other_encodings_are_read_by_name_and_else_warned_of(tmp_path, encoding, text):
    table = make_table(text)
    path = write_csv(tmp_path / "t.csv", table, encoding=encoding)
    records = load(path, encoding=encoding)
    assert as_triples(records) == expected(table)
    assert not any("UTF-8" in finding.name for finding in records.findings)
    [finding] = [finding for finding in find_encoding(path).findings if finding.name == ODD]
    assert finding.warning
    assert "--encoding" in finding.action


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "cp932", "cp1251", "cp1253", "cp949"])
def test_the_warning_proposes_the_encoding_with_an_example(tmp_path, encoding):
    path = write_csv(tmp_path / "t.csv", make_table(FOREIGN[encoding]), encoding=encoding)
    [finding] = [finding for finding in find_encoding(path).findings if finding.name == ODD]
    assert f"perhaps --encoding {encoding}: '{FOREIGN[encoding]} 0'" in finding.action


def test_odd_letters_are_a_warning_of_the_check(tmp_path):
    table = [{**row, "query": f"молоток {row['query']}", "document": f"красный {row['document']}"} for row in rows()]
    path = write_csv(tmp_path / "t.csv", table, encoding="cp1251")
    first = check_settings(Settings(data=DataSettings(source=str(path))), None).warnings[0]
    assert first.startswith("Not UTF-8, and hardly Windows-1252: Read as Windows-1252, letters look wrong: ")
    assert "perhaps --encoding cp1251: 'молоток" in first


def test_the_shared_case_comes_out_as_it_was_meant():
    from test_delimited import CASES

    records = load(CASES / "cp1252.csv")
    assert records.documents[0] == "red hammer number 0 \u201cpro\u201d 3\u201d \u2013 5\u20ac"


def test_bytes_that_windows_1252_lacks_are_counted(tmp_path):
    path = tmp_path / "t.csv"
    lines = ["query,document,grade", *(f"caf\u00e9 {n},na\u00efve r\u00f6d {n},{n % 3}" for n in range(30))]
    path.write_bytes("\n".join(lines).encode("cp1252").replace(b"7", b"\x8d\x8d"))
    found = {finding.name: finding for finding in load(path).findings}
    finding = found["lines with bytes that Windows-1252 lacks"]
    assert (finding.count, finding.examples) == (3, ("line 9", "line 19", "line 29"))
    assert "\x8d" in load(path).documents[7]


@pytest.mark.parametrize("name", ["klingon", "hex", "undefined", "rot13", ""])
def test_an_unknown_encoding_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"--encoding '{name}' is unknown"):
        load(write_csv(tmp_path / "t.csv", rows(20)), encoding=name)


@pytest.mark.parametrize(("name", "line"), [("utf-8", 7), ("UTF8", 7), ("ascii", 7), ("gb18030", 7), ("utf-16", 1)])
def test_text_that_is_not_in_the_named_encoding_is_refused(tmp_path, name, line):
    path = tmp_path / "t.csv"
    lines = ["query,document,grade", *(f"saw {n},red saw {n},{n % 3}" for n in range(30))]
    path.write_bytes("\n".join(lines).encode().replace(b"saw 5,", b"\xff\x80\xfd,"))
    with pytest.raises(InputError, match=f"line {line} .*is not valid {name}"):
        load(path, encoding=name)


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "cp1251", "utf-8-sig", "shift_jis"])
def test_json_lines_and_collections_take_an_encoding(tmp_path, encoding):
    table = make_table("красный")
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    (tmp_path / "t.jsonl").write_text(content, encoding=encoding)
    assert as_triples(load(tmp_path / "t.jsonl", encoding=encoding)) == expected(table)
    query, document, other = "красный", "молоток", "пила"
    parts = {"queries": f"1\t{query}", "corpus": f"a\t{document}\nb\t{other}", "qrels": "1 0 a 2\n1 0 b 0"}
    for name, text in parts.items():
        (tmp_path / f"{name}.tsv").write_text(text, encoding=encoding)
    files = {name: str(tmp_path / f"{name}.tsv") for name in parts}
    read = as_triples(load_records(DataSettings(**files, encoding=encoding)))
    assert read == [(query, document, 2.0), (query, other, 0.0)]


def test_a_mark_of_utf_16_says_enough_for_json_lines(tmp_path):
    table = make_table("красный")
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    (tmp_path / "t.jsonl").write_text(content, encoding="utf-16")
    assert as_triples(load(tmp_path / "t.jsonl")) == expected(table)


def test_json_lines_in_another_encoding_say_how(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"query": "молоток", "document": "d", "grade": 1}', encoding="cp1251")
    with pytest.raises(InputError, match=r"row 1: is not UTF-8 .*--encoding"):
        load(tmp_path / "t.jsonl")


@pytest.mark.parametrize(("encoding", "count"), [("cp1252", 1), ("cp1251", 1), ("gb18030", 0), ("utf-8", 0)])
def test_a_file_in_utf_8_under_another_name_is_warned_of(tmp_path, encoding, count):
    path = write_csv(tmp_path / "t.csv", make_table("Größe"), encoding="utf-8" if encoding != "gb18030" else encoding)
    found = [finding for finding in load(path, encoding=encoding).findings if finding.warning]
    assert [finding.name for finding in found] == ["a file in UTF-8 under another --encoding"] * count
