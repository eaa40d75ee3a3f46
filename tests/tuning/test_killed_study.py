"""Oracle: the same study that nobody disturbed; what was killed and continued has its values, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from studies import counted

from nestvec.runs.config import read_config
from nestvec.settings import Settings
from nestvec.tuning.tune_settings import Plan
from nestvec.tuning.prepare_study import set_up

SCRIPT = Path(__file__).with_name("killed_study.py")


def test_killed_twice_and_continued_it_is_the_same_study(tmp_path, judged, tiny):
    def run(name, *moments):
        command = [sys.executable, str(SCRIPT), tiny, judged, str(tmp_path / name), *map(str, moments)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return told, json.loads((tmp_path / name / "study.json").read_text())

    _, whole = run("whole")
    told, killed = run("killed", 6, 14)  # in the third trial of eight; some trials later
    assert told == "killed by 9\n" * 2
    attempts = [trial["attempts"] for trial in killed["trials"]]
    assert sum(attempts) == 8 + 2
    kept = ("trial", "state", "params", "value", "error", "steps", "curve", "queries")
    assert [{name: trial[name] for name in kept} for trial in killed["trials"]] == [
        {name: trial[name] for name in kept} for trial in whole["trials"]
    ]
    assert killed["growth"] == whole["growth"]
    assert not list((tmp_path / "killed").rglob("checkpoint*"))
    values = read_config(tmp_path / "killed" / "config.toml")
    study = set_up(Settings.from_flat(values), Plan(search="data-size", repeats=2), tmp_path / "killed")
    board, store = study.open()
    assert counted(board) == dict.fromkeys(range(8), 1)
    store.close()
