"""Oracle: digits written by hand. Ids keep every digit; a grade that a double would round is refused."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import load, rows, write_table

from nestvec.errors import InputError

BEYOND = 2**53 + 1  # the first whole number that is no double


def write(path, **columns):
    """The usual table with other columns, in Parquet or JSON lines."""
    table = rows(queries=20)
    for name, values in columns.items():
        for row, value in zip(table, values, strict=False):
            row[name] = value
    if path.suffix == ".jsonl":
        return write_table(path, table)
    kinds = {name: values.type for name, values in columns.items() if isinstance(values, pa.Array)}
    plain = {name: [row[name] for row in table] for name in table[0] if name not in kinds}
    pq.write_table(pa.table({**plain, **columns}), path)
    return path


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.decimal128(38, 0)])
@pytest.mark.parametrize("coded", [False, True])
def test_ids_keep_their_digits(kind, coded, tmp_path):
    ids = pa.array([BEYOND + row for row in range(100)], kind)
    path = write(tmp_path / "t.parquet", document_id=ids.dictionary_encode() if coded else ids)
    assert set(load(path, document="{document}").document_ids) == {str(BEYOND + row) for row in range(100)}


def test_ids_in_json_keep_their_digits(tmp_path):
    path = write(tmp_path / "t.jsonl", document_id=[2**70 + row for row in range(100)])
    assert set(load(path).document_ids) == {str(2**70 + row) for row in range(100)}


@pytest.mark.parametrize("grade", [BEYOND, -BEYOND, 2**63 - 1])
@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_a_grade_that_would_be_rounded_is_refused(grade, ending, tmp_path):
    grades = [1, 2, grade] + [3, 1] * 48 + [1]
    path = write(tmp_path / f"t{ending}", grade=grades if ending == ".jsonl" else pa.array(grades))
    with pytest.raises(InputError, match=f"row 3, column 'grade': is '{grade}'; expected a number from"):
        load(path, grade_range=(-1e20, 1e20))


def test_the_largest_exact_grade_is_read(tmp_path):
    path = write(tmp_path / "t.parquet", grade=pa.array([2**53 - 1] + [1, 2, 3] * 33, pa.uint64()))
    assert load(path, grade_range=(0, 1e20)).grade.max() == 2**53 - 1


def test_labels_that_are_one_double_stay_two(tmp_path):
    path = write(tmp_path / "t.parquet", grade=pa.array([BEYOND, BEYOND - 1] * 50))
    records = load(path, grades=(f"{BEYOND}=3", f"{BEYOND - 1}=1"))
    assert set(records.grade.tolist()) == {1.0, 3.0}
    with pytest.raises(InputError, match="--grades holds"):
        load(path, grades=(f"{BEYOND}=1e300", f"{BEYOND - 1}=1"))


def test_two_fields_of_one_name_are_named(tmp_path):
    texts = pa.array(["a", "b"])
    product = pa.StructArray.from_arrays([texts, texts], names=["title", "title"])
    pq.write_table(pa.table({"query": texts, "product": product, "grade": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"two columns are called 'product\.title'"):
        load(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"query": "a", "document": "b", "grade": 1, "grade": 3}\n', encoding="utf-8")
    with pytest.raises(InputError, match="row 1: two fields are called 'grade'"):
        load(tmp_path / "t.jsonl")


@pytest.mark.parametrize("groups", [1, 3])
def test_dictionaries_inside_lists_are_texts(groups, tmp_path):
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    table = pa.table({
        "query": pa.array(["a", "b", "c"]).dictionary_encode(),
        "positive": pa.array([["x", "y"], ["y"], ["z"]], kind),
        "negative": pa.array([["u"], ["v"], ["w", "x"]], kind),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3 // groups)
    records = load(tmp_path / "t.parquet")
    judged = {
        (records.queries[query], records.documents[document], grade)
        for query, document, grade in zip(records.query, records.document, records.grade, strict=True)
    }
    relevant = {("a", "x", 1.0), ("a", "y", 1.0), ("b", "y", 1.0), ("c", "z", 1.0)}
    assert judged == relevant | {("a", "u", 0.0), ("b", "v", 0.0), ("c", "w", 0.0), ("c", "x", 0.0)}


def test_json_lines_say_what_they_cannot_hold(tmp_path):
    deep = "1"
    for _ in range(400):
        deep = f'{{"{"k" * 10}": {deep}}}'
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"query": "a", "grade": 1})[:-1] + f', "d": {deep}}}\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match="a field's name has more than 1,000 letters"):
        load(tmp_path / "t.jsonl")
