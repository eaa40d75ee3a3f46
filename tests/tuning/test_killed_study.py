"""Oracle: the same study that nobody disturbed; what was killed and continued has its values, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from killed_study import SCRIPT, search
from studies import counted

from nestvec.progress import Silent
from nestvec.runs.config import read_config
from nestvec.settings import Settings
from nestvec.tuning.prepare_study import prepare_study
from nestvec.tuning.tune_settings import TuneSettings


@pytest.mark.slow  # two studies of eight trainings, one of them in processes that are killed
def test_killed_twice_and_continued_it_is_the_same_study(tmp_path, judged, tiny):
    search(tiny, judged, tmp_path / "whole", Silent())
    moments = "6", "14"  # in the third trial of eight; some trials later
    command = [sys.executable, str(SCRIPT), tiny, judged, str(tmp_path / "killed"), *moments]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "killed by 9\n" * 2
    whole, killed = (json.loads((tmp_path / name / "study.json").read_text()) for name in ("whole", "killed"))
    attempts = [trial["attempts"] for trial in killed["trials"]]
    assert sum(attempts) == 8 + 2
    kept = ("trial", "state", "params", "value", "error", "steps", "curve", "queries")
    assert [{name: trial[name] for name in kept} for trial in killed["trials"]] == [
        {name: trial[name] for name in kept} for trial in whole["trials"]
    ]
    assert killed["growth"] == whole["growth"]
    assert not list((tmp_path / "killed").rglob("checkpoint*"))
    values = read_config(tmp_path / "killed" / "config.toml")
    study = prepare_study(Settings.from_flat(values), TuneSettings(search="data-size", repeats=2), tmp_path / "killed")
    with study.open_queue() as queue:
        assert counted(queue) == dict.fromkeys(range(8), 1)
