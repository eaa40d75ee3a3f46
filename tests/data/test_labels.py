"""Grades in words, booleans and positives only.

Oracles: the mapping as it was typed; the published scales (ESCI's ranking task: gains 1.0, 0.1, 0.01, 0.0, Reddy et al.
2022; WANDS: Exact, Partial, Irrelevant); and for every message the remedy that it must name.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import as_triples, load, rows, write_csv

from nestvec.data.labels import SCALES, find_scale, means_not_relevant, normalise_label, read_mapping
from nestvec.errors import InputError

CASES = Path(__file__).parent / "cases"
NUMBERS = {3: "Exact", 2: "Partial", 1: "Irrelevant"}


def write_labels(path, names, table=None, column="grade"):
    """The usual table with words for its grades 3, 2 and 1."""
    table = table or rows()
    return write_csv(path, [{**row, column: names[row["grade"]]} for row in table])


def graded(path, **options):
    """The grade of every query and document."""
    return {(query, document): grade for query, document, grade in as_triples(load(path, **options))}


def expect(names, numbers, table=None):
    return {(row["query"], row["document"]): numbers[names[row["grade"]]] for row in table or rows()}


@pytest.mark.parametrize(
    "given_grades",
    ["Exact=3,Partial=1,Irrelevant=0", "exact=3, PARTIAL = 1 ,irrelevant=0", " Exact =3.0,Partial=1e0,Irrelevant=-0"],
)
def test_labels_are_worth_what_the_user_says(tmp_path, given_grades):
    path = write_labels(tmp_path / "judged.csv", {3: "Exact", 2: "  partial ", 1: "IRRELEVANT"})
    items = tuple(given_grades.split(","))
    records = load(path, grades=items)
    assert graded(path, grades=items) == expect(NUMBERS, {"Exact": 3, "Partial": 1, "Irrelevant": 0})
    finding = next(finding for finding in records.findings if finding.name == "grades in words")
    assert finding.count == 300 and "exact=3, partial=1, " in finding.action.lower()


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("Exact", "Partial", "Irrelevant"), (2, 1, 0)),
        (("E", "S", "I"), (1, 0.1, 0)),
        (("E", "C", "I"), (1, 0.01, 0)),
        (("S", "C", "I"), (0.1, 0.01, 0)),
        (("exact", "substitute", "complement"), (1, 0.1, 0.01)),
        (("Highly relevant", "Relevant", "Not relevant"), (2, 1, 0)),
        (("highly_relevant", "partially-relevant", "irrelevant"), (3, 1, 0)),
        (("relevant", "somewhat relevant", "not relevant"), (2, 1, 0)),
        (("Perfect", "Good", "Bad"), (4, 2, 0)),
        (("Perfect", "Fair", "Excellent"), (4, 1, 3)),
    ],
)
def test_known_labels(tmp_path, names, numbers):
    names = dict(zip((3, 2, 1), names, strict=True))
    path = write_labels(tmp_path / "judged.csv", names)
    assert graded(path) == expect(names, dict(zip(names.values(), numbers, strict=True)))
    [finding] = [finding for finding in load(path).findings if finding.name == "grades in words"]
    for name, number in zip(names.values(), numbers, strict=True):
        assert f"{name}={number:g}" in finding.action
    assert "--grades" in finding.action


@pytest.mark.parametrize("names", [("true", "false"), ("Yes", "no"), ("TRUE", "FALSE"), ("relevant", "irrelevant")])
def test_two_labels_are_1_and_0(tmp_path, names):
    names = {3: names[0], 2: names[1], 1: names[1]}
    assert graded(write_labels(tmp_path / "judged.csv", names)) == expect(names, {names[3]: 1, names[1]: 0})


def test_booleans_of_parquet(tmp_path):
    assert sorted(set(load(CASES / "bool.parquet").grade.tolist())) == [0, 1]
    table = pa.table({"query": ["a", "b"], "document": ["c", "d"], "grade": pa.array([True, None])})
    pq.write_table(table, tmp_path / "judged.parquet")
    with pytest.raises(InputError, match="is empty") as caught:
        load(tmp_path / "judged.parquet")
    assert caught.value.location.row == 2


def test_the_scales_of_the_cases():
    records = load(CASES / "esci.csv", grade="esci_label")
    assert sorted(set(records.grade.tolist())) == [0, 0.1, 1]


# --- what is not known


def test_a_label_that_the_mapping_lacks_is_a_bad_row_that_names_the_known(tmp_path):
    path = write_labels(tmp_path / "judged.csv", {**NUMBERS, 2: "Parital"})
    with pytest.raises(InputError, match="is 'Parital'") as caught:
        load(path, grades=("Exact=3", "Partial=1", "Irrelevant=0"))
    assert caught.value.expected == "one of the labels that --grades names: Exact, Partial, Irrelevant"
    assert (caught.value.location.row, caught.value.location.column) == (4, "grade")
    records = load(path, grades=("Exact=3", "Partial=1", "Irrelevant=0"), on_bad_row="set-aside")
    assert len(records.rejected) == 60 and sorted(set(records.grade.tolist())) == [0, 3]


def test_unknown_words_show_what_to_type(tmp_path):
    path = write_labels(tmp_path / "judged.csv", {3: "gut", 2: "geht so", 1: "schlecht"})
    with pytest.raises(InputError, match="is 'gut'") as caught:
        load(path)
    assert '--grades "gut=…,geht so=…,schlecht=…" with a number for each label' in caught.value.expected


def test_a_misspelt_label_among_known_ones_is_a_bad_row(tmp_path):
    table = rows()
    path = write_labels(tmp_path / "judged.csv", NUMBERS, table)
    path.write_text(path.read_text().replace("number 7,Partial", "number 7,Partail"))
    with pytest.raises(InputError, match="is 'Partail'") as caught:
        load(path)
    assert "a label of the same kind as Exact, Partial, Irrelevant" in caught.value.expected
    records = load(path, on_bad_row="set-aside")
    assert (len(records), len(records.rejected)) == (299, 1)


@pytest.mark.parametrize("first", ["word", "number"])
def test_words_among_numbers_need_the_mapping(tmp_path, first):
    names = {3: "3", 2: "2", 1: "Irrelevant"} if first == "number" else {3: "Exact", 2: "2", 1: "1"}
    path = write_labels(tmp_path / "judged.csv", names)
    with pytest.raises(InputError) as caught:
        load(path)
    assert "--grades" in caught.value.expected or "a number" in caught.value.expected
    known = ("Irrelevant=0",) if first == "number" else ("Exact=3",)
    values = {3: 3, 2: 2, 1: 0 if first == "number" else 1}
    assert graded(path, grades=known) == {(row["query"], row["document"]): values[row["grade"]] for row in rows()}


def test_numbers_can_be_mapped_too(tmp_path):
    path = write_csv(tmp_path / "judged.csv", rows())
    assert set(graded(path, grades=("1=0", "2=1", "3=5")).values()) == {0, 1, 5}
    assert set(graded(path, grades=("1.0=0", "2e0=1", "3=5")).values()) == {0, 1, 5}
    with pytest.raises(InputError, match="is '2'"):
        load(path, grades=("1=0", "3=5"))


def test_numbers_stay_as_they_are(tmp_path):
    records = load(write_csv(tmp_path / "judged.csv", rows()))
    assert sorted(set(records.grade.tolist())) == [1, 2, 3]
    assert not [finding for finding in records.findings if "words" in finding.name]


def test_a_mapping_of_which_no_label_occurs_is_refused(tmp_path):
    with pytest.raises(InputError, match="--grades names Exact, but no row has any of these labels"):
        load(write_csv(tmp_path / "judged.csv", rows()), grades=("Exact=3",))


@pytest.mark.parametrize(
    ("given_grades", "message"),
    [
        (("Exact=high",), "--grades holds 'Exact=high'"),
        (("Exact",), "--grades holds 'Exact'"),
        (("=3",), "--grades holds '=3'"),
        (("Exact=nan",), "--grades holds 'Exact=nan'"),
        (("Exact=inf",), "--grades holds"),
        (("Exact=",), "--grades holds"),
        (("Exact=3", "exact=2"), "--grades names the label 'exact' twice"),
        (("not relevant=0", "not_relevant=0"), "twice"),
    ],
)
def test_a_mapping_that_cannot_be_read(given_grades, message):
    with pytest.raises(InputError, match=message):
        read_mapping(given_grades)


@given(st.dictionaries(st.text(min_size=1).filter(lambda text: text.strip() and "," not in text), st.floats(-9, 9)))
def test_any_label_can_be_mapped(labels):
    """Whatever a label is made of: read back, it has its number; labels that are the same but for case are refused."""
    items = [f"{label}={number!r}" for label, number in labels.items()]
    if len({normalise_label(label) for label in labels}) < len(labels):
        with pytest.raises(InputError, match="twice"):
            read_mapping(items)
        return
    assert {key: number for key, (_, number) in read_mapping(items).items()} == {
        normalise_label(label): number for label, number in labels.items()
    }


def test_every_scale_is_found_by_its_own_labels_in_its_own_order():
    for scale in SCALES:
        assert all(normalise_label(label) == label for label in scale.grades)
        found = find_scale(scale.grades)
        assert found is not None
        order = sorted(scale.grades, key=scale.grades.__getitem__)
        assert [found[label] for label in order] == sorted(found.values()) and min(found.values()) == 0


# --- positives only


def test_without_a_grade_every_row_is_relevant(tmp_path):
    table = [{key: row[key] for key in ("query", "document")} for row in rows() if row["grade"] == 3]
    path = write_csv(tmp_path / "pairs.csv", table)
    records = load(path, positives_only=True)
    assert set(records.grade.tolist()) == {1} and records.unlisted == 0
    [finding] = [finding for finding in records.findings if finding.name == "positives only"]
    assert finding.count == len(table) and "whatever is not listed as grade 0" in finding.action
    with pytest.raises(InputError, match="no column is known as the grade") as caught:
        load(path)
    assert "--positives-only if every row is a query with a relevant document" in caught.value.expected


@pytest.mark.parametrize("bad", ["0", "-1", "false", "Irrelevant", "no"])
def test_a_row_that_says_not_relevant_is_no_positive(tmp_path, bad):
    path = write_labels(tmp_path / "judged.csv", {3: "1", 2: "1", 1: bad})
    with pytest.raises(InputError, match=f"is '{bad}'") as caught:
        load(path, positives_only=True)
    assert caught.value.location.row == 5 and "--positives-only" in caught.value.expected
    path = write_labels(tmp_path / "judged.csv", {3: "1", 2: "2", 1: "1"})
    records = load(path, positives_only=True)
    assert set(records.grade.tolist()) == {1} and any("are not used" in finding.action for finding in records.findings)


def test_a_row_without_clicks_is_no_positive(tmp_path):
    table = [{"query": f"q {row}", "document": f"d {row}", "clicks": row % 3} for row in range(30)]
    with pytest.raises(InputError, match="is '0'") as caught:
        load(write_csv(tmp_path / "log.csv", table), positives_only=True)
    assert caught.value.location.column == "clicks"
    clicked = [row for row in table if row["clicks"]]
    assert set(load(write_csv(tmp_path / "log.csv", clicked), positives_only=True).grade.tolist()) == {1}


def test_positives_only_takes_no_mapping(tmp_path):
    with pytest.raises(InputError, match="--positives-only and --grades are both given"):
        load(write_csv(tmp_path / "judged.csv", rows()), positives_only=True, grades=("a=1",))


def test_what_means_not_relevant():
    assert all(map(means_not_relevant, ("Irrelevant", "FALSE", "not relevant", "I", "no")))
    assert not any(map(means_not_relevant, ("true", "Partial", "E", "unknown", "")))
