"""Oracles: the run that the best settings give again, bit for bit; a learning rate that must diverge; the command
line's own contract."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest
from studies import SPACE, counted

import nestvec
from nestvec.errors import InputError, NestvecError
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.runs.config import read_config
from nestvec.settings import Settings
from nestvec.training import train
from nestvec.tuning.prepare_study import prepare_study
from nestvec.tuning.trial import measure_reference
from nestvec.tuning.tune_settings import TuneSettings


@pytest.mark.slow
def test_every_trial_is_in_the_folder_with_its_failure(studied):
    facts = studied.facts
    assert len(facts["trials"]) == facts["planned"] == 6
    failed = [trial for trial in facts["trials"] if trial["params"]["learning_rate"] == 1e30]
    assert failed and all(trial["state"] == "failed" and "--learning-rate" in trial["message"] for trial in failed)
    others = [trial for trial in facts["trials"] if trial not in failed]
    assert others and all(trial["state"] in ("complete", "pruned") for trial in others)
    points = [json.dumps(trial["params"]) for trial in facts["trials"]]
    assert len(set(points)) == 6
    for trial in facts["trials"]:
        folder = studied.folder / "trials" / f"{trial['trial'] - 1:04d}"
        kept = json.loads((folder / "trial.json").read_text())
        assert (kept["state"], kept["params"]) == (trial["state"], trial["params"])
        assert kept.get("value") == trial["value"]
        assert sorted(path.name for path in folder.iterdir()) == ["settings.toml", "trial.json"]
        values = read_config(folder / "settings.toml")
        assert values["learning_rate"] == trial["params"]["learning_rate"]
        assert values["epochs"] == trial["params"]["epochs"]
    complete = [trial for trial in others if trial["value"] is not None]
    assert all([point["place"] for point in trial["curve"]] == [1, 2, 3, 4, 5] for trial in complete)
    with (studied.folder / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["state"] for row in rows] == [trial["state"] for trial in facts["trials"]]
    best = max(complete, key=lambda trial: trial["value"])
    assert facts["trials"][facts["best"]]["value"] == best["value"]


@pytest.mark.slow
def test_the_best_run_is_the_best_trial_once_more(studied, judged, quick, tmp_path):
    best = studied.facts["trials"][studied.facts["best"]]
    settings = Settings.from_flat({"source": judged, **quick})
    study = prepare_study(settings, TuneSettings(), tmp_path / "study")
    again = load_model(find_model(str(studied.folder / "best" / "models" / "matryoshka")))
    assert measure_reference(study.context, again).value == best["value"]
    assert not (tmp_path / "study").exists()
    written = Settings.from_flat(read_config(studied.folder / "best.toml"))
    ran = Settings.from_flat(read_config(studied.folder / "best" / "config.toml"))
    assert written == ran
    usual = nestvec.load_run(studied.folder / "default")
    assert read_config(usual.folder.path("config")).get("learning_rate") is None


@pytest.mark.slow
def test_the_gain_is_that_of_the_two_runs(studied):
    gain = studied.facts["gain"]
    means = []
    for name in ("default", "best"):
        surface = nestvec.load_run(studied.folder / name).results["surface"]
        [row] = [
            row
            for row in surface
            if (row["system"], row["dimension"], row["precision"], row["split"])
            == ("matryoshka", 768, "float32", "test")
        ]
        means.append(row["metrics"]["recall@10"]["value"])
    assert [gain["mean_a"], gain["mean_b"]] == pytest.approx(means)
    assert gain["difference"] == pytest.approx(means[1] - means[0])
    assert gain["low"] <= gain["difference"] <= gain["high"]
    assert ("no significant gain" in studied.verdict) == (not studied.facts["seen"])


@pytest.mark.slow
def test_a_finished_study_is_read_again_and_trains_nothing(studied, judged, quick):
    before = {path: path.stat().st_mtime_ns for path in (studied.folder / "trials").rglob("*")}
    again = nestvec.tune(judged, studied.folder, search="tpe", trials=6, space=SPACE, **quick)
    assert again.facts == studied.facts
    assert before == {path: path.stat().st_mtime_ns for path in (studied.folder / "trials").rglob("*")}


@pytest.mark.slow
def test_other_settings_are_refused_in_the_same_folder(studied, judged, quick):
    with pytest.raises(InputError, match=r"was made with other settings: tune\.search was tpe, now random"):
        nestvec.tune(judged, studied.folder, search="random", trials=6, space=SPACE, **quick)
    with pytest.raises(InputError, match=r"tune\.space was"):
        nestvec.tune(judged, studied.folder, search="tpe", trials=6, space={"epochs": [1, 2]}, **quick)


def test_where_every_trial_fails_that_is_the_message(judged, quick, tmp_path):
    with pytest.raises(NestvecError, match=r"no trial finished; the last error: .*lower --learning-rate"):
        nestvec.tune(judged, tmp_path / "t", trials=1, space={"learning_rate": [1e30]}, **quick)


@pytest.mark.slow
def test_two_aims_give_a_frontier(judged, quick, tmp_path, without_runs, monkeypatch):
    untrained = SimpleNamespace(steps=1, learning_rate=1e-4, rows=1, best_step=None, mixed=None)
    monkeypatch.setattr(train, "train", lambda *_: untrained)  # all trials train the same and differ in their format
    space = {"dimension": [768, 192], "precision": ["float32", "binary"]}
    found = nestvec.tune(judged, tmp_path / "t", search="grid", aim="recall@10,bytes", space=space, **quick).facts
    points = [(trial["bytes_per_vector"], trial["value"]) for trial in found["trials"]]
    assert len(points) == 4
    frontier = [points[slot] for slot in found["frontier"]]
    assert frontier == sorted(frontier)
    for size, value in points:  # nothing beats the frontier, by hand
        assert any(other[0] <= size and other[1] >= value for other in frontier)
    highest = max(value for _, value in frontier)
    chosen = points[found["best"]]
    assert chosen == min(point for point in frontier if point[1] >= highest - 0.01)
    assert (tmp_path / "t" / "figures" / "frontier.svg").exists()


BAD = {
    ("--search", "bayes"): "--search is bayes",
    ("--aim", "recall@7"): "--aim is recall@7",
    ("--epochs", "0"): "--epochs is 0",
    ("--systems", "mnr,graded"): "one system to tune",
    ("--systems", "mnr", "--adapt", "train"): "then nestvec tune --model RUN/models/adapted",
    ("--protocol", "published"): "validation split",
    ("--storage", "mysql://x"): "--storage is mysql://x",
    ("--storage", "postgresql://nobody@127.0.0.1:1/x"): "cannot be reached",
    ("--search", "data-size", "--aim", "recall@10,bytes"): "one aim",
    ("--search", "data-size", "--systems", "adapted,mnr"): "--systems mnr,adapted",
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_input_is_one_message_and_writes_nothing(words, typed, judged, tiny, tmp_path):
    code, out, err = typed("tune", judged, "--out", tmp_path / "t", "--model", tiny, "--threshold", "2.5", *words)
    assert (code, out) == (2, "")
    assert BAD[words] in err.replace("\n", " ")
    assert not (tmp_path / "t").exists()


def test_a_bad_space_in_a_file_is_named(typed, judged, tiny, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[tune]\nsearch = "grid"\n[tune.space]\nbatch_size = [1]\n')
    code, _, err = typed("tune", judged, "--out", tmp_path / "t", "--model", tiny, "--config", path)
    assert code == 2
    assert "mine.toml, [tune.space] batch_size: --batch-size is 1" in err.replace("\n", "")
    path.write_text("[tune]\nbudget = 3\n")
    code, _, err = typed("tune", judged, "--out", tmp_path / "t", "--model", tiny, "--config", path)
    assert code == 2 and "unknown setting 'budget' in [tune]" in err
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_attempts_are_counted(studied, judged, quick):
    settings = Settings.from_flat({"source": judged, **quick})
    study = prepare_study(settings, TuneSettings(search="tpe", trials=6, space=SPACE), studied.folder)
    with study.open_queue() as queue:
        assert counted(queue) == dict.fromkeys(range(6), 1)
