"""Oracle: rows written by hand for judgements made by hand; what must hold for every row of a larger table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged import (
    BATTERY,
    BLADES,
    CLAW,
    DIGGING,
    DOCUMENTS,
    DRILL,
    DRILLING,
    HACKSAW,
    HAMMER,
    HANDLE,
    JUDGED,
    LEVEL,
    QUERIES,
    RAKE,
    RELEVANT,
    SAW,
    SHOVEL,
    SLEDGE,
    VOLTS,
    by_hand,
    from_table,
)

from nestvec.evaluation.metrics import UNJUDGED
from nestvec.training.examples import clearly_not, group_by_query, with_negatives, worth_finding

SINGLE = ("mnr", "matryoshka", "cosine", "cosine-matryoshka", "cosent", "cosent-matryoshka")


@pytest.fixture(scope="module")
def data():
    return by_hand()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return from_table(tmp_path_factory.mktemp("table"))


def rows_of(examples):
    return list(zip(examples.query.tolist(), map(tuple, examples.members), strict=True))


def test_twins_are_one_text_the_first_one(data):
    assert [*data.texts.queries, *data.texts.documents] == [*QUERIES, DOCUMENTS[0], *DOCUMENTS[2:]]
    assert data.texts.number.tolist() == [CLAW, CLAW, HACKSAW, DRILL, HANDLE, BLADES, LEVEL, SHOVEL, BATTERY, SLEDGE]


@pytest.mark.parametrize("system", ["mnr", "matryoshka"])
def test_pairs_are_the_relevant_records_of_the_training_split(data, system):
    found = data.examples(system)
    assert rows_of(found) == [
        (HAMMER, (CLAW,)), (HAMMER, (SLEDGE,)), (SAW, (HACKSAW,)), (SAW, (BLADES,)), (DRILLING, (DRILL,)),
        (DIGGING, (SHOVEL,)), (VOLTS, (BATTERY,)),
    ]  # fmt: skip
    assert found.single and len(found) == 7
    assert found.unused == 1  # RAKE has no relevant document


@pytest.mark.parametrize("system", ["cosine", "cosent-matryoshka"])
def test_judged_are_all_records_of_the_training_split(data, system):
    found = data.examples(system)
    number = data.texts.number
    assert rows_of(found) == [(query, (number[place],)) for query, place, _, part in JUDGED if part == "train"]
    assert found.highest == RELEVANT
    assert found.unused == 0


def test_contrasts_are_each_document_worth_finding_with_a_clear_negative(data):
    negatives = {HAMMER: {HACKSAW, DRILL}, SAW: {CLAW, DRILL}}  # HANDLE is neither
    found = data.examples("graded")
    assert [(query, row[0]) for query, row in rows_of(found)] == [
        (HAMMER, CLAW), (HAMMER, SLEDGE), (SAW, HACKSAW), (SAW, BLADES), (SAW, BATTERY), (DRILLING, DRILL),
        (DIGGING, SHOVEL), (VOLTS, BATTERY),
    ]  # fmt: skip
    assert [len(row) for row in found.members] == [2, 2, 2, 2, 2, 1, 1, 1]
    for query, others in negatives.items():  # each is dealt before one is again
        assert {row[1] for asked, row in rows_of(found) if asked == query} == others
    assert found.unused == 1
    assert RAKE not in found.query
    assert not found.single


def test_more_relevant_documents_than_negatives_are_dealt_them_in_turn(data):
    keep = [row for row, (query, place, *_) in enumerate(JUDGED) if (query, place) != (SAW, 3)]
    records = data.records
    fewer = replace(records, query=records.query[keep], document=records.document[keep], grade=records.grade[keep])
    task = replace(
        data.task,
        parts=data.task.parts[keep],
        pairs=np.flatnonzero((data.task.parts[keep] == 0) & (fewer.grade == 3)),
    )
    found = replace(data, records=fewer, task=task).examples("graded")
    assert [row for query, row in rows_of(found) if query == SAW] == [(HACKSAW, CLAW), (BLADES, CLAW), (BATTERY, CLAW)]


def test_the_seed_deals_the_negatives(data):
    deals = [rows_of(data.examples("graded", seed)) for seed in range(8)]
    assert deals == [rows_of(data.examples("graded", seed)) for seed in range(8)]
    assert {deal[0] for deal in deals} == {(HAMMER, (CLAW, HACKSAW)), (HAMMER, (CLAW, DRILL))}


@pytest.mark.parametrize("system", ["mnr", "cosine", "graded"])
def test_judgements_are_those_of_the_training_split_and_no_others(data, system):
    known = data.examples(system).judgements
    expected = np.full((len(QUERIES), len(data.texts.documents)), UNJUDGED)
    for query, place, grade, part in JUDGED:
        if part == "train":
            where = query, data.texts.number[place]
            expected[where] = max(expected[where], 1000 * (grade - 1))
    every = np.broadcast_to(np.arange(expected.shape[1]), expected.shape)
    assert np.array_equal(known.gains(np.arange(len(QUERIES)), every), expected)
    assert expected[HAMMER, CLAW] == RELEVANT and expected[HAMMER, LEVEL] == UNJUDGED
    assert known.relevant_from == RELEVANT


def test_where_worth_finding_begins_and_clearly_not_ends():
    gain = np.array([UNJUDGED, 0, 999, 1000, 1499, 1500, 2000, 3000])
    assert worth_finding(gain, 2000).tolist() == [False, False, False, False, False, True, True, True]
    assert clearly_not(gain, 2000).tolist() == [False, True, True, False, False, False, False, False]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_row_of_a_table_is_of_the_training_split(table, seed):
    records, task = table.records, table.task
    grades = {
        (query, document): grade
        for query, document, grade, part in zip(
            records.query, table.texts.number[records.document], records.grade, task.labels, strict=True
        )
        if part == "train"
    }
    held_out = {query for query, part in zip(records.query, task.labels, strict=True) if part in ("validation", "test")}
    for system in (*SINGLE, "graded"):
        found = rows_of(table.examples(system, seed))
        assert all((query, document) in grades for query, row in found for document in row)
        assert held_out.isdisjoint(query for query, _ in found)
    relevant = sorted(pair for pair, grade in grades.items() if grade == 3)
    assert sorted((query, row[0]) for query, row in found) == relevant
    assert all(grades[query, document] == 1 for query, row in found for document in row[1:])


def test_mined_negatives_come_last_as_many_as_asked_for(data):
    examples = data.examples("graded")
    mined = {HAMMER: [BATTERY, SHOVEL, LEVEL], DRILLING: [BATTERY]}
    found = with_negatives(examples, mined, 2)
    for before, after, query in zip(examples.members, found.members, examples.query, strict=True):
        assert list(after) == [*before, *{HAMMER: [BATTERY, SHOVEL], DRILLING: [BATTERY]}.get(int(query), [])]
    assert rows_of(with_negatives(examples, mined, 0)) == rows_of(examples)
    assert found.judgements is examples.judgements


def test_documents_by_query_keep_their_order():
    assert group_by_query(np.array([3, 1, 3, 3]), np.array([9, 8, 7, 9])) == {3: [9, 7, 9], 1: [8]}
