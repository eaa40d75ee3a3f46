"""Oracle: the definition of a leak, checked on normalised texts by sets, in every fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data.test_split import make_records
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nestvec.data.audit import audit
from nestvec.data.folds import FEWEST, make_folded_task, split_folds
from nestvec.data.grades import read_grades
from nestvec.data.split import PARTS
from nestvec.data.text import normalise_text
from nestvec.errors import InputError

tables = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 200), st.integers(1, 3)),
    min_size=300,
    max_size=500,
    unique_by=lambda row: row[:2],
).map(lambda rows: [(f"Query {query}", f"document {document}", grade) for query, document, grade in rows])


def split_table(table, folds=3, seed=0, protocol="leak-free"):
    """Records, their parts in every fold, and the task under a threshold of 2."""
    records = make_records(table)
    split = split_folds(records, folds, protocol, seed)
    return records, split, make_folded_task(records, read_grades(records.grade, 2), split)


def split_or_skip(table, folds, seed):
    try:
        return split_table(table, folds, seed)
    except InputError:
        assume(False)
        raise


def texts_of(records, rows):
    """The normalised queries and documents of records."""
    queries = {normalise_text(records.queries[row]) for row in records.query[rows]}
    return queries, {normalise_text(records.documents[row]) for row in records.document[rows]}


@settings(deadline=None, max_examples=20)
@given(tables, st.integers(2, 5), st.integers(0, 5))
def test_every_query_is_held_out_once_and_nothing_of_it_is_trained_on_there(table, folds, seed):
    records, split, task = split_or_skip(table, folds, seed)
    held_out = [texts_of(records, np.array(PARTS)[parts] == "test")[0] for parts in split.folds]
    assert sum(map(len, held_out)) == len(set().union(*held_out)) == len(records.queries)
    for parts in split.folds:
        labels = np.array(PARTS)[parts]
        trained = texts_of(records, labels == "train")
        for part in ("test", "validation"):
            kept_from_it = texts_of(records, labels == part)
            assert trained[0].isdisjoint(kept_from_it[0])
            assert trained[1].isdisjoint(kept_from_it[1])
    assert set(audit(records, task, 2, "leak-free", seed)["leaks"].values()) == {0}


@settings(deadline=None, max_examples=20)
@given(tables, st.integers(2, 5), st.integers(0, 5))
def test_a_fold_asks_its_queries_of_the_whole_task_with_their_judgements_and_roles(table, folds, seed):
    _, split, task = split_or_skip(table, folds, seed)
    asked = np.concatenate([fold.asked for fold in task.folds])
    assert sorted(asked.tolist()) == list(range(len(task.ids)))
    whole = judgements_by_query(task)
    for fold, parts in zip(task.folds, split.folds, strict=True):
        assert judgements_by_query(fold) == {name: whole[name] for name in fold.ids}
        assert fold.splits.tolist() == task.splits[fold.asked].tolist()
        assert fold.learning.labels.tolist() == np.array(PARTS)[parts].tolist()
        tested = [name for name, part in zip(fold.learning.ids, fold.learning.splits, strict=True) if part == "test"]
        assert tested == list(fold.ids)
    assert not (task.learning.labels == "test").any()
    assert task.pairs.tolist() == task.learning.pairs.tolist()


def judgements_by_query(task):
    known = {name: {} for name in task.ids}
    for topic, document, gain in zip(task.topic.tolist(), task.document.tolist(), task.gain.tolist(), strict=True):
        known[task.ids[topic]][document] = gain
    return known


@settings(deadline=None, max_examples=20)
@given(tables, st.randoms(use_true_random=False))
def test_neither_row_order_nor_added_queries_move_a_query(table, random):
    assume(len({row[0] for row in table}) >= 3 * FEWEST)
    shuffled = [*table, ("another query", "another document", 3)]
    random.shuffle(shuffled)

    def place_queries(rows):
        records = make_records(rows)
        split = split_folds(records, 3, "leak-free", 1)
        tested = np.stack(split.folds) == PARTS.index("test")
        places = zip(records.query.tolist(), tested.argmax(axis=0).tolist(), split.measured.tolist(), strict=True)
        return {records.queries[query]: place for query, *place in places}

    before, after = place_queries(table), place_queries(shuffled)
    assert before == {query: after[query] for query in before}


def test_folds_are_alike_in_size_half_is_chosen_on_and_a_tenth_is_watched():
    table = [(f"q{query}", f"d{query} {number}", 1 + number) for query in range(3000) for number in range(3)]
    _, split, task = split_table(table, 4)
    parts = [np.array(PARTS)[entry] for entry in split.folds]

    def is_near(share, wanted, queries=3000):  # 4 standard deviations of a share over so many queries
        return abs(share - wanted) < 4 * (wanted * (1 - wanted) / queries) ** 0.5

    assert all(is_near((labels == "test").mean(), 0.25) for labels in parts)
    assert is_near((task.labels == "validation").mean(), 0.5)
    for labels, fold in zip(parts, task.folds, strict=True):
        assert is_near((fold.splits == "validation").mean(), 0.5, 750)
        assert is_near((labels[labels != "test"] == "validation").mean(), 0.1, 2250)
    assert is_near((task.learning.labels == "validation").mean(), 0.1)


def test_by_query_withholds_no_document():
    table = [(f"q{query}", f"d{query % 40}", 1 + query % 3) for query in range(200)]
    _, split, _ = split_table(table, protocol="by-query")
    assert not any((parts == PARTS.index("withheld")).any() for parts in (*split.folds, split.last))


def test_the_audit_counts_what_is_trained_on_in_a_fold_on_average_and_adds_up_leaks():
    table = [(f"q{query}", f"d{query % 151}", 1 + query % 3) for query in range(300)]
    records, split, task = split_table(table, protocol="by-query")
    found = audit(records, task, 2, "by-query", 0)
    labels = [np.array(PARTS)[parts] for parts in split.folds]
    assert found["records"]["validation"] + found["records"]["test"] == 300
    assert found["records"]["train"] == round(np.mean([(part == "train").sum() for part in labels]))
    both = [
        len(texts_of(records, part == "train")[1] & texts_of(records, part == "test")[1]) for part in labels
    ]  # by-query lets documents leak
    assert found["leaks"]["test documents in training"] == sum(both) > 0
    assert [fold["leaks"]["test documents in training"] for fold in found["folds"]] == both
    assert found["leaks"]["test queries in training"] == 0


def test_too_few_queries_other_splits_and_empty_folds_are_refused():
    table = [(f"q{query}", f"d{query}", 3 - query % 3) for query in range(29)]
    with pytest.raises(InputError, match="--folds is 3, and there are 29 queries; expected at most 2"):
        split_table(table, 3)
    with pytest.raises(InputError, match="there are 19 queries; expected at least 20 queries"):
        split_table(table[:19], 2)
    with pytest.raises(InputError, match="--protocol published"):
        split_table(table, 2, protocol="published")
    labelled = replace(make_records(table), labels=("train",) * 29)
    with pytest.raises(InputError, match="--split-column"):
        split_folds(labelled, 2, "leak-free", 0)
    poor = [(f"q{query}", f"d{query}", 3 if query == 0 else 1) for query in range(100)]
    with pytest.raises(InputError, match=r"split holds no relevant record"):
        split_table(poor, 2)
