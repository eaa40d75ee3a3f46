"""Clicks into grades.

Oracles: users that were simulated by the position-based model, so that true rates and looks are known; closed forms for
one document; and invariants: an outlier changes no other grade, order and grouping of rows change nothing, and no log
gets through with a wrong number of records.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import as_triples, load, write_csv

from nestvec.data.click_model import Exposed, grade_counts, grade_rates
from nestvec.errors import InputError
from nestvec.pipeline.inputs import read_task
from nestvec.settings import Settings

CLICKS = Path(__file__).parent / "cases" / "clicks.csv"
LOOKS = np.array([1, 0.5, 0.33, 0.25, 0.2, 0.17])


def simulate(shuffle, queries=300, sessions=40, seed=0):
    """A log of a position-based user, and the true rate of each document; positions are shuffled anew each time."""
    rng, documents = np.random.default_rng(seed), len(LOOKS)
    rates = rng.choice([0.02, 0.1, 0.5], p=[0.5, 0.3, 0.2], size=(queries, documents))
    base = rng.normal(0, 1, (queries, documents))
    order = np.argsort(-(base[:, None] + shuffle * rng.normal(0, 1, (queries, sessions, documents))), axis=2)
    number = order + documents * np.arange(queries)[:, None, None]
    clicked = rng.random(order.shape) < LOOKS * rates.reshape(-1)[number]
    position = np.broadcast_to(np.arange(1, documents + 1), order.shape)
    return number.reshape(-1), clicked.reshape(-1).astype(float), position.reshape(-1), rates.reshape(-1)


def add_up(pair, clicked, position):
    keys, group = np.unique(np.stack([pair, position]), axis=1, return_inverse=True)
    group = group.reshape(-1)
    return Exposed(keys[0], np.bincount(group, clicked), np.bincount(group).astype(float), keys[1])


def table_of(pair, clicked, position, **names):
    return [
        {"query": f"query {number // 6}", "document": f"document {number}", "clicked": int(click), "position": place}
        for number, click, place in zip(pair.tolist(), clicked.tolist(), position.tolist(), strict=True)
    ]


def finding_of(records, name="grades estimated from clicks"):
    return next(finding for finding in records.findings if finding.name == name)


# --- positions


@pytest.mark.parametrize("shuffle", [10.0, 1.0])
def test_looks_and_rates_are_found_where_documents_change_their_position(shuffle):
    pair, clicked, position, rates = simulate(shuffle)
    estimate = grade_rates(add_up(pair, clicked, position), len(rates))
    looks = [
        float(part.split(": ")[1]) for part in estimate.assumed.partition("positions ")[2].split(". ")[0].split(", ")
    ]
    assert np.abs(np.array(looks) - LOOKS).max() < 0.06
    raw = np.bincount(pair, clicked) / np.bincount(pair)
    assert np.corrcoef(estimate.grades, rates)[0, 1] > max(0.85, np.corrcoef(raw, rates)[0, 1])


def test_where_nothing_moves_the_usual_curve_is_taken_and_said():
    pair, clicked, position, rates = simulate(0.0)
    estimate = grade_rates(add_up(pair, clicked, position), len(rates))
    assert "1: 1.00, 2: 0.63, 3: 0.50" in estimate.assumed, "1 / log2(1 + position)"
    assert "Hardly any document changed its position" in estimate.assumed
    raw = np.bincount(pair, clicked) / np.bincount(pair)
    assert np.corrcoef(estimate.grades, rates)[0, 1] > np.corrcoef(raw, rates)[0, 1]


def test_a_click_further_down_counts_for_more():
    pair = np.array([0, 1, 2, 2])
    log = Exposed(pair, np.array([10.0, 10, 20, 10]), np.full(4, 100.0), np.array([1, 5, 1, 5]))
    grades = grade_rates(log, 3).grades
    assert grades[1] > 1.3 * grades[0]


def test_a_log_of_single_impressions_is_read(tmp_path):
    pair, clicked, position, rates = simulate(1.0, queries=40, sessions=20)
    path = write_csv(tmp_path / "log.csv", table_of(pair, clicked, position))
    records = load(path)
    assert len(records) == len(rates) and records.estimated
    expected = grade_rates(add_up(pair, clicked, position), len(rates)).grades
    by_name = {document: grade for _, document, grade in as_triples(records)}
    assert [by_name[f"document {number}"] for number in range(len(rates))] == expected.tolist()
    assert (
        "By a click model, from these columns: clicks from 'clicked', position from 'position'"
        in finding_of(records).action
    )


def test_order_and_grouping_of_rows_change_nothing(tmp_path):
    pair, clicked, position, _ = simulate(1.0, queries=30, sessions=10)
    single = table_of(pair, clicked, position)
    log = add_up(pair, clicked, position)
    grouped = [
        {
            "query": f"query {number // 6}",
            "document": f"document {number}",
            "N_Clicks": clicks,
            "views": shown,
            "Rank": at,
        }
        for number, clicks, shown, at in zip(*(values.tolist() for values in vars(log).values()), strict=True)
    ]
    shuffled = random.Random(0).sample(single, len(single))
    read = [set(as_triples(load(write_csv(tmp_path / "log.csv", table)))) for table in (single, shuffled, grouped)]
    assert read[0] == read[1] == read[2]


# --- times shown


def test_few_impressions_are_drawn_towards_the_mean():
    """One click of one view is worth less than 60 of 100, and one of two more than one of a hundred."""
    rng = np.random.default_rng(0)
    clicks = np.append(rng.binomial(100, np.repeat([0.02, 0.1, 0.4], 50)), [1, 60, 1, 1]).astype(float)
    shown = np.append(np.full(150, 100), [1, 100, 2, 100]).astype(float)
    log = Exposed(np.arange(154), clicks, shown, np.ones(154, dtype=np.int64))
    single, many, half, rare = grade_rates(log, 154).grades[-4:]
    assert rare < half < single < many == 1


def test_a_document_with_many_impressions_has_its_own_rate():
    log = Exposed(np.arange(4), np.array([5e5, 1e5, 1e4, 0]), np.full(4, 1e6), np.ones(4, dtype=np.int64))
    top, fifth, fiftieth, never = grade_rates(log, 4).grades
    assert never == 0 and (top, fifth) == (1, 1), (
        "the second-highest of four has grade 1: the highest may be an outlier"
    )
    assert fiftieth == pytest.approx(0.1, rel=0.01)


def test_one_popular_document_does_not_set_the_mean_of_all():
    clicks, shown = np.tile([1.0, 5, 30], 60), np.full(180, 100.0)
    before = grade_rates(Exposed(np.arange(180), clicks, shown, np.ones(180, dtype=np.int64)), 180).grades
    log = Exposed(np.arange(181), np.append(clicks, 9e8), np.append(shown, 1e9), np.ones(181, dtype=np.int64))
    assert np.abs(grade_rates(log, 181).grades[:-1] - before).max() < 0.01


def test_never_shown_is_left_out_and_more_clicks_than_views_are_said(tmp_path):
    table = [
        {"query": f"query {query}", "document": f"document {query} {place}", "clicks": clicks, "impressions": shown}
        for query in range(30)
        for place, (clicks, shown) in enumerate([(5, 10), (12, 10), (0, 10), (0, 0)])
    ]
    records = load(write_csv(tmp_path / "log.csv", table))
    assert len(records) == 90
    assert finding_of(records, "documents that were never shown").count == 30
    assert finding_of(records, "rows with more clicks than times shown").count == 30
    assert sorted(set(records.grade.tolist())) == [0, pytest.approx(0.5, abs=0.05), 1]


# --- counts alone


def test_one_outlier_decides_nothing():
    grades = {}
    for highest in (123, 241, 9_000, 90_000, 10**9):
        table = np.array([highest, 122, 12, 0, 0, 241, 60, 41, 0, 0, 240, 70, 3, 0, 0, 500, 90, 9, 0, 0], float)
        grades[highest] = grade_counts(np.repeat(np.arange(4), 5), table).grades
        assert grades[highest][0] >= grades[highest][1] > grades[highest][2] > grades[highest][3] == 0
    assert len({tuple(found[1:]) for number, found in grades.items() if number >= 241}) == 1
    assert np.abs(grades[123] - grades[10**9]).max() < 0.15


def test_the_case():
    records = load(CLICKS)
    assert len(records) == 200 and records.estimated
    assert "so that no outlier decides" in finding_of(records).action
    by_document = {document: grade for _, document, grade in as_triples(records)}
    assert by_document["red hammer number 0"] == pytest.approx(1, abs=0.02)  # 90,000
    assert by_document["blue hammer number 1"] > 0.85  # 122
    assert 0.3 < by_document["steel hammer number 2"] < 0.6  # 12
    assert by_document["brass wrench number 3"] == 0
    _, grades, task = read_task(Settings.from_flat({"source": str(CLICKS)}))
    assert grades.zero == 0 and 0.1 < grades.threshold < 0.9 and grades.relevant_share <= 0.6
    assert (task.splits == "validation").any() and (task.splits == "test").any()


def test_a_lone_click_is_worth_less_than_half():
    """And beside a hundred clicks on another document, than a fifth."""
    grades = grade_counts(np.repeat(np.arange(4), 2), np.array([1.0, 0, 100, 1, 60, 20, 70, 9])).grades
    assert grades[0] < 0.5 and grades[3] < 0.2 and grades[2] > 0.9


def test_counts_by_position_are_divided_by_what_is_usual_there():
    query, position = np.repeat(np.arange(50), 3), np.tile([1, 2, 3], 50)
    clicks = np.tile([100.0, 50, 25], 50)
    alike = grade_counts(query, clicks, position).grades
    assert np.ptp(alike) < 0.01
    plain = grade_counts(query, clicks).grades
    assert plain[0] > plain[1] > plain[2]


def test_rows_of_a_document_are_added_before_anything_else(tmp_path):
    once = [{"query": f"q {query}", "document": f"d {query} {place}", "clicks": clicks}
            for query in range(20) for place, clicks in enumerate((30, 10, 0))]  # fmt: skip
    again = [{**row, "clicks": row["clicks"] // 2} for row in once for _ in range(2)]
    loaded = [load(write_csv(tmp_path / "log.csv", table), conflicts="error") for table in (once, again)]
    assert as_triples(loaded[0]) == as_triples(loaded[1])


def test_a_log_of_click_events_alone(tmp_path):
    """Every row is a click: what was not clicked is not listed, and clicks are counted."""
    events = [{"query": f"q {query}", "document": f"d {query} {place}", "clicked": 1}
              for query in range(20) for place, times in enumerate((9, 3, 1)) for _ in range(times)]  # fmt: skip
    records = load(write_csv(tmp_path / "log.csv", events))
    assert len(records) == 60
    _, grades, _ = read_task(Settings.from_flat({"source": str(tmp_path / "log.csv")}))
    assert grades.zero == 0 and grades.levels[0] > 0 and grades.threshold > grades.levels[0]


# --- which columns, and what is refused


def test_a_grade_goes_before_clicks(tmp_path):
    table = [{"query": f"q {row}", "document": f"d {row}", "grade": row % 3, "clicks": row} for row in range(30)]
    records = load(write_csv(tmp_path / "judged.csv", table))
    assert sorted(set(records.grade.tolist())) == [0, 1, 2] and not records.estimated


def test_raw_counts_as_grades_are_warned_of():
    import nestvec

    found = nestvec.check(str(CLICKS), grade="clicks", threshold=50)
    assert any("grades that are counts of clicks" in warning for warning in found.warnings)
    shares = {"validation": 0.1, "test": 0.2}
    with pytest.raises(InputError, match="the validation split holds no relevant record") as caught:
        read_task(Settings.from_flat({"source": str(CLICKS), "grade": "clicks", **shares}))
    for word in ("relevant from grade 1081.5 on", "records of each grade: 0 to 7500: 198,", "--threshold"):
        assert word in str(caught.value)


BAD = {"clicks": ("", "-1", "many", "nan"), "impressions": ("", "inf"), "position": ("top", "-2")}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in BAD.items() for value in values])
def test_a_row_without_a_count_is_bad(tmp_path, column, value):
    table = [{"query": f"q {row}", "document": f"d {row}", "clicks": row, "impressions": 99, "position": 1 + row % 3}
             for row in range(30)]  # fmt: skip
    table[4][column] = value
    path = write_csv(tmp_path / "log.csv", table)
    with pytest.raises(InputError, match=f"is {value!r}" if value else "is empty") as caught:
        load(path)
    assert (caught.value.location.row, caught.value.location.column) == (6, column)
    assert caught.value.expected == "a count: a number of 0 or more"
    assert len(load(path, on_bad_row="set-aside")) == 29


@pytest.mark.parametrize("options", [{"grades": ("a=1",)}, {"grade_range": (0.0, 3.0)}])
def test_what_is_said_of_grades_does_not_fit_clicks(options):
    with pytest.raises(InputError, match="is given, and the table has clicks and no grades"):
        load(CLICKS, **options)


@pytest.mark.parametrize(
    ("clicks", "message"), [(0, "no document was clicked"), (1, "every document was clicked equally often")]
)
def test_clicks_that_tell_nothing(tmp_path, clicks, message):
    table = [{"query": f"q {row // 3}", "document": f"d {row}", "clicks": clicks} for row in range(90)]
    with pytest.raises(InputError, match=message) as caught:
        read_task(Settings.from_flat({"source": str(write_csv(tmp_path / "log.csv", table))}))
    assert ("--positives-only" in caught.value.expected) == (clicks > 0)


counts = st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 50), st.integers(0, 60), st.integers(0, 120))


@settings(deadline=None, max_examples=60)
@given(st.lists(counts, min_size=1, max_size=60), st.sets(st.sampled_from(["impressions", "position"])))
def test_any_log_gives_a_grade_from_0_to_1_for_each_document_shown(tmp_path_factory, log, there):
    table = [{"query": f"query {query}", "document": f"document {document}", "clicks": clicks, "impressions": shown,
              "position": place} for query, document, clicks, shown, place in log]  # fmt: skip
    kept = ["query", "document", "clicks", *there]
    path = write_csv(tmp_path_factory.mktemp("log") / "log.csv", [{name: row[name] for name in kept} for row in table])
    shown = {(row["query"], row["document"]) for row in table if "impressions" not in there or row["impressions"] > 0}
    if not shown:
        with pytest.raises(InputError, match="no search result was shown to anybody"):
            load(path)
        return
    records = load(path)
    assert {(query, document) for query, document, _ in as_triples(records)} == shown
    assert len(records) == len(shown)
    assert np.isfinite(records.grade).all() and (records.grade >= 0).all() and (records.grade <= 1).all()
