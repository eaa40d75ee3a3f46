"""Oracle: the definition of a leak, checked on normalised texts by sets; invariants under hypothesis' random tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nestvec.data.audit import audit
from nestvec.data.grades import read_grades
from nestvec.data.records import Records
from nestvec.data.split import PARTS, published, same_text, split_records
from nestvec.data.task import make_task
from nestvec.data.text import normalised
from nestvec.errors import InputError
from nestvec.settings import DataSettings, SplitSettings


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


def divided(table, seed=0, data=DataSettings(), labels=None, **options):  # noqa: B008 - frozen
    """Records and their task under a threshold of 2."""
    records = replace(made(table), labels=labels)
    settings = SplitSettings(**options)
    found = split_records(records, data, settings, seed)
    return records, make_task(records, read_grades(records.grade, 2), found, settings.protocol)


def audited(records, task, protocol="leak-free", seed=0):
    return audit(records, task, 2, protocol, seed)


def parts(records, task):
    """Query to its part; what is withheld belongs to a training query."""
    labels = np.where(task.labels == "withheld", "train", task.labels)
    return dict(zip((records.queries[row] for row in records.query), labels.tolist(), strict=True))


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
    found = audited(records, split, seed=seed)
    assert set(found["leaks"].values()) == {0}
    assert sum(found["records"].values()) == len(table)


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
    old, new = parts(records, split), parts(longer, grown)
    assert {query: new[query] for query in old} == old


def test_queries_that_are_the_same_once_normalised_stay_together():
    table = [
        (text, f"d{row}", 1 + row % 3) for row in range(200) for text in (f"Deck Screw {row}", f"deck  screw {row}")
    ]
    records, split = divided(table)
    labels = parts(records, split)
    assert all(labels[f"Deck Screw {row}"] == labels[f"deck  screw {row}"] for row in range(200))


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.3, 0.3)])
def test_shares_are_near_what_was_asked(validation, test):
    table = [(f"q{query}", f"d{query} {place}", 1 + place) for query in range(3000) for place in range(3)]
    _, split = divided(table, validation=validation, test=test)
    # 4 standard deviations of a share over 3,000 queries
    assert abs((split.labels == "test").mean() - test) < 4 * (test * (1 - test) / 3000) ** 0.5
    assert abs((split.labels == "validation").mean() - validation) < 4 * (validation * (1 - validation) / 3000) ** 0.5


def test_seeds_divide_differently():
    table = [(f"q{query}", f"d{query} {place}", 1 + place) for query in range(100) for place in range(3)]
    assert divided(table, 1)[1].labels.tolist() != divided(table, 2)[1].labels.tolist()


def test_a_row_split_of_shared_queries_leaks_what_can_be_counted():
    table = [(f"q{query}", f"d{query} {place}", 1 + place % 3) for query in range(50) for place in range(10)]
    records, split = divided(table)
    found = audited(records, split)
    assert found["row_split"]["test records whose query is in training"] > 0.99
    assert found["row_split"]["test records whose document is in training"] == 0


def test_too_few_queries_are_refused():
    with pytest.raises(InputError, match="19 queries are left to split"):
        divided([(f"q{query}", f"d{query}", 3) for query in range(19)])


def test_same_text_numbers_texts_by_their_normal_form():
    assert same_text(["A b", "a  B", "c", "\uff21 b"]).tolist() == [0, 0, 1, 0]


@settings(deadline=None, max_examples=40)
@given(tables, st.integers(0, 5))
def test_by_query_parts_queries_and_withholds_nothing(table, seed):
    try:
        records, task = divided(table, seed, protocol="by-query")
    except InputError:
        assume(False)
    assert set(task.labels) == {"train", "validation", "test"}
    found = audited(records, task, "by-query", seed)
    assert found["leaks"]["test queries in training"] == found["leaks"]["validation queries in training"] == 0
    seen = {records.documents[row] for row in records.document[task.labels == "train"]}
    tested = [records.documents[row] for row in records.document[task.labels == "test"]]
    assert found["leaks"]["test documents in training"] == len(seen & set(tested))
    share = sum(text in seen for text in tested) / len(tested)
    assert found["leaked_share"]["test records whose document is in training"] == pytest.approx(share)


@settings(deadline=None, max_examples=40)
@given(tables, st.integers(0, 5))
def test_a_task_asks_every_answerable_query_once_with_all_its_judgements(table, seed):
    records, task = tried(table, seed)
    asked = {}
    for topic, document, gain in zip(task.topic.tolist(), task.document.tolist(), task.gain.tolist(), strict=True):
        asked.setdefault(task.texts[topic], {})[records.documents[task.catalogue[document]]] = gain
    expected = {}
    for query, document, grade in table:
        if parts(records, task)[query] != "train":
            expected.setdefault(query, {})[document] = (grade - min(row[2] for row in table)) * 1000
    answerable = {query for query, document, grade in table if grade >= 2 and parts(records, task)[query] != "train"}
    assert asked == {query: judged for query, judged in expected.items() if query in answerable}
    assert len(set(task.ids)) == len(task.ids) == len(task.splits)
    assert sum(task.unanswerable.values()) == len(expected) - len(answerable)


def test_the_sources_own_split_is_used_whatever_it_leaks():
    table = [
        (f"q{query}", f"d{query % 7} {place}", 1 + (query + place) % 3) for query in range(30) for place in range(3)
    ]
    labels = tuple(("Train", "dev", "TEST")[number % 3] for number in range(len(table)))
    records, task = divided(table, labels=labels, data=DataSettings(split_column="fold"))
    assert task.labels.tolist() == ["train", "validation", "test"] * 30
    assert audited(records, task)["leaks"]["test queries in training"] == 30
    with pytest.raises(InputError, match="--split-column fold holds 'other'"):
        divided(table, labels=("other", *labels[1:]), data=DataSettings(split_column="fold"))


def test_components_of_the_graph_are_counted():
    table = [(f"q{query}", f"d{query // 2}", 1 + query % 3) for query in range(60)]  # pairs of queries share a document
    records, task = divided(table)
    assert audited(records, task)["components"] == {"count": 30, "largest_share": 2 / 60}


@pytest.mark.parametrize(("count", "limit"), [(74_067, 25_000), (1000, 25_000), (30_001, 777)])
def test_the_published_split_is_the_datasets_librarys(count, limit):
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    table = Dataset.from_dict({"row": range(count)})
    table = table.shuffle(seed=42).select(range(min(limit, count))).train_test_split(0.2, seed=42)
    parts = np.array(PARTS)[published(count, limit)]
    for name in ("train", "test"):
        assert set(np.flatnonzero(parts == name)) == set(table[name]["row"])
    assert (parts == "unused").sum() == count - min(limit, count)
