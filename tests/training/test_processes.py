"""Oracle: one process that trains on the whole of each batch. Two processes get half of it each, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from jobs import job_and_model, prepared
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

from nestvec.errors import InputError
from nestvec.training.train import train

pytestmark = pytest.mark.slow  # processes of their own that train together

SYSTEMS = ("matryoshka", "graded", "cosent", "adapted")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "localhost:0")  # fmt: skip


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A model without dropout, whose random masks would differ between processes."""
    return str(save_tiny_mpnet(tmp_path_factory.mktemp("still") / "mpnet", dropout=0.0))


def even() -> list[dict[str, object]]:
    """48 training queries with a pair each, so that no batch of 8 is left incomplete, which two would skip."""
    parts = [*["train"] * 48, *["validation"] * 6, *["test"] * 6]
    return [
        {
            **row,
            "grade": 1 + 2 * (place % 5 == 0),
            "document": f"{row['document']} of {place}",
            "split": parts[place // 5],
        }
        for place, row in enumerate(rows())
    ]


OPTIONS = {"split_column": "split", "epochs": 4, "mixing": "1", "validate_every": 8}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, still):
    """The folder of a run that two processes made, and what they printed."""
    folder = tmp_path_factory.mktemp("shared")
    table = write_csv(folder / "judged.csv", even())
    options = {**OPTIONS, "model": still, "systems": ",".join(SYSTEMS), "batch_size": 8, "compute": "float32"}
    options |= {"resamples": 100, "precisions": "int8", "out": folder / "run"}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run(
        [*TORCHRUN, "-m", "nestvec", "run", str(table), *words],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "run", done.stdout


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_train_as_one(tmp_path, still, shared, system):
    run, _ = shared
    facts = json.loads((run / ".stages" / f"train {system}.json").read_text())
    job, model = job_and_model(prepared(tmp_path, even(), model=still, **OPTIONS), system)
    alone = train(model, job, tmp_path / "checkpoints")
    assert len(facts["losses"]) >= 20
    assert facts["losses"][:20] == pytest.approx(alone.losses[:20], rel=1e-4)


def test_one_of_two_processes_speaks_and_writes(shared):
    run, told = shared
    assert told.count("The report:") == 1
    assert (run / "report.html").is_file() and not (run / "checkpoints").exists()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, still, monkeypatch):
    job, model = job_and_model(prepared(tmp_path, model=still, batch_size=7), "mnr")
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun says it
    with pytest.raises(InputError, match="--batch-size is 7; expected a multiple of 2, the number of processes"):
        train(model, job, tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
