"""A finished run as everybody reads it. Oracle: the folder's own JSON and Parquet files, read without nestvec."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from report_fixture import write_run

import nestvec
from nestvec.errors import InputError
from nestvec.point import Point
from nestvec.runs import run as module
from nestvec.runs.choose_point import PointSettings, choose_point


def write_finished(path):
    folder = write_run(path)
    folder.mark_done("report", {})
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_finished(tmp_path_factory.mktemp("read") / "run").root


@pytest.fixture
def run(root):
    return nestvec.load_run(root)


def raw(root, name):
    return json.loads((root / name).read_text(encoding="utf-8"))


def test_results_read_like_the_json_file(run, root):
    rows = raw(root, "results.json")["surface"]
    assert len(run.results["surface"]) == len(rows)
    for row, told in zip(run.results["surface"], rows, strict=True):
        assert row["system"] == row.system == told["system"]
        assert row["metrics"]["recall@10"]["value"] == told["metrics"]["recall@10"]["value"]
        assert dict(row["metrics"]["mrr@10"]) == told["metrics"]["mrr@10"]
    made = raw(root, "recommendation.json")
    assert run.recommendation["decision"] == run.recommendation.decision == made["decision"]
    assert run.recommendation["point"]["dimension"] == made["point"]["dimension"]
    with pytest.raises(KeyError, match="no_such_key"):
        run.results["no_such_key"]


def test_a_run_says_what_it_is(run, root):
    assert repr(run) == f"Run(source='sample', decision='ship', path={str(root)!r})"
    page = run._repr_html_()
    assert run.recommendation.reason[:40] in page
    assert all(f"<td>{row.name}</td><td>{row.bytes:,}</td>" in page for row in run.frontier("recall@10"))


def test_a_hostile_source_is_escaped_in_a_notebook(tmp_path):
    folder = write_finished(tmp_path / "run")
    results = raw(folder.root, "results.json")
    folder.path("results").write_text(json.dumps({**results, "source": "<script>alert(1)</script>"}))
    page = nestvec.load_run(folder.root)._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_frontier_is_of_plain_vectors_that_nothing_smaller_reaches(run):
    frontier, every = run.frontier("recall@10"), [row for row in run.points.values() if row.is_vectors]
    assert [row.bytes for row in frontier] == sorted(row.bytes for row in frontier)
    for row in every:
        reached = [best for best in frontier if best.bytes <= row.bytes]
        value = row.metrics["recall@10"].value
        assert any(best.metrics["recall@10"].value >= value for best in reached)


def test_the_surface_is_a_table(run, root):
    table = pd.DataFrame(run.surface)
    rows = raw(root, "results.json")["surface"]
    assert table["recall@10"].tolist() == [row["metrics"]["recall@10"]["value"] for row in rows]
    assert table["recall@10 low"].tolist() == [row["metrics"]["recall@10"]["low"] for row in rows]
    assert set(table["split"]) == {"validation", "test"}


def test_values_of_queries_are_those_of_the_file(run, root):
    names = ["pretrained.384.float32", "bm25", "mnr.48.int8"]
    values = run.per_query("recall@10", names)
    for row in pq.read_table(root / "per_query.parquet").to_pylist():
        name = Point(row["system"], row["dimension"], row["precision"]).name
        if row["split"] == "test" and row["metric"] == "recall@10" and name in names:
            assert values[name].pop(row["query_id"]) == row["value"]
    assert values == {name: {} for name in names}  # and there are no others
    alone = run.per_query("recall@10", ["bm25"])  # whose dimension and precision are empty cells
    assert alone["bm25"].keys() == run.per_query("recall@10", names)[names[0]].keys()
    assert run.per_query("recall@10", []) == {}


def test_each_file_is_read_once(run, monkeypatch):
    opened = []
    load = module.load_json
    monkeypatch.setattr(module, "load_json", lambda path, kind: opened.append(Path(path).name) or load(path, kind))
    for _ in range(3):
        assert run.results and run.recommendation and run.grades and run.audit and run.points and run.chosen
    assert sorted(opened) == ["audit.json", "grades.json", "recommendation.json", "results.json"]


def test_a_recommended_point_that_was_not_measured_is_damage(tmp_path):
    folder = write_finished(tmp_path / "run")
    made = raw(folder.root, "recommendation.json")
    made["point"]["dimension"] = 7
    folder.path("recommendation").write_text(json.dumps(made))
    with pytest.raises(InputError, match=r"recommendation\.json: is damaged: .*\.7\..* was not measured"):
        _ = nestvec.load_run(folder.root).chosen


POINTS = [Point.parse(name) for name in ("a.96.float32", "a.96.int8", "a.48.int8", "b.96.float32", "bm25")]


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ({}, "a.48.int8"),
        ({"system": "a"}, "a.48.int8"),
        ({"dimension": 96}, "a.96.int8"),
        ({"system": "b"}, "b.96.float32"),
        ({"system": "a", "dimension": 96, "precision": "float32"}, "a.96.float32"),
        ({"system": "bm25"}, "bm25"),
    ],
)
def test_what_is_not_named_is_the_default_s_if_the_system_is_its_own(named, meant):
    assert choose_point(POINTS, Point.parse("a.48.int8"), PointSettings(**named)).name == meant


BOTH_WAYS = [*POINTS, *(Point.parse(f"a.{width}a.int8") for width in (96, 48))]


@pytest.mark.parametrize(
    ("default", "named", "meant"),
    [
        ("a.48a.int8", {}, "a.48a.int8"),
        ("a.48.int8", {"axes": True}, "a.48a.int8"),
        ("a.48a.int8", {"dimension": 96}, "a.96.int8"),  # whoever names a width gets what that always meant
        ("a.48a.int8", {"dimension": 96, "axes": True}, "a.96a.int8"),
        ("a.48a.int8", {"system": "b"}, "b.96.float32"),
    ],
)
def test_vectors_on_axes_are_asked_for_or_the_default(default, named, meant):
    assert choose_point(BOTH_WAYS, Point.parse(default), PointSettings(**named)).name == meant


def test_axes_that_were_not_measured_are_named():
    default = Point.parse("a.48a.int8")
    with pytest.raises(InputError, match=r"a at 96a\.binary; expected one of int8$"):
        choose_point(BOTH_WAYS, default, PointSettings(dimension=96, precision="binary", axes=True))
    with pytest.raises(
        InputError, match=r"b at 96a\.float32; expected vectors without axes: b was not measured on principal axes$"
    ):
        choose_point(BOTH_WAYS, default, PointSettings("b", axes=True))


def test_without_a_default_a_system_is_wanted():
    with pytest.raises(InputError, match="no system None; expected one of a, b, bm25"):
        choose_point(POINTS, None)
