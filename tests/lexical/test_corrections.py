"""Oracles: the nearest words found by the definition of the distance, one word after another; catalogues and queries
written so that a reader knows what was meant."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.corrections import RULES, CorrectionRules, Corrector, count_words
from nestvec.lexical.words import ENGLISH, WordForms

DOCUMENTS = [
    *["white toilet seat 2 in.", "toilet tank with seat", "toilet and bath brush"],
    *["cordless drill 18 v", "cordless hammer drill", "Cordless screwdriver DCD771"],
    *["bathtub in white", "bathtub faucet", "drop cloth 9 ft", "canvas drop cloth"],
    *[
        "brass hinge",
        "brass hinges for doors",
        "hinge or hinges",
        "garden hose 50 ft",
        "hose reel",
        "garden house",
        "garden gnomon",
    ],
]
CORRECTOR = Corrector.of(DOCUMENTS, ENGLISH)


def count_edits(first, second):
    """Letters added, left out or changed, and neighbours swapped; no letter is edited twice (optimal alignment)."""
    table = {(row, -1): row + 1 for row in range(-1, len(first))}
    table |= {(-1, column): column + 1 for column in range(-1, len(second))}
    for row, left in enumerate(first):
        for column, right in enumerate(second):
            ways = [table[row - 1, column] + 1, table[row, column - 1] + 1]
            ways.append(table[row - 1, column - 1] + (left != right))
            if row and column and first[row - 1 : row + 1] == second[column - 1 : column + 1][::-1]:
                ways.append(table[row - 2, column - 2] + 1)
            table[row, column] = min(ways)
    return table[len(first) - 1, len(second) - 1]


def misspell(rng, word):
    place = rng.randrange(len(word) - 1)
    ways = [
        word[:place] + word[place + 1 :],
        word[:place] + rng.choice("abcdefgh") + word[place:],
        word[:place] + rng.choice("abcdefgh") + word[place + 1 :],
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
    ]
    return rng.choice(ways)


def test_the_nearest_word_is_that_of_the_definition():
    rng = random.Random(3)
    letters = "abcdefgh"
    words = {"".join(rng.choice(letters) for _ in range(rng.randint(3, 10))) for _ in range(800)}
    vocabulary = {word: rng.randint(1, 9) for word in sorted(words)}
    queries = [misspell(rng, misspell(rng, rng.choice(sorted(words)))) for _ in range(300)]
    rules = CorrectionRules(part_letters=3)
    corrector = Corrector(vocabulary, WordForms("none"), rules)
    changed = 0
    for query, found in zip(queries, corrector.correct(queries), strict=True):
        if query in vocabulary or len(query) < rules.letters:
            assert found == query
            continue
        most = 1 if len(query) < rules.letters_for_two_edits else 2
        near = [
            (edits, -documents, word)
            for word, documents in vocabulary.items()
            if documents >= rules.documents and (edits := count_edits(query, word)) <= most
        ]
        parts = [(query[:cut], query[cut:]) for cut in range(3, len(query) - 2)]
        rarer = {
            f"{first} {second}": min(vocabulary.get(first, 0), vocabulary.get(second, 0)) for first, second in parts
        }
        rarest = max(rarer.values(), default=0)
        best = min(near, default=None)
        if rarest >= rules.documents and (best is None or best[0] > 1 or rarest >= -best[1]):
            assert rarer[found] == rarest
        else:
            assert found == (best[2] if best else query)
        changed += found != query
    assert 150 < changed < len(queries)


@pytest.mark.parametrize(
    ("query", "corrected"),
    [
        ("toilte seat", "toilet seat"),  # swapped
        ("toiletseat", "toilet seat"),
        ("bath tubb", "bath tubb"),  # "tub" is in no document
        ("bath tub", "bathtub"),  # "tub" is unknown
        ("bath-tub", "bathtub"),
        ("bath, tub", "bath, tub"),
        ("dropcloth", "drop cloth"),
        ("cordlss drlil", "cordless drill"),
        ("Cordles  DRILL, 18 v!", "cordless  DRILL, 18 v!"),  # what is known stays as it was typed
        ("screwdrivre", "screwdrivre"),  # the word that was meant is in one document only
        ("brass hingez", "brass hinge"),  # as near as "hinges", and in as many documents: the first by letters
        ("", ""),
        (" \n", " \n"),
    ],
)
def test_what_was_meant_is_searched(query, corrected):
    assert CORRECTOR.correct([query]) == [corrected]


@pytest.mark.parametrize(
    "query",
    [
        "toilets",  # its stem is known
        "drilling",
        "screwdriver",  # one document is enough to be known
        "gnomon",
        "horse",  # an English word, not a misspelt hose or house
        "\ttoilet   SEAT,white ",
        "DCD772",  # a model number beside one that is known
        "dcd_77",
        "19 v",
        "3/4 cm x ½",
        "hsoe_",
        "tob",  # three letters
        "xq",
        "zzzzzz",
        "红色羊角锤",
        "ドリル",
        "ค้อนๆๆๆ",
    ],
)
def test_what_is_known_or_no_word_stays_byte_for_byte(query):
    assert CORRECTOR.correct([query, "toilte", query]) == [query, "toilet", query]


def test_rules_are_kept():
    assert Corrector.of(DOCUMENTS, ENGLISH, CorrectionRules(documents=1)).correct(["screwdrivre"]) == ["screwdriver"]
    strict = CorrectionRules(documents=4, letters=8, letters_for_two_edits=9, part_letters=4)
    assert Corrector.of(DOCUMENTS, ENGLISH, strict).correct(["toilte cordlessx", "bath tub"]) == [
        "toilte cordlessx",
        "bath tub",
    ]
    rare = CorrectionRules(common_per_million=10**6)
    assert Corrector.of(DOCUMENTS, ENGLISH, rare).correct(["horse"]) == ["hose"]
    long = CorrectionRules(letters_for_two_edits=8)
    assert Corrector.of(DOCUMENTS, ENGLISH, long).correct(["bathubt"]) == ["bathubt"]
    assert Corrector.of(DOCUMENTS, ENGLISH).correct(["bathubt"]) == ["bathtub"]


def test_words_are_counted_by_document():
    texts = ["Drill drill DRILL bit 18v", "drill_bit Bits", "", "bit ½ 红色 naïve"]
    assert count_words(texts) == {"bit": 2, "bits": 1, "drill": 1, "naïve": 1}
    assert list(count_words(texts)) == sorted(count_words(texts))


def test_a_vocabulary_that_was_kept_corrects_alike():
    kept = json.loads(json.dumps(CORRECTOR.vocabulary))
    turned = dict(sorted(kept.items(), reverse=True))
    queries = ["toilte seat", "dropcloth", "bath tub", "hingez", "gardne hsoe", "hoose"]
    assert Corrector(kept, ENGLISH).correct(queries) == CORRECTOR.correct(queries)
    assert Corrector(turned, ENGLISH).correct(queries) == CORRECTOR.correct(queries)


def test_many_threads_get_what_one_gets():
    rng = random.Random(5)
    queries = [misspell(rng, rng.choice(["toilet", "cordless", "bathtub", "garden", "hinges"])) for _ in range(400)]
    alone = [CORRECTOR.correct([query]) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: CORRECTOR.correct([query]), queries)) == alone


@pytest.mark.parametrize(
    ("language", "documents", "query", "corrected"),
    [
        ("german", ["Garten Schlauch"] * 2, "Gartenschlauch", "garten schlauch"),
        ("german", ["Gartenschlauch"] * 2, "Garten Schluach", "Garten Schluach"),
        ("german", ["Schraube aus Messing"] * 2, "Schrauben", "Schrauben"),  # its stem is known
        ("german", ["Hose aus Leder"] * 2, "horse", "hose"),  # English words are known in English catalogues only
        ("german", ["Schlüssel"] * 2, "Schlüsel", "schlüssel"),
        ("russian", ["молоток и дрель"] * 2, "малоток", "молоток"),
        ("russian", ["молоток и дрель"] * 2, "молотки дрели", "молоток дрели"),  # the stems of one noun differ
        ("none", ["망치와 드릴"] * 2, "망치는", "망치는"),  # three letters
        ("hindi", ["हथौड़ी लाल"] * 2, "हथौडी", "हथौड़ी"),
        ("cjk", ["红色羊角锤 hammer"] * 2, "红色羊角鎚", "红色羊角鎚"),
    ],
)
def test_other_languages(language, documents, query, corrected):
    assert Corrector.of(documents, WordForms(language)).correct([query]) == [corrected]


def test_stop_words_are_known():
    forms = WordForms(stop_words=True)
    assert Corrector.of(["the seat for a toilet"] * 3, forms).correct(["the thw for", "toilte"]) == [
        "the thw for",
        "toilet",
    ]


def test_the_keyword_leg_searches_what_was_corrected():
    plain, correcting = (Bm25.of(DOCUMENTS, LexicalSettings(correction=rules)) for rules in (None, RULES))
    asked = ["toilte", "dropcloth", "toilet"]
    rows, scores = correcting.top_k(asked, 3)
    wanted = plain.top_k(["toilet", "drop cloth", "toilet"], 3)
    assert rows.tolist() == wanted[0].tolist() and scores.tolist() == wanted[1].tolist()
    assert correcting.correct(asked) == ["toilet", "drop cloth", "toilet"] and plain.correct(asked) == asked
    assert not plain.top_k(asked, 3)[1][:2].any()
    assert (correcting.settings.correction, plain.settings.correction) == (RULES, None)
