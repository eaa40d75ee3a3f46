"""A run's folder belongs to one process at a time, and keeps the number format that its training began in.

Oracles: the exit code and message that the issue asks for; the folder's own config.toml.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib

import pytest
from tables import rows, write_csv

import nestvec
from nestvec.errors import InputError
from nestvec.models.compute import choose_compute
from nestvec.pipeline import run_stages as module
from nestvec.runs.folder import hold_folder

OPTIONS = {
    "epochs": 0,
    "dimensions": "48",
    "precisions": "int8",
    "resamples": 100,
    "test": 0.4,
    "seed": 7,
    "bigger": "",
}
HOLDER = """
import sys, time
from pathlib import Path
from nestvec.runs.folder import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "judged.csv", rows(queries=40))


def test_a_second_process_is_told_and_exits_with_2(tmp_path, source, tiny, typed):
    root = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            code, _, said = typed("run", source, "--out", root, "--model", tiny, "--epochs", 0, "--resamples", 100)
            assert code == 2
            assert f"{root}: is being written by another process" in " ".join(said.split())
            assert [entry.name for entry in root.iterdir()] == [".lock"]  # nothing was written
        finally:
            holder.send_signal(signal.SIGKILL)
    with hold_folder(root):  # the lock died with its process
        pass


def test_a_folder_of_something_else_is_refused_without_a_lock_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files that no run made"), hold_folder(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_the_number_format_is_kept_as_resolved_and_taken_up_elsewhere(tmp_path, source, tiny, monkeypatch):
    def compute():
        return tomllib.loads((tmp_path / "run/config.toml").read_text())["compute"]

    def run():
        return nestvec.run(str(source), tmp_path / "run", model=str(tiny), **OPTIONS)

    run()
    here = choose_compute("auto")
    assert compute() == here
    elsewhere = {"float32": "bfloat16", "bfloat16": "float32"}[here]
    monkeypatch.setattr(module, "choose_compute", lambda wanted: elsewhere if wanted == "auto" else wanted)
    run()  # a machine that would choose otherwise goes on as the run began
    assert compute() == here
    with pytest.raises(InputError, match=f"compute was {here}, now {elsewhere}"):
        nestvec.run(str(source), tmp_path / "run", model=str(tiny), compute=elsewhere, **OPTIONS)


def test_a_run_of_before_the_format_was_kept_goes_on(tmp_path, source, tiny):
    nestvec.run(str(source), tmp_path / "run", model=str(tiny), **OPTIONS)
    path = tmp_path / "run/config.toml"
    path.write_text(path.read_text().replace(f'compute = "{choose_compute("auto")}"', 'compute = "auto"'))
    nestvec.run(str(source), tmp_path / "run", model=str(tiny), **OPTIONS)
