"""Oracle: an exhaustive search of the codes in memory; what every store must do alike."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import STAGES, World

from nestvec.errors import InputError
from nestvec.point import VectorFormat
from nestvec.stores.store import About, Batch, Condition

CONDITIONS = {
    "text": ["brand=Acme"],
    "text beyond ASCII": ["brand=Ünique"],
    "not a text": ["brand!=Acme"],
    "texts in order": ["brand>Acme", "brand<=Zenith"],
    "a number": ["price=3"],
    "a range": ["price>=10", "price<20.5"],
    "numbers but one": ["price!=3"],
    "a field that few have": ["size=L"],
    "several": ["brand=Acme", "price<30", "size=L"],
    "a number compared with text": ["price=cheap"],
    "a number that is not text": ["price!=cheap"],
    "text compared with a number": ["brand>5"],
    "nobody has it": ["colour=red"],
    "nothing is left": ["brand=Acme", "brand=Zenith"],
    "a name that is an attack": ["x') OR 1=1 --=1"],
    "a value that is an attack": ["brand='; DROP TABLE documents; --"],
}


def found(hits):
    return [hit.id for hit in hits], [hit.score for hit in hits]


def test_a_new_store_holds_nothing(store):
    assert store.about is None
    with pytest.raises(InputError, match="index"):
        store.search(np.zeros((1, 48), dtype=np.float32), 3)


def test_what_was_measured_is_what_is_served(opened, world):
    with opened() as store:
        world.put_into(store)
        assert len(store) == len(world.ids)
        assert store.size() > 0
    with opened() as store:  # another process would see the same
        assert store.about == world.about
        hits = store.search(world.queries, 10, exact=True)
        for query, each in enumerate(hits):
            ids, scores = world.best(query, 10)
            assert found(each) == (ids, scores)
        row = world.ids.index(hits[0][0].id)
        assert hits[0][0].text == world.texts[row]
        assert hits[0][0].fields == world.fields[row]


def test_without_exact_nearly_all_is_found(store, world):
    world.put_into(store)
    hits = store.search(world.queries, 10)
    shared = [len({hit.id for hit in each} & set(world.best(query, 10)[0])) for query, each in enumerate(hits)]
    assert np.mean(shared) >= 9


@pytest.mark.parametrize("k", [1, 37, 300, 5000])
def test_any_number_may_be_asked_for(store, plain, k):
    plain.put_into(store)
    for query, hits in enumerate(store.search(plain.queries[:3], k, exact=True)):
        assert found(hits) == plain.best(query, k)


@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("exact", [True, False])
def test_filters(store, plain, conditions, exact):
    plain.put_into(store)
    where = [Condition.parse(text) for text in conditions]
    rows = [row for row, fields in enumerate(plain.fields) if all(each.holds(fields) for each in where)]
    for query, hits in enumerate(store.search(plain.queries[:4], 5, where, exact)):
        assert found(hits) == plain.best(query, 5, rows)


@pytest.mark.parametrize("stages", ["binary", "two-stage", "float32"])
def test_filters_at_every_kind_of_precision(store, stages):
    world = World(STAGES[stages])
    world.put_into(store)
    for text in ("price>=60", "price<3"):
        where = [Condition.parse(text)]
        rows = [row for row, fields in enumerate(world.fields) if where[0].holds(fields)]
        for query, hits in enumerate(store.search(world.queries[:4], 5, where, exact=True)):
            assert found(hits) == world.best(query, 5, rows)


def test_documents_are_added_changed_and_removed(opened, plain):
    with opened() as store:
        store.build(plain.about, plain.codecs, plain.batches(range(100)))
        store.upsert(plain.batches(range(80, 300)))
        assert len(store) == 300
        assert found(store.search(plain.queries[:1], 10, exact=True)[0]) == plain.best(0, 10)
        gone, kept = range(0, 300, 3), [row for row in range(300) if row % 3]
        assert store.delete([plain.ids[row] for row in gone]) == 100
        assert store.delete([plain.ids[0], "nobody's"]) == 0
    with opened() as store:
        assert len(store) == 200
        for query, hits in enumerate(store.search(plain.queries, 10, exact=True)):
            assert found(hits) == plain.best(query, 10, kept)


def test_an_upsert_again_changes_nothing(store, plain):
    plain.put_into(store)
    before = store.search(plain.queries, 10, exact=True)
    for _ in range(3):
        store.upsert(plain.batches(range(50)))
    assert len(store) == 300
    assert store.search(plain.queries, 10, exact=True) == before


def test_a_changed_document_is_found_as_it_is_now(store, plain):
    plain.put_into(store)
    new = Batch([plain.ids[0]], ["another text"], plain.queries[3:4], [{"brand": "New"}])
    store.upsert([new])
    [hits] = store.search(plain.queries[3:4], 1, exact=True)
    assert (hits[0].id, hits[0].text, hits[0].fields) == (plain.ids[0], "another text", {"brand": "New"})
    assert not store.search(plain.queries[3:4], 5, [Condition("price", "=", "0")])[0]  # the old fields are gone


def test_the_last_of_an_id_counts(store, plain):
    twice = [*plain.batches(range(100)), *plain.batches(range(50, 300))]
    store.build(plain.about, plain.codecs, twice)
    assert len(store) == 300
    assert found(store.search(plain.queries[:1], 10, exact=True)[0]) == plain.best(0, 10)


def test_a_build_takes_the_place_of_what_was_there(opened, plain):
    other = World((VectorFormat(48, "binary"),), documents=50, seed=3)
    with opened() as store, opened() as reader:
        plain.put_into(store)
        assert len(reader) == 300
        other.put_into(store)
        assert (store.about, len(store)) == (other.about, 50)
        assert found(reader.search(other.queries[:1], 5, exact=True)[0]) == other.best(0, 5)


def test_a_build_that_fails_leaves_the_old_index(opened, plain):
    def breaking():
        yield from plain.batches(range(64))
        raise RuntimeError("the source broke off")

    with opened() as store:
        plain.put_into(store)
        with pytest.raises(RuntimeError):
            store.build(World(STAGES["binary"]).about, World(STAGES["binary"]).codecs, breaking())
    with opened() as store:
        assert (store.about, len(store)) == (plain.about, 300)
        assert found(store.search(plain.queries[:1], 10, exact=True)[0]) == plain.best(0, 10)
        plain.put_into(store)
        assert len(store) == 300


def test_an_index_of_nothing(store, plain):
    store.build(plain.about, plain.codecs, [])
    assert len(store) == 0
    assert store.search(plain.queries[:2], 5) == [[], []]
    store.upsert(plain.batches())
    assert found(store.search(plain.queries[:1], 5, exact=True)[0]) == plain.best(0, 5)


def test_a_query_of_another_width_is_refused(store, plain):
    plain.put_into(store)
    with pytest.raises(InputError, match="16"):
        store.search(np.ones((1, 16), dtype=np.float32), 5)


def test_texts_and_ids_of_any_letters(store, plain):
    ids = ["a b", "quote'\"", "emoji 🪛", "%s {}", "line\nbreak", "\\", "\uff46\uff55\uff4c\uff4c"]
    vectors = plain.vectors[: len(ids)]
    store.build(
        plain.about,
        plain.codecs,
        [Batch(ids, [f"text of {name}" for name in ids], vectors, [{"n\u00e4me": name} for name in ids])],
    )
    hits = store.search(vectors[:1], 20, exact=True)[0]
    assert {hit.id: hit.text for hit in hits} == {name: f"text of {name}" for name in ids}
    assert {hit.fields["näme"] for hit in hits} == set(ids)
    assert store.delete(ids[:3]) == 3


ODD_IDS = ["a\x00b", "a", "a\x00c", "007", "7", "1e5", "100000", "a b", "a  b", " a", "a%20b", "A&amp;B", "A&B",
           "\ufeffx", "x\u2028y", "x\r", "\x01", "\x01\x01", "NaN", "null", "é", "e\u0301", "\U0010ffff"]  # fmt: skip


def test_an_id_is_its_bytes(store, plain):
    """Each document goes by its own id and no other's, in an upsert and a delete."""
    documents = Batch(ODD_IDS, ODD_IDS, plain.vectors[: len(ODD_IDS)], [{"own": name} for name in ODD_IDS])
    store.build(plain.about, plain.codecs, [documents])
    left = set(ODD_IDS)
    for name in ODD_IDS:
        store.upsert([Batch([name], ["new"], plain.vectors[:1], [{"own": name}])])
        hits = store.search(plain.vectors[:1], 100, exact=True)[0]
        assert {hit.id: (hit.fields["own"]) for hit in hits} == {each: each for each in left}
        assert [hit.text for hit in hits if hit.id == name] == ["new"]
        assert store.find_missing([name, "nobody", name + "x", "nobody"]) == ["nobody", name + "x"]
        assert store.delete([name]) == 1
        left.remove(name)
        assert len(store) == len(left)
        assert store.find_missing([*ODD_IDS]) == [each for each in ODD_IDS if each not in left]


