"""Oracle: BM25 of the evaluation with the same rules, over the documents that are there, and the fusion by its
definition; what every store that holds words must do alike with queries that are misspelt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_stored_words import found
from worlds import HYBRID, STAGES, World

from nestvec.lexical.bm25 import Bm25
from nestvec.lexical.corrections import CorrectionRules
from nestvec.stores.store import Batch, Condition

LEXICAL = replace(HYBRID.lexical, correction=CorrectionRules())
CORRECTED = replace(HYBRID, lexical=LEXICAL)
MISSPELT = ["higne", "paitn the deck", "drilldeck", "sawhose hinge", "éclaris", "hinge drill", "unheard-of", ""]


@pytest.fixture
def spelt():
    """A world whose queries are corrected."""
    return World(STAGES["two-stage-binary"], hybrid=CORRECTED)


def added(world, row, text):
    """A document of the world with another text."""
    world.texts[row] = text
    return world.batches([row])


def test_a_misspelt_query_finds_what_was_meant(opened, spelt):
    with opened() as store:
        spelt.put_into(store)
        assert store.correct(MISSPELT) == Bm25.of(spelt.texts, LEXICAL).correct(MISSPELT)
    with opened() as store:  # another process would correct the same
        for text, hits in zip(MISSPELT, store.search_words(MISSPELT, 10), strict=True):
            assert found(hits) == spelt.best_by_words(text, 10)
        assert store.correct(["higne", "Hinge <b>"]) == ["hinge", "Hinge <b>"]
        assert store.search_words(["higne"], 10) == store.search_words(["hinge"], 10) != [[]]


def test_both_legs_correct_the_words_alone(store, spelt):
    spelt.put_into(store)
    queries = spelt.queries[: len(MISSPELT)]
    both = store.search_fused(MISSPELT, queries, 10, exact=True)
    wanted = [spelt.best_by_both(row, text, 10, CORRECTED.fusion) for row, text in enumerate(MISSPELT)]
    assert list(map(found, both)) == wanted
    assert store.search_fused(["higne"], queries[:1], 5) == store.search_fused(["hinge"], queries[:1], 5)


def test_queries_are_corrected_by_all_documents_whatever_a_filter_leaves(store, spelt):
    spelt.put_into(store)
    where = [Condition("brand", "=", "Acme")]
    passing = [row for row, fields in enumerate(spelt.fields) if where[0].holds(fields)]
    wanted = spelt.best_by_words("higne", 10, passing=passing)
    assert wanted[0] and found(store.search_words(["higne"], 10, where)[0]) == wanted


def test_what_documents_bring_is_known_and_what_they_take_is_not(opened, spelt):
    """In one process and in another that was open before."""
    with opened() as store, opened() as other:
        spelt.put_into(store)

        def corrected():
            [seen], [again] = store.correct(["higne"]), other.correct(["higne"])
            assert seen == again
            assert store.search_words(["higne"], 5) == other.search_words(["higne"], 5)
            return seen

        assert corrected() == "hinge"
        before = spelt.texts[7]
        store.upsert(added(spelt, 7, "higne of brass"))
        assert corrected() == "higne"
        assert [hit.id for hit in store.search_words(["higne"], 5)[0]] == [spelt.ids[7]]
        store.upsert(added(spelt, 7, before))  # replaced
        assert corrected() == "hinge"
        store.upsert([Batch(["new"], ["Higne"], spelt.vectors[:1], [{}])])
        assert corrected() == "higne"
        other.delete(["new"])
        assert corrected() == "hinge"
        gone = [identifier for identifier, text in zip(spelt.ids, spelt.texts, strict=True) if "hinge" in text]
        store.delete(gone[1:])
        assert corrected() == "higne"  # what one document holds may be misspelt itself
        spelt.put_into(store)
        assert corrected() == "hinge"


@pytest.mark.parametrize("hybrid", [None, HYBRID], ids=["vectors alone", "words that are not corrected"])
def test_without_rules_queries_stay(store, hybrid):
    world = World(STAGES["int8"], hybrid=hybrid)
    world.put_into(store)
    assert store.correct(MISSPELT) == MISSPELT
    if hybrid:
        assert store.search_words(["higne"], 5) == [[]]


def test_documents_that_are_gone_correct_nothing(store, spelt):
    spelt.put_into(store)
    store.delete(spelt.ids)
    assert store.correct(MISSPELT) == MISSPELT
    assert store.search_words(MISSPELT, 3) == [[]] * len(MISSPELT)
