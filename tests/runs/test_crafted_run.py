"""Oracle: what is no file of a run ends in one line that names it, and nothing outside the folder is opened."""

from __future__ import annotations

import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_fixture import write_run

from nestvec.errors import InputError
from nestvec.files import locked, read_json
from nestvec.report.content import read_content
from nestvec.runs.run import load_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("crafted") / "run")
    folder.mark_done("report", {})
    return folder.root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def refuse(root, file, why=""):
    with pytest.raises(InputError, match=rf"{file}.*: .*{why}") as refused:
        run = load_run(root)
        read_content(run)
        _ = run.config, run.judgements, run.audit, run.findings
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 2500


FILES = ("results.json", "config.toml", "data/records.parquet", "data/qrels.trec", "per_query.parquet", "audit.json")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to itself"])
def test_what_is_no_file_is_neither_waited_for_nor_read(root, file, kind):
    path = next(root.rglob(file.rpartition("/")[2]))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    refuse(root, path.name)


@pytest.mark.parametrize("name", ["../../other", "/etc", "a/b", "x" * 300, "a\0b"])
def test_a_system_s_name_is_no_path(root, name):
    run = load_run(root)
    for place in (run.folder.model, run.folder.embeddings, run.folder.codecs, run.folder.checkpoints):
        with pytest.raises(InputError, match="a name without slashes"):
            place(name)
    with pytest.raises(InputError, match="a name without slashes"):
        run.ranking(f"{name}/x")
    with pytest.raises(InputError, match="a name without slashes"):
        run.folder.model("..")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 100_000,
        "[" * 100_000,
        '{"source": "\\ud800"}',
        f'{{"surface": {"9" * 5000}}}',
        f'{{"surface": "{"x" * 100_000}"}}',
        "\x00",
    ],
    ids=["nested", "nested lists", "half a letter", "a long number", "a long text", "no letter"],
)
def test_json_that_is_none_is_damage(root, text):
    (root / "results.json").write_text(text)
    refuse(root, "results.json", "damaged")


def test_json_of_letters_in_two_halves_is_read(tmp_path):
    (tmp_path / "x.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "x.json") == {"a": "😀"}


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("surface", 0, "queries"), 10**400),
        (("surface", 0, "metrics", "recall@10", "value"), 10**400),
        (("surface", 0, "metrics", "recall@10", "value"), 1e308),
        (("surface", 0, "metrics", "recall@10", "low"), float("nan")),
        (("surface", 1, "dimension"), -3),
        (("surface", 1, "precision"), "int3"),
        (("surface", 1, "queries"), -1),
    ],
)
def test_a_number_that_nothing_has_is_damage(root, where, value):
    path = root / "results.json"
    values = json.loads(path.read_text())
    place = values
    for key in where[:-1]:
        place = place[key]
    assert where[-1] in place
    place[where[-1]] = value
    path.write_text(json.dumps(values))
    refuse(root, "results.json", "damaged")


def test_a_histogram_with_more_levels_than_counts_is_damage(root):
    path = root / "data/grades.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "levels": [*values["levels"], 99.0]}))
    refuse(root, "grades.json", "a count for each level")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.set_column(0, "query_id", pa.array(range(len(table)))),
        lambda table: table.set_column(0, "query_id", pa.array([None] * len(table), pa.string())),
        lambda table: table.set_column(0, "query_id", pa.array([b"\xff"] * len(table)).view(pa.string())),
        lambda table: table.append_column("query_id", table["query_id"]),
        lambda table: table.drop(["grade"]),
        lambda table: table.set_column(4, "grade", pa.array(["1"] * len(table))),
    ],
    ids=["numbers", "empty cells", "not UTF-8", "twice", "missing", "texts for numbers"],
)
def test_a_table_of_other_values_is_damage(root, change):
    path = root / "data/records.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(InputError, match=r"records\.parquet.*: (is damaged|cannot be read)"):
        load_run(root).read_records(["query_id", "query", "document_id", "grade"])


@pytest.mark.parametrize("gain", ["9" * 5000, "-1", "1.5", "nan", "9" * 19])
def test_a_gain_that_is_no_number_is_damage(root, gain):
    path = root / "data/qrels.trec"
    query, run, document, _ = path.read_text().splitlines()[0].split()
    path.write_text(f"{query} {run} {document} {gain}\n")
    with pytest.raises(InputError, match=r"qrels\.trec, row 1: is damaged"):
        _ = load_run(root).judgements


def test_a_lock_is_not_taken_through_a_link(tmp_path):
    other = tmp_path / "letters.txt"
    other.write_text("dear")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to(other)
    with pytest.raises(InputError, match=r"\.lock: cannot be written"), locked(tmp_path / "run"):
        pass
    assert other.read_text() == "dear"
