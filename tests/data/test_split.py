"""Oracle: the definition of a leak, checked on normalised texts by sets; invariants under hypothesis' random tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nestvec.data.records import Records
from nestvec.data.split import audit_split, leak_free_split, same_text
from nestvec.data.text import normalised
from nestvec.errors import InputError
from nestvec.settings import SplitSettings


def made(table):
    """Records of (query, document, grade) rows."""
    queries, documents = (list(dict.fromkeys(row[place] for row in table)) for place in (0, 1))
    return Records(
        queries=tuple(queries),
        query_ids=tuple(f"q{row}" for row in range(len(queries))),
        documents=tuple(documents),
        document_ids=tuple(f"d{row}" for row in range(len(documents))),
        query=np.array([queries.index(row[0]) for row in table]),
        document=np.array([documents.index(row[1]) for row in table]),
        grade=np.array([float(row[2]) for row in table]),
    )


def divided(table, seed=0, **shares):
    records = made(table)
    split = leak_free_split(records, records.grade >= 2, SplitSettings(**shares), seed)
    return records, split


tables = st.lists(
    st.tuples(st.integers(0, 79), st.integers(0, 120), st.integers(1, 3)),
    min_size=200,
    max_size=400,
    unique_by=lambda row: row[:2],
).map(
    lambda rows: [
        (f"Query {query}" + " " * (query % 2), f"document {document}", grade) for query, document, grade in rows
    ]
)


def tried(table, seed):
    """The split, unless the table is too poor for one."""
    try:
        return divided(table, seed)
    except InputError:
        assume(False)
        raise


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(0, 5))
def test_nothing_of_a_held_out_query_is_trained_on(table, seed):
    records, split = tried(table, seed)
    trained, held = split.labels == "train", np.isin(split.labels, ["validation", "test"])
    for texts, rows in ((records.queries, records.query), (records.documents, records.document)):
        seen = {normalised(texts[row]) for row in rows[trained]}
        assert seen.isdisjoint({normalised(texts[row]) for row in rows[held]})
    audit = audit_split(records, records.grade >= 2, split, seed)
    assert set(audit["leaks"].values()) == {0}
    assert sum(audit["records"].values()) == len(table)


@settings(deadline=None, max_examples=30)
@given(tables, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(table, random):
    first = tried(table, 1)
    shuffled = list(table)
    random.shuffle(shuffled)
    again = divided(shuffled, 1)

    def placed(records, split):
        return {
            (records.queries[query], records.documents[document]): label
            for query, document, label in zip(records.query, records.document, split.labels, strict=True)
        }

    assert placed(*first) == placed(*again)


@settings(deadline=None, max_examples=30)
@given(tables, tables)
def test_added_rows_move_no_old_query(table, more):
    records, split = tried(table, 2)
    longer, grown = divided([*table, *((f"new {query}", *rest) for query, *rest in more)], 2)
    old = dict(zip(records.queries, split.query_labels, strict=True))
    new = dict(zip(longer.queries, grown.query_labels, strict=True))
    assert {query: new[query] for query in old} == old


def test_queries_that_are_the_same_once_normalised_stay_together():
    table = [
        (text, f"d{row}", 1 + row % 3) for row in range(200) for text in (f"Deck Screw {row}", f"deck  screw {row}")
    ]
    records, split = divided(table)
    labels = dict(zip(records.queries, split.query_labels, strict=True))
    assert all(labels[f"Deck Screw {row}"] == labels[f"deck  screw {row}"] for row in range(200))


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.3, 0.3)])
def test_shares_are_near_what_was_asked(validation, test):
    table = [(f"q{query}", f"d{query} {place}", 1 + place) for query in range(3000) for place in range(3)]
    _, split = divided(table, validation=validation, test=test)
    # 4 standard deviations of a share over 3,000 queries
    assert abs((split.query_labels == "test").mean() - test) < 4 * (test * (1 - test) / 3000) ** 0.5
    assert (
        abs((split.query_labels == "validation").mean() - validation)
        < 4 * (validation * (1 - validation) / 3000) ** 0.5
    )


def test_seeds_divide_differently():
    table = [(f"q{query}", f"d{query} {place}", 1 + place) for query in range(100) for place in range(3)]
    assert divided(table, 1)[1].query_labels.tolist() != divided(table, 2)[1].query_labels.tolist()


def test_a_row_split_of_shared_queries_leaks_what_can_be_counted():
    table = [(f"q{query}", f"d{query} {place}", 1 + place % 3) for query in range(50) for place in range(10)]
    records, split = divided(table)
    audit = audit_split(records, records.grade >= 2, split, 0)
    assert audit["row_split"]["test records whose query is in training"] > 0.99
    assert audit["row_split"]["test records whose document is in training"] == 0


def test_too_few_queries_are_refused():
    with pytest.raises(InputError, match="19 queries are left to split"):
        divided([(f"q{query}", f"d{query}", 3) for query in range(19)])


def test_same_text_numbers_texts_by_their_normal_form():
    assert same_text(["A b", "a  B", "c", "\uff21 b"]).tolist() == [0, 0, 1, 0]
