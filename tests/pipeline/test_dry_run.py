"""What `--dry-run` says.

Oracle: the run itself, made with the same settings: what it trained, encoded and measured.
"""

from __future__ import annotations

import json
import sys

import pytest
from tables import rows, write_csv

import nestvec
from nestvec.cli.plan import describe_plan
from nestvec.pipeline import trial_speed
from nestvec.pipeline.dry_run import plan_run
from nestvec.settings import Settings


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(trial_speed, "TRIAL_SECONDS", 0.1)


@pytest.fixture
def given(tmp_path, tiny):
    source = write_csv(tmp_path / "judged.csv", rows(queries=80))
    return {"source": str(source), "model": str(tiny), "systems": "mnr", "precisions": "int8", "resamples": 100}


def test_a_plan_is_what_the_run_does(tmp_path, given):
    root = tmp_path / "run"
    plan = plan_run(Settings.from_flat(given), root)
    assert not root.exists()
    assert min(plan.seconds) > 0
    run = nestvec.run(out=root, progress=False, **given)
    [trained], [planned] = run.trainings, plan.trainings
    assert (planned.system, planned.steps, planned.rows) == ("mnr", trained.steps, trained.rows)
    for encoding in plan.encodings:
        assert encoding.texts == run.folder.facts(f"encode {encoding.system}")["texts"]
    assert [encoding.system for encoding in plan.encodings] == ["pretrained", "mnr"]
    assert plan.points == run.folder.facts("evaluate")["points"]
    again = plan_run(Settings.from_flat(given), root)
    assert set(again.done) == set(run.folder.done())
    assert again.seconds == (0, 0, 0)
    with pytest.raises(nestvec.InputError, match="was made with other settings: epochs"):
        plan_run(Settings.from_flat({**given, "epochs": 2}), root)


def test_folds_are_counted(given):
    plan = plan_run(Settings.from_flat({**given, "folds": 2}), None)
    assert plan.trainings[0].trainings == 3
    assert plan.encodings[1].texts == 3 * plan.encodings[0].texts
    said = dict(describe_plan(plan))
    assert "2 folds" in said["split"]
    assert said["write"] == "no folder is given (--out)"


def test_the_command_says_everything_in_80_columns_and_writes_nothing(typed, tmp_path, given):
    options = [f"--{name}={value}" for name, value in given.items() if name != "source"]
    code, output, message = typed("run", given["source"], *options, "--out", tmp_path / "run", "--dry-run", "--quiet")
    assert (code, message) == (0, "")
    assert max(map(len, output.splitlines())) <= 80
    text = " ".join(output.split())
    for words in (
        "400 records, 80 queries, 388 documents",
        "relevant from 1.5 on",
        "queries with",
        "mnr: ",
        "texts with each of pretrained, mnr",
        " points (",
        "no stage is finished yet",
        "Estimated from",
    ):
        assert words in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judged.csv"]


def test_evaluate_trains_nothing(typed, tmp_path, given):
    words = ["evaluate", given["model"], "--data", given["source"], "--precisions", "int8", "--dry-run", "--quiet"]
    code, output, _ = typed(*words)
    assert code == 0
    assert "train nothing" in " ".join(output.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judged.csv"]


def test_wrong_input_is_refused_as_a_run_refuses_it(typed, given):
    code, output, message = typed("run", given["source"], "--threshold", "9", "--dry-run", "--quiet")
    assert (code, output) == (2, "")
    assert "--threshold 9" in message


def test_without_the_training_extra_the_data_are_described(given, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    said = dict(describe_plan(plan_run(Settings.from_flat(given), None)))
    assert "400 records" in said["read"]
    assert "nestvec[train]" in said["not known"]
    assert "time" not in said


def test_a_model_that_is_not_there_is_one_short_line_and_its_reason_is_kept(typed, tmp_path, given):
    options = [f"--{name}={value}" for name, value in given.items() if name not in ("source", "systems")]
    words = ["run", given["source"], *options, "--epochs", "0", "--out", tmp_path / "run"]
    code, _, message = typed(*words)
    assert code == 0
    [line] = [line for line in message.splitlines() if "mpnet-base" in line]
    assert line == "all-mpnet-base-v2 is not on this machine, so it is not measured"
    kept = json.loads((tmp_path / "run" / "results.json").read_text())["missing_models"]["all-mpnet-base-v2"]
    assert kept.startswith("could not be loaded: ")
    _, _, message = typed(*words, "--verbose")
    assert kept in message
