"""What is found in a folder of runs.

Oracles: the stages that `pipeline.run_stages` makes of the same settings; a run's own files; folders laid out by hand.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from report_fixture import write_run
from shared_runs import copy_run
from tables import rows, write_csv

from nestvec.errors import InputError
from nestvec.pipeline import run_stages
from nestvec.pipeline.inputs import prepare
from nestvec.progress import Silent
from nestvec.runs import list_runs as listing
from nestvec.runs.config import config_text, parse_run_config
from nestvec.runs.folder import RunFolder
from nestvec.runs.list_runs import find_next_stage, list_runs
from nestvec.settings import Settings


@pytest.mark.parametrize(("folds", "adapt"), [(None, "off"), (2, "off"), (2, "catalogue")])
def test_stages_are_those_that_a_run_makes_in_their_order(tmp_path, tiny, folds, adapt):
    source = write_csv(tmp_path / "judged.csv", rows(queries=80))
    given = {"source": str(source), "model": str(tiny), "systems": "mnr,graded", "folds": folds, "bigger": ""}
    given["adapt"] = adapt
    prepared = prepare(Settings.from_flat(given))
    folder = RunFolder(tmp_path / "run")
    made = [(stage.part.folder, stage.name) for stage in run_stages._list_stages(prepared, folder, Silent())]
    config = parse_run_config(config_text(prepared.settings, prepared.inputs))
    assert [(part, stage) for part, _, stage in listing._list_stages(folder, config)] == made
    for part, stage in made:
        number = part.root.name if part.whole else ""
        assert find_next_stage(folder, config) == f"{stage} of fold {number}".removesuffix(" of fold ")
        part.mark_done(stage, {})
    assert find_next_stage(folder, config) is None


def test_models_that_are_measured_beside_have_a_stage(two_models):
    folder = RunFolder(two_models)
    stages = [stage for _, _, stage in listing._list_stages(folder, listing.read_run_config(folder.path("config")))]
    assert sorted(stages) == sorted(folder.done())
    assert "encode tiny" in stages


def test_a_finished_run_says_what_it_recommends(tmp_path, measured):
    folder = write_run(tmp_path / "shop", choices=True)
    folder.mark_done("report", {})
    copy_run(measured, tmp_path / "deep" / "er" / "run")
    other, shop = list_runs(tmp_path)
    assert (other.name, other.state, other.decision, other.point) == ("deep/er/run", "finished", "do not ship", None)
    told = json.loads(folder.path("recommendation").read_text())
    rows = json.loads(folder.path("results").read_text())["surface"]
    point = told["point"]
    assert shop.point == f"{point['system']}.{point['dimension']}.{point['precision']}"
    assert (shop.decision, shop.bytes_per_vector, shop.source) == ("ship", point["bytes_per_vector"], "sample")
    [words] = [row for row in rows if (row["system"], row["split"]) == ("bm25", "test")]
    assert shop.words == words["metrics"]["recall@10"]["value"]
    assert shop.value > shop.words
    assert len(shop.date) == len("2026-11-30")


def test_an_unfinished_run_says_what_is_next(tmp_path, measured):
    run = copy_run(measured, tmp_path / "runs" / "a")
    for stage in ("report", "evaluate"):
        RunFolder(run).stage_marker(stage).unlink()
    [listed] = list_runs(tmp_path)
    assert (listed.state, listed.next_stage, listed.decision) == ("unfinished", "evaluate", None)
    assert listed.source.endswith("judged.csv")


@pytest.mark.parametrize(
    ("file", "content"),
    [("results.json", "{"), ("recommendation.json", None), ("config.toml", "= 3"), ("config.toml", None),
     ("results.json", '{"source": 3}')],
)  # fmt: skip
def test_a_damaged_run_is_listed_with_the_file_and_the_others_too(tmp_path, measured, file, content):
    copy_run(measured, tmp_path / "a")
    damaged = copy_run(measured, tmp_path / "b") / file
    damaged.unlink() if content is None else damaged.write_text(content)
    whole, broken = list_runs(tmp_path)
    assert (whole.state, broken.state) == ("finished", "damaged")
    assert str(damaged) in broken.problem


def test_each_run_is_listed_once_however_many_links_lead_to_it(tmp_path, measured):
    folder = tmp_path / "runs"
    copy_run(measured, folder / "a")
    (folder / "again").symlink_to(folder / "a")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    assert [run.name for run in list_runs(folder)] == ["a"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked").symlink_to(folder / "a")
    assert [run.name for run in list_runs(tmp_path / "elsewhere")] == ["linked"]


def test_a_run_itself_is_the_only_one(measured):
    [run] = list_runs(measured)
    assert (run.name, run.path) == ("run", str(measured))


def test_what_is_no_run_is_passed_over(tmp_path, measured):
    copy_run(measured, tmp_path / "one" / "two" / "three" / "too deep")
    copy_run(measured, tmp_path / ".hidden")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text("[tool]\nname = 'another program'\n")
    (tmp_path / "a file").write_text("")
    study = tmp_path / "study"
    study.mkdir()
    (study / "config.toml").write_text((measured / "config.toml").read_text() + '\n[tune]\nsearch = "tpe"\n')
    copy_run(measured, study / "best")
    assert [run.name for run in list_runs(tmp_path)] == ["study/best"]


def test_a_folder_that_may_not_be_read_ends_nothing(tmp_path, measured, monkeypatch):
    copy_run(measured, tmp_path / "a")
    (tmp_path / "closed").mkdir()
    iterdir = type(tmp_path).iterdir

    def refuse(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert [run.name for run in list_runs(tmp_path)] == ["a"]
    with pytest.raises(InputError, match="closed: cannot be read"):
        list_runs(tmp_path / "closed")


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=name):
        list_runs(tmp_path / name)


def test_a_run_that_was_just_begun_has_everything_to_do(tmp_path, measured):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.toml").write_bytes((measured / "config.toml").read_bytes())
    os.utime(tmp_path / "new" / "config.toml", (0, 0))
    [run] = list_runs(tmp_path)
    assert replace(run, source="") == listing.ListedRun(
        "new", str(tmp_path / "new"), "unfinished", "1970-01-01", next_stage="prepare"
    )
