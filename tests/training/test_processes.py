"""Oracle: one process that trains on the whole of each batch. Two processes get half of it each, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import job_and_model, prepared
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

from nestvec.training.train import train

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


@pytest.mark.parametrize(("system", "epochs"), [("matryoshka", 4), ("graded", 4), ("cosent", 1)])
def test_two_processes_train_as_one(tmp_path, still, system, epochs):
    table = write_csv(tmp_path / "judged.csv", even())
    options = ["--model", still, "--systems", system, "--batch-size", "8", "--compute", "float32", "--resamples", "100"]
    command = [
        *TORCHRUN,
        "-m",
        "nestvec",
        "run",
        str(table),
        "--out",
        str(tmp_path / "run"),
        "--epochs",
        str(epochs),
        *options,
    ]
    command += ["--mixing", "1", "--validate-every", "8", "--split-column", "split"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("The report:") == 1  # one speaks
    facts = json.loads((tmp_path / "run/.stages" / f"train {system}.json").read_text())
    found = prepared(tmp_path, even(), split_column="split", model=still, epochs=epochs, mixing="1", validate_every=8)
    job, model = job_and_model(found, system)
    alone = train(model, job, tmp_path / "checkpoints")
    assert len(facts["losses"]) >= 20
    assert facts["losses"][:20] == pytest.approx(alone.losses[:20], rel=1e-4)
    assert (tmp_path / "run/report.html").is_file() and not (tmp_path / "run/checkpoints").exists()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, still):
    table = write_csv(tmp_path / "judged.csv", rows())
    command = [*TORCHRUN, "-m", "nestvec", "run", str(table), "--out", str(tmp_path / "run"), "--model", still]
    command += ["--batch-size", "7", "--compute", "float32"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert "--batch-size is 7; expected a multiple of the 2 processes" in done.stderr
    assert not Path(tmp_path / "run/models").exists()
