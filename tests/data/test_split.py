"""Oracle: the definition of a leak, checked on normalised texts by sets; invariants under hypothesis' random tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nestvec.data.audit import audit
from nestvec.data.grades import read_grades
from nestvec.data.many_texts import same_text
from nestvec.data.records import Records
from nestvec.data.split import PARTS, split_published, split_records
from nestvec.data.task import make_task
from nestvec.data.text import normalise_text
from nestvec.errors import InputError
from nestvec.settings import DataSettings, SplitSettings


def make_records(table):
    """Records of (query, document, grade) rows."""
    queries, documents = (list(dict.fromkeys(row[index] for row in table)) for index in (0, 1))
    return Records(
        queries=tuple(queries),
        query_ids=tuple(f"q{row}" for row in range(len(queries))),
        documents=tuple(documents),
        document_ids=tuple(f"d{row}" for row in range(len(documents))),
        query=np.array([queries.index(row[0]) for row in table]),
        document=np.array([documents.index(row[1]) for row in table]),
        grade=np.array([float(row[2]) for row in table]),
    )


def split_table(table, seed=0, data=DataSettings(), labels=None, **options):  # noqa: B008 - frozen
    """Records and their task under a threshold of 2."""
    records = replace(make_records(table), labels=labels)
    settings = SplitSettings(**options)
    parts = split_records(records, data, settings, seed)
    return records, make_task(records, read_grades(records.grade, 2), parts, settings.protocol)


def run_audit(records, task, protocol="leak-free", seed=0):
    return audit(records, task, 2, protocol, seed)


def part_of_queries(records, task):
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


def split_or_skip(table, seed):
    """The split, unless the table is too poor for one."""
    try:
        return split_table(table, seed)
    except InputError:
        assume(False)
        raise


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(0, 5))
def test_nothing_of_a_held_out_query_is_trained_on(table, seed):
    records, split = split_or_skip(table, seed)
    trained, held_out = split.labels == "train", np.isin(split.labels, ["validation", "test"])
    for texts, rows in ((records.queries, records.query), (records.documents, records.document)):
        seen = {normalise_text(texts[row]) for row in rows[trained]}
        assert seen.isdisjoint({normalise_text(texts[row]) for row in rows[held_out]})
    counts = run_audit(records, split, seed=seed)
    assert set(counts["leaks"].values()) == {0}
    assert sum(counts["records"].values()) == len(table)


@settings(deadline=None, max_examples=30)
@given(tables, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(table, random):
    first = split_or_skip(table, 1)
    shuffled = list(table)
    random.shuffle(shuffled)
    again = split_table(shuffled, 1)

    def label_records(records, split):
        return {
            (records.queries[query], records.documents[document]): label
            for query, document, label in zip(records.query, records.document, split.labels, strict=True)
        }

    assert label_records(*first) == label_records(*again)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(tables, tables)
def test_added_rows_move_no_old_query(table, more):
    records, split = split_or_skip(table, 2)
    longer, grown = split_table([*table, *((f"new {query}", *rest) for query, *rest in more)], 2)
    old, new = part_of_queries(records, split), part_of_queries(longer, grown)
    assert {query: new[query] for query in old} == old


def test_queries_that_are_the_same_once_normalised_stay_together():
    table = [
        (text, f"d{row}", 1 + row % 3) for row in range(200) for text in (f"Deck Screw {row}", f"deck  screw {row}")
    ]
    records, split = split_table(table)
    labels = part_of_queries(records, split)
    assert all(labels[f"Deck Screw {row}"] == labels[f"deck  screw {row}"] for row in range(200))


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.3, 0.3)])
def test_shares_are_near_what_was_asked(validation, test):
    table = [(f"q{query}", f"d{query} {number}", 1 + number) for query in range(3000) for number in range(3)]
    _, split = split_table(table, validation=validation, test=test)
    # 4 standard deviations of a share over 3,000 queries
    assert abs((split.labels == "test").mean() - test) < 4 * (test * (1 - test) / 3000) ** 0.5
    assert abs((split.labels == "validation").mean() - validation) < 4 * (validation * (1 - validation) / 3000) ** 0.5


def test_seeds_divide_differently():
    table = [(f"q{query}", f"d{query} {number}", 1 + number) for query in range(100) for number in range(3)]
    assert split_table(table, 1)[1].labels.tolist() != split_table(table, 2)[1].labels.tolist()


def test_a_row_split_of_shared_queries_leaks_what_can_be_counted():
    table = [(f"q{query}", f"d{query} {number}", 1 + number % 3) for query in range(50) for number in range(10)]
    records, split = split_table(table)
    counts = run_audit(records, split)
    assert counts["row_split"]["test records whose query is in training"] > 0.99
    assert counts["row_split"]["test records whose document is in training"] == 0


def test_too_few_queries_are_refused():
    with pytest.raises(InputError, match="19 queries are left to split"):
        split_table([(f"q{query}", f"d{query}", 3) for query in range(19)])


def test_same_text_numbers_texts_by_their_normal_form():
    assert same_text(["A b", "a  B", "c", "\uff21 b"]).tolist() == [0, 0, 1, 0]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(tables, st.integers(0, 5))
def test_by_query_parts_queries_and_withholds_nothing(table, seed):
    try:
        records, task = split_table(table, seed, protocol="by-query")
    except InputError:
        assume(False)
    assert set(task.labels) == {"train", "validation", "test"}
    counts = run_audit(records, task, "by-query", seed)
    assert counts["leaks"]["test queries in training"] == counts["leaks"]["validation queries in training"] == 0
    seen = {records.documents[row] for row in records.document[task.labels == "train"]}
    tested = [records.documents[row] for row in records.document[task.labels == "test"]]
    assert counts["leaks"]["test documents in training"] == len(seen & set(tested))
    share = sum(text in seen for text in tested) / len(tested)
    assert counts["leaked_share"]["test records whose document is in training"] == pytest.approx(share)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(tables, st.integers(0, 5))
def test_a_task_asks_every_answerable_query_once_with_all_its_judgements(table, seed):
    records, task = split_or_skip(table, seed)
    asked = {}
    for topic, document, gain in zip(task.topic.tolist(), task.document.tolist(), task.gain.tolist(), strict=True):
        asked.setdefault(task.texts[topic], {})[records.documents[task.catalogue[document]]] = gain
    expected = {}
    for query, document, grade in table:
        if part_of_queries(records, task)[query] != "train":
            lowest = min(row[2] for row in table)
            zero = lowest if lowest < 2 else 0  # all are relevant, and whatever is not listed has grade 0
            expected.setdefault(query, {})[document] = (grade - zero) * 1000
    part = part_of_queries(records, task)
    answerable = {query for query, document, grade in table if grade >= 2 and part[query] != "train"}
    assert asked == {query: judged for query, judged in expected.items() if query in answerable}
    assert len(set(task.ids)) == len(task.ids) == len(task.splits)
    assert sum(task.unanswerable.values()) == len(expected) - len(answerable)


def test_the_sources_own_split_is_used_whatever_it_leaks():
    table = [
        (f"q{query}", f"d{query % 7} {number}", 1 + (query + number) % 3) for query in range(30) for number in range(3)
    ]
    labels = tuple(("Train", "dev", "TEST")[number % 3] for number in range(len(table)))
    records, task = split_table(table, labels=labels, data=DataSettings(split_column="fold"))
    assert task.labels.tolist() == ["train", "validation", "test"] * 30
    assert run_audit(records, task)["leaks"]["test queries in training"] == 30
    with pytest.raises(InputError, match="--split-column fold holds 'other'"):
        split_table(table, labels=("other", *labels[1:]), data=DataSettings(split_column="fold"))


def test_components_of_the_graph_are_counted():
    table = [(f"q{query}", f"d{query // 2}", 1 + query % 3) for query in range(60)]  # pairs of queries share a document
    records, task = split_table(table)
    assert run_audit(records, task)["components"] == {"count": 30, "largest_share": 2 / 60}


@pytest.mark.parametrize(("count", "limit"), [(74_067, 25_000), (1000, 25_000), (30_001, 777)])
def test_the_published_split_is_the_datasets_librarys(count, limit):
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    table = Dataset.from_dict({"row": range(count)})
    table = table.shuffle(seed=42).select(range(min(limit, count))).train_test_split(0.2, seed=42)
    parts = np.array(PARTS)[split_published(count, limit)]
    for name in ("train", "test"):
        assert set(np.flatnonzero(parts == name)) == set(table[name]["row"])
    assert (parts == "unused").sum() == count - min(limit, count)


def test_a_source_without_a_validation_part_gets_one_from_its_training_queries():
    table = [(f"saw {row}", f"saw number {row * 3 + k}", 1 + k) for row in range(300) for k in range(3)]
    table += [(f"saw {row}", "the saw that all know", 3) for row in range(300)]
    labels = tuple("test" if int(query.split()[1]) % 5 == 0 else "training" for query, _, _ in table)
    records, task = split_table(table, labels=labels, data=DataSettings(split_column="fold"), validation=0.2)
    parts = part_of_queries(records, task)
    assert all(parts[query] == "test" for query, _, _ in table if int(query.split()[1]) % 5 == 0)
    chosen = sum(part == "validation" for part in parts.values())
    assert abs(chosen / 240 - 0.2) < 4 * (0.2 * 0.8 / 240) ** 0.5
    shared = [task.labels[row] for row, (_, document, _) in enumerate(table) if document == "the saw that all know"]
    assert "train" not in shared
    assert "withheld" in shared
