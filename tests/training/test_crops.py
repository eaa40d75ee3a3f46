"""Oracles: closed forms of the draws' shares; sets of misspellings written out; judgements made by hand. Whether a
crop's words are its document's, in order, is told by the words alone."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
from jobs import prepared
from judged import BATTERY, BLADES, HACKSAW, SHOVEL, SLEDGE, by_hand, from_table

from nestvec.data.split import HELD_OUT
from nestvec.data.task import find_held_out_documents
from nestvec.lexical.words import find_typed_words
from nestvec.training.crops import MOST_WORDS, READ, TYPOS, WINDOW, crop_queries, draw_window, misspell
from nestvec.tuning.trial_data import hide_test_split

DOCUMENTS = 4000
COMMON, RARE = ("garden", "power", "steel"), ("alpha", "bravo", "delta")
TEXTS = [" ".join([*COMMON, *(f"{word}{number}" for word in RARE)]) for number in range(DOCUMENTS)]


@pytest.fixture(scope="module")
def crops():
    return crop_queries(TEXTS, 7)


def strangers(text, crop):
    """The words of a crop that its document lacks, after a check that the others come in the document's order."""
    words = text.split()
    known = [word for word in crop.split() if word in words]
    assert [words.index(word) for word in known] == sorted({words.index(word) for word in known})
    return [word for word in crop.split() if word not in words]


def is_near(share, expected, count):
    """Whether a share of so many draws lies within four standard errors."""
    return abs(share - expected) < 4 * sqrt(expected * (1 - expected) / count)


def test_crops_are_words_of_their_document_in_order_but_for_one_typo(crops):
    wrong = [strangers(text, crop) for text, crop in zip(TEXTS, crops, strict=True)]
    assert max(map(len, wrong)) == 1
    assert is_near(sum(map(len, wrong)) / DOCUMENTS, TYPOS, DOCUMENTS)
    lengths = np.array([len(crop.split()) for crop in crops])
    assert set(lengths) == set(range(1, MOST_WORDS + 1))
    assert all(is_near((lengths == length).mean(), 1 / 6, DOCUMENTS) for length in set(lengths))


def test_informative_words_are_likelier(crops):
    alone = [crop for crop in crops if len(crop.split()) == 1]
    rare = np.mean([crop[-1].isdigit() for crop in alone])  # a typo leaves the number
    expected = log(1 + DOCUMENTS) / (log(1 + DOCUMENTS) + log(2))  # a word of one document beside one of all
    assert is_near(rare, expected, len(alone))


def test_the_seed_decides_every_crop(crops):
    assert crop_queries(TEXTS, 7) == crops
    assert sum(one != other for one, other in zip(crops, crop_queries(TEXTS, 8), strict=True)) > DOCUMENTS / 2


def test_a_short_document_and_one_without_words():
    assert crop_queries(["saw", " -- ", "", "Saw saw saw"], 0) == ["saw", "", "", "Saw"]


def test_long_documents_are_cropped_in_a_window_of_what_is_read():
    words = [f"w{number}" for number in range(1000)]
    found = find_typed_words(" ".join(words), READ)
    rng = np.random.default_rng(1)
    windows = [[word[0] for word in draw_window(found, rng)] for _ in range(400)]
    starts = np.array([words.index(window[0]) for window in windows])
    assert all(window == words[start : start + WINDOW] for window, start in zip(windows, starts, strict=True))
    assert is_near((starts == 0).mean(), 0.5, 400)
    assert 0.75 * (READ - WINDOW) < starts.max() <= READ - WINDOW
    for crop in crop_queries([" ".join(words)] * 50, 0):
        places = [words.index(word) for word in crop.split() if word in words]
        assert max(places) - min(places) < WINDOW and max(places) < READ


def test_a_typo_drops_swaps_replaces_or_doubles_one_letter():
    word, letters = "saw-1l", "sawl"
    places = [place for place, sign in enumerate(word) if sign.isalpha()]
    dropped = {word[:place] + word[place + 1 :] for place in places}
    doubled = {word[:place] + word[place] + word[place:] for place in places}
    swapped = {"asw-1l", "swa-1l"}
    replaced = {word[:at] + sign + word[at + 1 :] for at in places for sign in letters if sign != word[at]}
    rng = np.random.default_rng(0)
    found = {misspell(word, rng) for _ in range(2000)}
    assert found == dropped | doubled | swapped | replaced
    assert {misspell("aaaa", rng) for _ in range(50)} == {"aaa", "aaaaa"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('1/2-in. x 24" "Steel" (black),', ["1/2-in", "x", "24", "Steel", "black"]),
        ("電動工具 hammer 電", ["電動", "工具", "hammer", "電"]),
        ("बिजली का हथौड़ा", ["बिजली", "का", "हथौड़ा"]),
        (" -- ", []),
    ],
)
def test_words_as_they_are_typed(text, words):
    assert [found[0] for found in find_typed_words(text)] == words


def test_scripts_without_spaces_are_put_together_as_they_stood():
    for crop in crop_queries(["電動工具充電器"] * 40, 3):
        assert " " in crop or crop in "電動工具充電器"


# --- which documents


def documents_of(examples):
    return sorted(row[0] for row in examples.members)


def test_documents_of_held_out_queries_are_left_out_unless_every_document_is_asked_for():
    data = by_hand()
    found = data.examples("adapted")
    assert documents_of(found) == [HACKSAW, BLADES, SHOVEL, BATTERY, SLEDGE]
    every = replace(data, every_document=True).examples("adapted")
    assert documents_of(every) == list(range(len(data.texts.documents)))
    queries = len(data.texts.queries)
    for examples in (found, every):
        assert set(examples.query.tolist()) == set(range(queries, queries + len(examples.pseudo_queries)))
        assert examples.queries == queries + len(examples.pseudo_queries)
        assert examples.single and examples.unused == 0
        assert len(examples.judgements.keys) == 0


@pytest.mark.parametrize("protocol", ["leak-free", "by-query", "published"])
def test_so_they_are_by_text_under_every_protocol(tmp_path, protocol):
    data = from_table(tmp_path, protocol)
    records, held_out = data.records, np.isin(data.task.labels, HELD_OUT)
    texts = {records.documents[row].lower() for row in records.document[held_out]}
    learnt = {data.texts.documents[row].lower() for row in documents_of(data.examples("adapted"))}
    assert learnt and learnt.isdisjoint(texts)
    assert learnt | texts == {text.lower() for text in records.documents}


def test_a_held_out_query_that_is_a_document_is_left_out_too():
    data = by_hand()
    own = np.full(len(data.records.queries), -1)
    own[5] = 9  # CLIMBING, of the test split, is the sledge hammer
    before, after = (
        find_held_out_documents(data.records, data.task.parts, rows) for rows in (np.full_like(own, -1), own)
    )
    assert np.flatnonzero(before != after).tolist() == [9]


def test_equal_pseudo_queries_are_one_query():
    data = by_hand()
    alike = replace(data.texts, documents=["saw"] * 4 + list(data.texts.documents[4:]))
    found = replace(data, texts=alike, every_document=True).examples("adapted")
    assert len(set(found.query[:4].tolist())) == 1
    assert found.pseudo_queries[0] == "saw"


def test_a_trial_of_a_study_reads_no_document_of_the_hidden_test_split(tmp_path):
    found = prepared(tmp_path, systems="adapted", bigger="")
    hidden = hide_test_split(found)
    assert len(hidden.records) < len(found.records)
    assert np.array_equal(hidden.task.held_out_documents, found.task.held_out_documents)
