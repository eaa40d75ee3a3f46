"""Oracle: BM25 of the evaluation over the documents that are there, and the fusion by its definition; what every store
that holds words must do alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worlds import ASKED, HYBRID, STAGES, World

from nestvec.errors import InputError
from nestvec.lexical.bm25 import LexicalSettings
from nestvec.lexical.fusion import RANGE, RANKS, Fusion
from nestvec.lexical.words import WordForms
from nestvec.stores.store import About, Batch, Condition

FILTERS = {
    "a third": ["brand=Acme"],
    "most": ["price>=10"],
    "few": ["size=L", "price<20"],
    "one": ["price=3"],
    "nothing is left": ["brand=Acme", "brand=Zenith"],
}


@pytest.fixture(params=["float32", "int8", "binary", "two-stage", "two-stage-binary"])
def world(request):
    return World(STAGES[request.param], hybrid=HYBRID)


@pytest.fixture
def plain():
    """A world of one precision, for what does not depend on it."""
    return World(STAGES["binary"], hybrid=HYBRID)


def found(hits):
    return [hit.id for hit in hits], [hit.score for hit in hits]


def by_words(store, texts, k, where=()):
    return [found(hits) for hits in store.search_words(texts, k, where)]


def by_both(store, world, k, where=(), weight=None):
    queries = world.queries[: len(ASKED)]
    return [found(hits) for hits in store.search_fused(ASKED, queries, k, where, exact=True, weight=weight)]


def expected(world, k, rows=None, passing=None, fusion=HYBRID.fusion):
    """What both legs find, and what words find."""
    both = [world.best_by_both(query, text, k, fusion, rows, passing) for query, text in enumerate(ASKED)]
    return both, [world.best_by_words(text, k, rows, passing) for text in ASKED]


@pytest.mark.parametrize("k", [1, 10, 150, 5000])
def test_words_find_what_bm25_finds(store, plain, k):
    plain.put_into(store)
    for text, hits in zip(ASKED, by_words(store, ASKED, k), strict=True):
        assert hits == plain.best_by_words(text, k)
    [[hit]] = store.search_words(["rare3 drill"], 1)
    row = plain.ids.index(hit.id)
    assert (hit.text, hit.fields) == (plain.texts[row], plain.fields[row])


def test_both_legs_find_what_their_fusion_is_defined_as(opened, world):
    with opened() as store:
        world.put_into(store)
    with opened() as store:  # another process would see the same
        assert store.about == world.about
        assert by_both(store, world, 10) == expected(world, 10)[0]


@pytest.mark.parametrize("fusion", [Fusion(0.3, RANGE), Fusion(0.5, RANKS, 20)], ids=["range", "ranks"])
def test_any_fusion_and_more_than_the_usual_candidates(store, fusion):
    world = World(STAGES["binary"], hybrid=replace(HYBRID, fusion=fusion))
    world.put_into(store)
    for k in (3, 120):
        assert by_both(store, world, k) == expected(world, k, fusion=fusion)[0]


def test_another_weight_of_the_words(store, plain):
    plain.put_into(store)
    for weight in (0.0, 0.8, 1.0):
        fusion = replace(HYBRID.fusion, weight=weight)
        assert by_both(store, plain, 10, weight=weight) == expected(plain, 10, fusion=fusion)[0]


@pytest.mark.parametrize("conditions", FILTERS.values(), ids=FILTERS)
def test_filters(store, plain, conditions):
    plain.put_into(store)
    where = [Condition.parse(text) for text in conditions]
    passing = [row for row, fields in enumerate(plain.fields) if all(each.holds(fields) for each in where)]
    both, words = expected(plain, 5, passing=passing)
    assert by_both(store, plain, 5, where) == both
    assert by_words(store, ASKED, 5, where) == words


def test_documents_are_added_changed_and_removed(opened, plain):
    """What words weigh follows the documents that are there."""
    with opened() as store:
        store.build(plain.about, plain.codecs, plain.batches(range(100)))
        assert by_words(store, ASKED, 10) == expected(plain, 10, range(100))[1]
        store.upsert(plain.batches(range(80, 300)))
        assert by_words(store, ASKED, 10) == expected(plain, 10)[1]
        store.delete([plain.ids[row] for row in range(0, 300, 3)])
        left = [row for row in range(300) if row % 3]
        assert by_both(store, plain, 10) == expected(plain, 10, left)[0]
        plain.texts[1:60] = ["hinge hinge rare5 rare6"] * 59
        store.upsert(plain.batches(range(1, 60)))
    left = sorted({*left, *range(1, 60)})
    with opened() as store:
        both, words = expected(plain, 10, left)
        assert by_both(store, plain, 10) == both
        assert by_words(store, ASKED, 10) == words
        store.delete([identifier for identifier, text in zip(plain.ids, plain.texts, strict=True) if "rare" in text])
        assert store.search_words(["rare5", "rare3 rare1"], 5) == [[], []]


def test_an_upsert_again_changes_nothing(store, plain):
    plain.put_into(store)
    before = by_words(store, ASKED, 20)
    for _ in range(3):
        store.upsert(plain.batches(range(50)))
    assert by_words(store, ASKED, 20) == before


def test_an_index_that_lost_all_its_documents_finds_none(store, plain):
    plain.put_into(store)
    store.delete(plain.ids)
    assert by_both(store, plain, 5) == [([], [])] * len(ASKED)
    assert by_words(store, ASKED, 5) == [([], [])] * len(ASKED)
    store.upsert(plain.batches(range(40)))
    assert by_both(store, plain, 5) == expected(plain, 5, range(40))[0]


def test_words_are_taken_in_the_form_that_is_asked_for(store, plain):
    forms = {"cjk": WordForms("cjk"), "none": WordForms("none"), "no stop words": WordForms(stop_words=True)}
    texts = ["電動工具セット the drills", "工具 drill", "the the the"]
    vectors = plain.vectors[:3]
    for name, form in forms.items():
        hybrid = replace(HYBRID, lexical=LexicalSettings(form))
        store.build(
            replace(plain.about, hybrid=hybrid), plain.codecs, [Batch(["a", "b", "c"], texts, vectors, [{}] * 3)]
        )
        ids = [[hit.id for hit in hits] for hits in store.search_words(["工具", "the", "drills"], 3)]
        wanted = {
            "cjk": [["b", "a"], ["c", "a"], ["a"]],
            "none": [["b", "a"], ["c", "a"], ["a"]],
            "no stop words": [["b", "a"], [], ["b", "a"]],
        }
        assert ids == wanted[name], name


def test_an_index_of_vectors_alone_says_so(store):
    world = World(STAGES["int8"])
    world.put_into(store)
    for search in (lambda: store.search_words(["deck"], 3), lambda: by_both(store, world, 3)):
        with pytest.raises(InputError, match="holds no words"):
            search()
    assert store.search(world.queries[:1], 3)[0]
    World(STAGES["int8"], hybrid=HYBRID).put_into(store)
    assert store.search_words(["deck"], 3)[0]
    world.put_into(store)
    assert store.about == world.about


def test_vectors_find_the_same_with_words_beside_them(store, plain):
    plain.put_into(store)
    for query, hits in enumerate(store.search(plain.queries, 10, exact=True)):
        assert found(hits) == plain.best(query, 10)


@pytest.mark.parametrize(
    "hybrid", [None, HYBRID, replace(HYBRID, fusion=Fusion(0.2, RANKS, 5), weights={"8.int8": 0.5})]
)
def test_what_is_served_is_read_back(hybrid):
    about = About("mnr", "0" * 64, 48, STAGES["two-stage"], 40, hybrid=hybrid)
    values = about.to_json()
    assert About.from_json(values, "here") == about
    assert values["schema"] == (2 if hybrid is None else 3)
    assert ("hybrid" in values) == (hybrid is not None)


@pytest.mark.parametrize("damaged", [None, "words", 5, {}, {"schema": 1}, [["schema", 1]]])
def test_words_that_are_damaged_are_refused(damaged):
    values = About("mnr", "0" * 64, 48, STAGES["int8"], hybrid=HYBRID).to_json()
    with pytest.raises(InputError, match="here"):
        About.from_json({**values, "hybrid": damaged}, "here")
    with pytest.raises(InputError, match="damaged"):
        About.from_json({name: value for name, value in values.items() if name != "hybrid"}, "here")


@pytest.mark.parametrize("seed", range(4))
def test_ties_and_counts_at_random(store, seed):
    """Few words, many equal documents: whatever is left out early must not be among the best."""
    rng = np.random.default_rng(seed)
    world = World(STAGES["binary"], documents=400, seed=seed, hybrid=HYBRID)
    words = [f"w{number}" for number in range(12)]
    likely = 1 / np.arange(1, 13) ** 1.5
    world.texts = [" ".join(rng.choice(words, rng.integers(1, 7), p=likely / likely.sum())) for _ in range(400)]
    world.put_into(store)
    gone = rng.choice(400, 60, replace=False)
    store.delete([world.ids[row] for row in gone])
    left = np.setdiff1d(np.arange(400), gone)
    texts = [" ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(25)]
    for k in (3, 25):
        assert by_words(store, texts, k) == [world.best_by_words(text, k, left) for text in texts]
