"""Oracles: pairs of characters as Lucene's documentation of its CJKAnalyzer splits them; words split by hand; languages
that a reader recognises."""

from __future__ import annotations

import pytest
from tables import CASES, load

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.words import WordForms, detect_language, split_words
from nestvec.settings import LANGUAGES

TEXTS = {
    "german": ["Akku-Bohrschrauber 18 V mit Koffer und zwei Akkus", "Hammer mit Stiel aus Holz, 500 g",
               "Schraubendreher-Satz, 12-teilig, für die Werkstatt", "Wandfarbe weiß, matt, 10 l"],
    "french": ["Perceuse sans fil 18 V avec coffret et deux batteries", "Marteau avec manche en bois, 500 g",
               "Peinture murale blanche et mate pour la chambre, 10 l"],
    "english": ["Cordless drill with case and two batteries", "Hammer with a handle made of wood, 16 oz.",
                "White wall paint for the bedroom, one gallon"],
    "russian": ["Дрель аккумуляторная в кейсе, две батареи", "Молоток, ручка деревянная",
                "Краска белая матовая для стен и потолков, ведро десять литров", "Лестница алюминиевая, семь ступеней"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("红色羊角锤", ["红色", "色羊", "羊角", "角锤"]),
        ("锤 SDS-Plus 4.5mm钻头", ["锤", "sds", "plus", "4", "5mm", "钻头"]),
        ("ハンマー 500g", ["ハン", "ンマ", "マー", "500g"]),
        ("ค้อน", ["ค้อ", "อน"]),
        ("हथौड़ी लाल", ["हथौड़ी", "लाल"]),
        ("망치 500g", ["망치", "500g"]),
        ("2 in. Deck_Screws", ["2", "in", "deck_screws"]),
    ],
)
def test_words_in_every_script(text, words):
    assert split_words([text], WordForms("none")) == [words]


def test_stems_of_the_language_that_is_named():
    assert split_words(["running hammers"], WordForms()) == [["run", "hammer"]]
    [[_, _, screws]], [[screw]] = (
        split_words([text], WordForms("german")) for text in ("Säge und Schrauben", "schraube")
    )
    assert screws == screw


def test_stop_words_and_stems_are_choices():
    text = ["the hammers for a running man"]
    assert split_words(text, WordForms(stop_words=True)) == [["hammer", "run", "man"]]
    assert split_words(text, WordForms(stem=False)) == [["the", "hammers", "for", "a", "running", "man"]]
    assert split_words(text, WordForms("irish", stem=False, stop_words=True)) == split_words(
        text, WordForms(stem=False)
    )


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_is_detected(language):
    assert detect_language(TEXTS[language] * 5) == language


def test_what_cannot_be_told_is_taken_for_english():
    assert detect_language([f"d{number}" for number in range(50)]) == "english"
    assert detect_language([]) == "english"


def test_chinese_is_told_by_its_script_and_found_by_its_words():
    records = load(CASES / "chinese.csv")
    assert detect_language(records.documents) == "cjk"
    rows, scores = Bm25.of(records.documents, LexicalSettings(WordForms("cjk"))).top_k(records.queries, 5)
    assert (scores[:, 0] > 0).all()
    judged = {(int(q), int(d)) for q, d, g in zip(records.query, records.document, records.grade, strict=True) if g > 2}
    hits = sum((query, row) in judged for query, ranked in enumerate(rows.tolist()) for row in ranked)
    assert hits > len(records.queries)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_stemmer(language):
    assert split_words(["abc 12"], WordForms(language))