@given(ids=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_id_comes_back_and_goes_alone(store, plain, ids):
    vectors = plain.vectors[: len(ids)]
    store.build(plain.about, plain.codecs, [Batch(ids, ids, vectors, [{} for _ in ids])])
    distinct = dict.fromkeys(ids)
    assert {hit.id: hit.text for hit in store.search(vectors[:1], 20, exact=True)[0]} == {name: name for name in ids}
    assert store.delete(ids[:1]) == 1
    assert store.find_missing(ids) == ids[:1]
    assert store.delete(ids) == len(distinct) - 1


VALUES = [
    "19.90",
    "5",
    20,
    19.9,
    "-3",
    "007",
    "1e5",
    "12345678901234567890",
    "",
    "NaN",
    "20 ",
    "abc",
    "0.5",
    "9",
    "-0",
    0,
]


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("value", ["20", "19.9", "19.90", "-1", "nan", "1e1", "007", "abc", "12345678901234567890", ""])
def test_a_text_that_is_a_number_is_ordered_as_one(store, plain, sign, value):
    """Oracle: `Condition.holds`, and for the first pair the numbers themselves."""
    documents = Batch(plain.ids[: len(VALUES)], VALUES, plain.vectors[: len(VALUES)], [{"v": each} for each in VALUES])
    store.build(plain.about, plain.codecs, [replace(documents, texts=list(map(str, VALUES)))])
    condition = Condition("v", sign, value)
    wanted = [name for name, each in zip(plain.ids, VALUES, strict=False) if condition.holds({"v": each})]
    hits = store.search(plain.vectors[:1], 100, [condition], exact=True)[0]
    assert sorted(hit.id for hit in hits) == sorted(wanted)


def test_prices_as_texts_are_filtered_as_prices():
    texts, cheap = ["19.90", "5", "100", "20.01", "20.00", "007", "1e1"], Condition("price", "<=", "20")
    held = [text for text in texts if cheap.holds({"price": text})]
    assert held == ["19.90", "5", "20.00", "007", "1e1"]  # the last two are names, in the order of text
    assert not Condition("code", "=", "7").holds({"code": "007"})


def test_an_index_of_before_keeps_its_form_of_ids():
    """nestvec 0.1 decoded entities, cut white space and percent-encoded what is left of it."""
    about = World(STAGES["int8"]).about
    assert about.stored_id(" a  b%&amp;\x00") == " a  b%&amp;\x00"
    assert replace(about, schema=1).stored_id(" a  b%&amp;") == "a%20b%25&"


def test_what_is_served_survives_json():
    about = World(STAGES["two-stage"]).about
    stages = [{"dimension": 16, "precision": "int8"}, {"dimension": 48, "precision": "int8"}]
    assert json.loads(json.dumps(about.to_json()["stages"])) == stages  # as older indexes have them
    assert About.from_json(json.loads(json.dumps(about.to_json())), "index") == about
    with pytest.raises(InputError, match="newer nestvec"):
        About.from_json({**about.to_json(), "schema": 99}, "index")
    for name in ("system", "stages", "full_dimension", "model_sha256"):
        broken = {key: value for key, value in about.to_json().items() if key != name}
        with pytest.raises(InputError, match="damaged"):
            About.from_json(broken, "index")


@pytest.mark.parametrize("text", ["brand", "=5", "", "<"])
def test_a_condition_that_is_none(text):
    with pytest.raises(InputError, match="--where"):
        Condition.parse(text)


def test_conditions_as_typed():
    assert Condition.parse(" price <= 20 ") == Condition("price", "<=", "20")
    assert Condition.parse("name=a=b") == Condition("name", "=", "a=b")
    assert Condition.parse("net weight>1e3") == Condition("net weight", ">", "1e3")
