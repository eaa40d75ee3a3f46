"""A missing or damaged file of a run is named in one message.

Oracle: the contract: an `InputError` (exit code 2) that names the file, and where it can, the place in it; nothing is
written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nestvec.errors import InputError
from nestvec.report import write_report
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec.runs.folder import RunFolder

FILES = (
    "config",
    "results",
    "recommendation",
    "grades",
    "audit",
    "findings",
    "records",
    "per_query",
    "qrels",
    "training",
)


def refused(folder: RunFolder) -> InputError:
    with pytest.raises(InputError) as caught:
        write_report(Run(folder))
    assert caught.value.exit_code == 2
    assert not folder.path("report").exists() and not folder.path("figures").exists()
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_missing_file(changed_run: RunFolder, name: str) -> None:
    changed_run.path(name).unlink()
    error = refused(changed_run)
    assert error.location.file == str(changed_run.path(name))


@pytest.mark.parametrize("name", FILES)
def test_garbage(changed_run: RunFolder, name: str) -> None:
    changed_run.path(name).write_bytes(b"\xff\xfe {[ this is no file of ours\n")
    assert refused(changed_run).location.file == str(changed_run.path(name))


@pytest.mark.parametrize("name", ["records", "per_query"])
def test_cut_off_parquet(changed_run: RunFolder, name: str) -> None:
    path = changed_run.path(name)
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(changed_run).location.file == str(path)


def test_missing_run_file(changed_run: RunFolder) -> None:
    changed_run.run("matryoshka.48.int8").unlink()
    assert refused(changed_run).location.file == str(changed_run.run("matryoshka.48.int8"))


def test_damaged_line_of_a_run_file(changed_run: RunFolder) -> None:
    path = changed_run.run("matryoshka.48.int8")
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4].rsplit(" ", 3)[0]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert refused(changed_run).location.row == 5


def drop(*path: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def put(new: object, *path: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return change


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("results", drop("surface", 3, "queries"), "surface[3].queries is missing"),
        ("results", drop("surface", 0, "metrics", "mrr@10"), "surface[0].metrics.mrr@10 is missing"),
        ("results", put("0.5", "surface", 1, "metrics", "mrr@10", "low"), "surface[1].metrics.mrr@10.low is '0.5'"),
        ("results", put(float("nan"), "surface", 1, "metrics", "mrr@10", "low"), "low is nan"),
        ("results", put(True, "surface", 1, "queries"), "surface[1].queries is True"),
        ("results", put({}, "comparisons"), "comparisons is {}"),
        ("results", put([], "surface"), "it has no row measured on test"),
        ("recommendation", put("recall@20", "metric"), "names the metric 'recall@20'"),
        ("recommendation", drop("reason"), "reason is missing"),
        ("recommendation", put({"system": "mnr"}, "point"), "point.dimension is missing"),
        ("grades", put(None, "threshold"), "threshold is None"),
        ("audit", put([1], "leaks"), "leaks is [1]"),
        ("findings", put("many", 0, "count"), "[0].count is 'many'"),
        ("training", drop("systems", 1, "rows"), "systems[1].rows is missing"),
        ("training", put(None, "systems", 0, "losses", 7), "systems[0].losses[7] is None"),
        ("training", put(0.5, "systems", 0, "curve", 1, "step"), "systems[0].curve[1].step is 0.5"),
        ("training", drop("systems", 1, "curve", 0, "points", 1, "metrics", "ndcg@10"), "'matryoshka' lacks ndcg@10"),
        ("training", drop("systems", 0), "no training of 'mnr'"),
    ],
)  # fmt: skip
def test_wrong_value_is_named(changed_run: RunFolder, name: str, change: Callable[[Any], None], told: str) -> None:
    path = changed_run.path(name)
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")
    error = refused(changed_run)
    assert told in str(error)
    assert error.location.file == str(path)


def test_missing_column(changed_run: RunFolder) -> None:
    import pyarrow.parquet as pq

    path = changed_run.path("per_query")
    pq.write_table(pq.read_table(path).drop_columns(["value"]), path)
    assert "no column 'value'" in str(refused(changed_run))
